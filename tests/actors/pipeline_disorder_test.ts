/** Late, duplicate and out-of-order events through the whole pipeline, late for real: their sessions are committed. */
import { assert, assertEquals, assertGreater, assertStringIncludes } from "@std/assert";
import { verifyData } from "../../commands/verify.ts";
import { SimulatedFeed } from "../../sources/simulated_feed.ts";
import { Simulator, virtualTimeline } from "../../sources/simulator.ts";
import { recordingContext, withTempDir } from "../support/command_context.ts";
import {
  configOf,
  deltaRows,
  feedEpochByEpoch,
  ledgerOf,
  type Row,
  runToEnd,
  warehouseRows,
} from "../support/pipeline_run.ts";
import { byPlace, comparable } from "../support/truth_rows.ts";

const EVENTS = 4_000;
/** Some 400 records, 100 s of event time, so that a late event comes after the epoch that its session left with. */
const SEND_BYTES = 210 * 1024;

Deno.test("with 5 % of the events late, twice or out of order, both sinks and the views hold what the truth says", () =>
  withTempDir(async (dir) => {
    const env = { DATA_DIR: `${dir}/data`, EPOCH_INTERVAL: "500ms", REVISION_INTERVAL: "500ms" };
    const config = configOf({ ...env, KAFKA_PARTITIONS: "2" });
    const shares = { late: 0.05, duplicates: 0.05, outOfOrder: 0.05 };
    const simulator = new Simulator({ seed: 19, ...virtualTimeline(EVENTS, Date.now()), ...shares });
    const truthPath = `${dir}/truth.json`;
    const feed = new SimulatedFeed(simulator, { events: EVENTS, truthPath });
    const sent = await feedEpochByEpoch(config, feed, SEND_BYTES);
    await runToEnd(config);
    const truth = JSON.parse(await Deno.readTextFile(truthPath)).sessions as Row[];
    const rows = await deltaRows(config);
    const withoutRevision = rows.map(comparable).map(({ revision: _, ...row }) => row);
    assertEquals(withoutRevision.sort(byPlace), truth.sort(byPlace));
    const revised = rows.filter(({ revision }) => Number(revision) > 0).length;
    assertGreater(revised, rows.length / 5);
    assert(rows.some(({ revision }) => Number(revision) > 1), "some sessions were revised more than once");
    const books = { deadLetters: 0, held: 0, inSessions: EVENTS, duplicates: sent - EVENTS };
    assertEquals(await ledgerOf(config), { consumed: sent, ...books });
    const context = recordingContext();
    await verifyData(config, { json: false, repair: false }, context);
    assertStringIncludes(context.printed.join("\n"), "Everything agrees.");
    const sessions = (await warehouseRows(config, ["sessions"])).get("sessions")!;
    const shown = (row: Row) => [row.session_id, row.revision, row.total_events].join(" ");
    assertEquals(sessions.map(shown).sort(), rows.map(shown).sort());
  }));
