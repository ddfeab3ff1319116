/**
 * The table of a run with revisions, as others read it: delta-rs and Spark find the same rows at its versions, its change
 * data is what ClickHouse received, and both sinks hold what the oracle computes from the events alone.
 */
import { assert, assertEquals, assertGreater, assertStringIncludes } from "@std/assert";
import { startEmbeddedWarehouse } from "../../actors/supervisor.ts";
import { verifyData } from "../../commands/verify.ts";
import type { Config } from "../../schema/config.ts";
import { dataPaths } from "../../schema/data_paths.ts";
import { SESSION_COLUMNS } from "../../schema/session.ts";
import { createWarehouse } from "../../sinks/warehouse/clickhouse_warehouse.ts";
import { openAccess } from "../../sinks/warehouse/open.ts";
import { NAMED_QUERIES } from "../../sinks/warehouse/queries.ts";
import { SimulatedFeed } from "../../sources/simulated_feed.ts";
import { Simulator, virtualTimeline } from "../../sources/simulator.ts";
import { cellsOf, rowsOf, type SessionRow } from "../sinks/warehouse/harness.ts";
import { recordingContext, withTempDir } from "../support/command_context.ts";
import { configOf, feedEpochByEpoch, runToEnd, warehouseRows } from "../support/pipeline_run.ts";
import { runTool } from "./harness/cache.ts";
import { runDeltaRs } from "./harness/delta_rs.ts";
import { runSpark } from "./harness/spark.ts";

const EVENTS = 4_000;
/** A quarter of an hour over the end of a month: late events move rows to another date, and to another part of ClickHouse's. */
const END_MS = Date.UTC(2024, 5, 1, 0, 8);
/** 100 s of event time: a late event comes after the epoch that its session left with. */
const SEND_BYTES = 210 * 1024;
const SPARK_VERSIONS = 10;

const path = (relative: string) => new URL(relative, import.meta.url).pathname;
const COMPARE_TRUTH = path("../oracle/compare_truth.py");
const COMPARE_CLICKHOUSE = path("../oracle/compare_clickhouse.py");

/** A row of the change data feed. */
interface Change extends SessionRow {
  readonly _commit_version: number;
  readonly _change_type: "insert" | "update_preimage" | "update_postimage" | "delete";
}

async function inClickHouse<T>(config: Config, work: (access: ReturnType<typeof openAccess>) => Promise<T>) {
  const embedded = await startEmbeddedWarehouse(dataPaths(config.dataDir).warehouse);
  const access = openAccess(config, embedded.connect());
  const warehouse = createWarehouse({ access });
  try {
    await warehouse.open();
    return await work(access);
  } finally {
    await warehouse.close();
    await embedded.close();
  }
}

/** Makes ClickHouse keep all that it receives: a merge would collapse the rows that a revision withdraws. */
async function keepEveryRow(config: Config): Promise<void> {
  const query = "ALTER TABLE session_metrics MODIFY SETTING max_bytes_to_merge_at_max_space_in_pool = 1";
  await inClickHouse(config, ({ client }) => client.command({ query }));
}

async function linesOf(file: string): Promise<string[]> {
  return (await Deno.readTextFile(file)).split("\n").slice(0, -1);
}

/** The rows at each version as its change data makes them of those before, as text and sorted. */
function accumulate(changes: readonly Change[], newest: number): string[][] {
  const byVersion = Map.groupBy(changes, ({ _commit_version }) => _commit_version);
  const rows = new Set<string>();
  return Array.from({ length: newest + 1 }, (_, version) => {
    const own = (byVersion.get(version) ?? []).map(({ _commit_version: _, _change_type: type, ...row }) => ({
      withdraws: type === "update_preimage" || type === "delete",
      text: JSON.stringify(row),
    }));
    for (const { text } of own.filter(({ withdraws }) => withdraws)) {
      assert(rows.delete(text), `version ${version} withdraws a row that is there: ${text}`);
    }
    for (const { text } of own.filter(({ withdraws }) => !withdraws)) {
      assert(!rows.has(text), `version ${version} brings a row that is not there: ${text}`);
      rows.add(text);
    }
    return [...rows].sort();
  });
}

/** What came to ClickHouse with each version, as text and sorted; a part holds rows of one insert. */
async function receivedRows(config: Config, changes: readonly Change[]): Promise<Map<number, string[]>> {
  const columns = ["_part", "sign", ...SESSION_COLUMNS.map(({ name }) => name)].join(", ");
  const query = `SELECT ${columns} FROM session_metrics`;
  const parts = Map.groupBy(await inClickHouse(config, (access) => rowsOf(access, query)), ([part]) => part);
  const versions = new Map(changes.map((change) => [changeText(change), change._commit_version]));
  const received = new Map<number, string[]>();
  for (const [part, rows] of parts) {
    const texts = rows.map((row) => JSON.stringify(row.slice(1)));
    const version = versions.get(texts[0]!);
    assert(version !== undefined, `part ${part} has a row that is in no version: ${texts[0]}`);
    received.getOrInsert(version, []).push(...texts);
  }
  return new Map([...received].map(([version, texts]) => [version, texts.sort()]));
}

/** A change as the row of ClickHouse's that follows from it. */
function changeText(change: Change): string {
  const sign = change._change_type === "update_preimage" || change._change_type === "delete" ? -1 : 1;
  return JSON.stringify([sign, ...cellsOf(change)]);
}

/** A run that makes a good number of versions, most of them with revisions; the truth is in `truthPath`. */
async function runWithRevisions(config: Config, truthPath: string): Promise<void> {
  const shares = { late: 0.05, duplicates: 0.05, outOfOrder: 0.05 };
  const simulator = new Simulator({ seed: 23, ...virtualTimeline(EVENTS, END_MS), ...shares });
  await feedEpochByEpoch(config, new SimulatedFeed(simulator, { events: EVENTS, truthPath }), SEND_BYTES);
  await runToEnd(config);
}

Deno.test("The table of a run with 5 % late, duplicate and out-of-order events, as others read it", (t) =>
  withTempDir(async (dir) => {
    const env = { DATA_DIR: `${dir}/data`, EPOCH_INTERVAL: "500ms", REVISION_INTERVAL: "500ms" };
    const config = configOf({ ...env, KAFKA_PARTITIONS: "2" });
    const [table, truth, out] = [`${config.dataDir}/lake/sessions`, `${dir}/truth.json`, `${dir}/out`];
    await Deno.mkdir(out);
    await keepEveryRow(config);
    await runWithRevisions(config, truth);
    const newest = Number(await runDeltaRs(path("readers/delta_rs_rows.py"), [table, out], null));
    const changes = (await linesOf(`${out}/changes.jsonl`)).map((line) => JSON.parse(line) as Change);
    const revisions = changes.filter(({ _change_type }) => _change_type === "update_preimage");

    await t.step(
      "delta-rs reads the rows of every version, and they are the sums of its change data",
      async () => {
        assertGreater(newest, SPARK_VERSIONS, "there are versions to choose from");
        assertGreater(revisions.length, 50, "there are revisions");
        for (const [version, rows] of accumulate(changes, newest).entries()) {
          const read = (await linesOf(`${out}/delta-rs-${version}.jsonl`)).map((line) =>
            JSON.stringify(JSON.parse(line))
          );
          assertEquals(read.sort(), rows, `version ${version}`);
        }
      },
    );

    await t.step("ClickHouse received the change data of each version, and nothing else", async () => {
      const received = await receivedRows(config, changes);
      const expected = Map.groupBy(changes, ({ _commit_version }) => _commit_version);
      assertEquals([...received.keys()].sort(), [...expected.keys()].sort());
      for (const [version, own] of expected) {
        assertEquals(received.get(version), own.map(changeText).sort(), `version ${version}`);
      }
    });

    await t.step(
      "Spark reads the same rows as delta-rs at the newest version and at ten others",
      async () => {
        const others = Array.from(
          { length: SPARK_VERSIONS },
          (_, i) => Math.floor(i * newest / SPARK_VERSIONS),
        );
        const scratch = `${dir}/spark`;
        await Deno.mkdir(scratch);
        const versions = ["newest", ...others.map(String)];
        await runSpark(path("readers/spark_rows.py"), [table, out, ...versions], scratch);
        for (const version of versions) {
          const same = version === "newest" ? newest : version;
          assertEquals(
            await linesOf(`${out}/spark-${version}.jsonl`),
            await linesOf(`${out}/delta-rs-${same}.jsonl`),
            `version ${version}`,
          );
        }
      },
    );

    await t.step("both sinks and the six views hold what the oracle makes of the events", async () => {
      const compared = [(await runDeltaRs(COMPARE_TRUTH, [table, truth], null)).trim()];
      for (const [name, rows] of await warehouseRows(config, [...NAMED_QUERIES.keys()])) {
        const answer = `${out}/${name}.json`;
        await Deno.writeTextFile(answer, JSON.stringify(rows));
        const args = [COMPARE_CLICKHOUSE, truth, name, answer];
        compared.push((await runTool("python3", { args, otherwise: "install Python." })).trim());
      }
      for (const line of compared) assertStringIncludes(line, "; 0 differences");
      const context = recordingContext();
      await verifyData(config, { json: false, repair: false }, context);
      assertStringIncludes(context.printed.join("\n"), "Everything agrees.");
      console.log(`${compared.join("\n")}\n${newest + 1} versions, ${revisions.length} revisions`);
    });
  }));
