/** A table that is packed, vacuumed and whose log is cleaned, as delta-rs reads it and while delta-rs writes to it. */
import { assert, assertEquals, assertGreater } from "@std/assert";
import { sessionColumnIndex } from "../../schema/session.ts";
import { cellAt } from "../../schema/column_batch.ts";
import { FolderStore } from "../../sinks/lake/folder_store.ts";
import { openDeltaLake } from "../../sinks/lake/lake.ts";
import { TableUpkeep } from "../../sinks/lake/upkeep.ts";
import { EMPTY_LEDGER } from "../../schema/epoch.ts";
import { CheckpointStore } from "../../sinks/checkpoint_store.ts";
import { nthCommit, sessionRows } from "../sinks/lake/lake_fixture.ts";
import { ALL_FOLLOWED, DAY_MS, EVERYTHING } from "../sinks/lake/upkeep_fixture.ts";
import { withTempDir } from "../support/command_context.ts";
import { runDeltaRs } from "./harness/delta_rs.ts";
import { tableUnderFire } from "./upkeep/fire.ts";

const READER = new URL("readers/delta_rs_upkeep.py", import.meta.url).pathname;

interface DeltaRsView {
  readonly newest: number;
  readonly files: Readonly<Record<string, number>>;
  readonly ids: readonly string[];
  readonly vacuumable: number;
}

Deno.test("delta-rs reads the same rows after OPTIMIZE, VACUUM and the log's cleanup, from our Delta checkpoint", () =>
  withTempDir(async (folder) => {
    const clock = { now: Date.now() };
    const [now, uuid] = [() => clock.now, () => crypto.randomUUID()];
    const store = new FolderStore({ root: folder, uuid });
    const lake = openDeltaLake({ store, pipeline: "web", topic: "web_clicks", now, uuid });
    const upkeep = new TableUpkeep({ store, now, uuid });
    await lake.open();
    const commit = async (n: number) => {
      const rows = sessionRows(
        [{ partition: 0, firstOffset: n }, { partition: 0, firstOffset: n + 1000 }],
        n,
      );
      await lake.commit(nthCommit(n, await lake.stage(n, rows)));
    };
    for (let n = 1; n <= 25; n++) await commit(n);
    const look = async (from: number): Promise<DeltaRsView> =>
      JSON.parse(await runDeltaRs(READER, [`${folder}/sessions`, String(from)], null));
    const ids = async () => {
      const rows = await lake.readSessions();
      const column = rows.columns[sessionColumnIndex("session_id")]!;
      return Array.from({ length: rows.rows }, (_, row) => cellAt(column, row) as string).sort();
    };
    const before = await look(0);
    assertEquals(before.ids, await ids());
    await upkeep.optimize(EVERYTHING);
    for (let n = 26; n <= 33; n++) await commit(n); // version 30 is a Delta checkpoint, with 25 tombstones
    const packed = await look(26);
    assertEquals(packed.ids, await ids());
    assertEquals([packed.files["26"], packed.files["34"], packed.vacuumable], [1, 9, 25]);

    const checkpoints = new CheckpointStore({
      store,
      pipeline: "web",
      topic: "web_clicks",
      notice: () => {},
    });
    const { barrier } = nthCommit(33).record.partitions[0]!;
    const header = {
      semanticsVersion: 2,
      pipeline: "web",
      topic: "web_clicks",
      barrier,
      ledger: EMPTY_LEDGER,
    };
    await checkpoints.write({ ...header, latestEventTime: null, deltaVersion: 34 }, []);
    clock.now += 32 * DAY_MS;
    const vacuumed = await upkeep.vacuum({ retentionMs: 7 * DAY_MS, force: false }, ALL_FOLLOWED);
    assertEquals(vacuumed.files.length, 25);
    const cleaned = await upkeep.cleanLog(ALL_FOLLOWED);
    assertEquals(cleaned.oldestVersion, 30);
    const after = await look(30);
    assertEquals(after.ids, packed.ids);
    assertEquals(Object.keys(after.files).length, after.newest - 30 + 1);
  }));

Deno.test("OPTIMIZE, epochs and revisions beside an appender of delta-rs: no row is lost or there twice", () =>
  withTempDir(async (folder) => {
    const report = await tableUnderFire(folder, { seconds: 15, spark: false });
    assertGreater(report.appended, 10);
    assertGreater(report.epochs, 10);
    assertGreater(report.optimized.filesRemoved, 20);
    assert(report.epochConflicts + report.optimized.conflicts > 0, "they met");
    const { optimized: { versions, ...optimized }, ...others } = report;
    console.log(JSON.stringify({ ...others, optimizeVersions: versions.length, ...optimized }));
  }));
