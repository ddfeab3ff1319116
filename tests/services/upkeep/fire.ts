/** A table under fire: our epochs, revisions and OPTIMIZE beside another engine's appends, and Spark's MERGE. */
import { assertEquals } from "@std/assert";
import { cellAt } from "../../../schema/column_batch.ts";
import { sessionColumnIndex } from "../../../schema/session.ts";
import { FolderStore } from "../../../sinks/lake/folder_store.ts";
import { openDeltaLake } from "../../../sinks/lake/lake.ts";
import { addReports, NOTHING_OPTIMIZED, type OptimizeReport } from "../../../sinks/lake/optimize_report.ts";
import { TableUpkeep } from "../../../sinks/lake/upkeep.ts";
import { nthCommit, revisionRows, sessionRows } from "../../sinks/lake/lake_fixture.ts";
import { runDeltaRs } from "../harness/delta_rs.ts";
import { runSpark } from "../harness/spark.ts";

const path = (relative: string) => new URL(relative, import.meta.url).pathname;
const TARGET_BYTES = 4 * 1024 * 1024;
/** How fast everyone is: a MERGE takes Spark seconds, and needs to find the table at rest for so long now and then. */
const FAST = { epochMs: 100, optimizeMs: 500, appendS: 0.05 };
const SLOW = { epochMs: 1_000, optimizeMs: 15_000, appendS: 0.5 };

/** What was done, and what others were in the way of. */
export interface FireReport {
  readonly epochs: number;
  readonly epochConflicts: number;
  readonly slowestCommitMs: number;
  readonly revisions: number;
  readonly optimized: OptimizeReport;
  readonly appended: number;
  readonly merged: number;
  readonly mergeConflicts: number;
}

/**
 * Fires for some seconds, then proves that no row is lost or there twice.
 *
 * @param folder an empty folder
 */
export async function tableUnderFire(
  folder: string,
  { seconds, spark }: { readonly seconds: number; readonly spark: boolean },
): Promise<FireReport> {
  const now = () => Date.now();
  const uuid = () => crypto.randomUUID();
  const store = new FolderStore({ root: `${folder}/lake`, uuid });
  const lake = openDeltaLake({ store, pipeline: "web", topic: "web_clicks", now, uuid });
  const upkeep = new TableUpkeep({ store, now, uuid });
  const table = `${folder}/lake/sessions`;
  await lake.open();
  await lake.commit(nthCommit(1, await lake.stage(1, sessionRows([{ partition: 0, firstOffset: 0 }], 1))));
  const firing = { now: true };
  const pace = spark ? SLOW : FAST;
  const append = async () => {
    const printed = await runDeltaRs(path("delta_rs_append.py"), [
      table,
      String(seconds),
      String(pace.appendS),
    ], null);
    return printed.trim().split(" ").map(Number) as [number, number];
  };
  const merge = async () => {
    if (!spark) return [0, 0] as [number, number];
    const scratch = `${folder}/spark`;
    await Deno.mkdir(scratch);
    const printed = await runSpark(path("spark_merge.py"), [table, String(seconds)], scratch);
    return printed.trim().split("\n").at(-1)!.split(" ").map(Number) as [number, number];
  };
  const others = Promise.all([append(), merge()]).finally(() => firing.now = false);
  const optimizing = (async () => {
    let report = NOTHING_OPTIMIZED;
    while (firing.now) {
      const plan = { targetBytes: TARGET_BYTES, writtenBeforeMs: Infinity, date: null, patient: false };
      report = addReports(report, await upkeep.optimize(plan));
      await new Promise((resolve) => setTimeout(resolve, pace.optimizeMs));
    }
    return report;
  })();
  const ours = await epochsWhile(lake, pace.epochMs, () => firing.now);
  const [[appended], [merged, mergeConflicts]] = await others;
  const optimized = await optimizing;
  await assertRows(lake, { sessions: ours.sessions, appended, merged });
  const { sessions: _, ...epochs } = ours;
  return { ...epochs, optimized, appended, merged, mergeConflicts };
}

/** Commits an epoch with three sessions and a revision of an earlier one, again and again. */
async function epochsWhile(lake: ReturnType<typeof openDeltaLake>, epochMs: number, firing: () => boolean) {
  const newest = new Map([[0, { revision: 0, epoch: 1 }]]);
  let [epoch, epochConflicts, slowestCommitMs, revisions] = [1, 0, 0, 0];
  while (firing()) {
    epoch++;
    const offsets = [0, 1, 2].map((i) => epoch * 10 + i);
    const [revised, before] = [...newest][(epoch * 7) % newest.size]!;
    const rows = sessionRows(offsets.map((firstOffset) => ({ partition: 0, firstOffset })), epoch);
    const revision = before.revision + 1;
    const changes = revisionRows(
      [{ partition: 0, firstOffset: revised, revision, replaces: before.epoch }],
      epoch,
    );
    const files = await lake.stage(epoch, rows);
    const started = performance.now();
    const outcome = await lake.commit(nthCommit(epoch, files, changes));
    slowestCommitMs = Math.max(slowestCommitMs, performance.now() - started);
    if (outcome.status !== "committed") throw new Error("nobody else commits epochs");
    epochConflicts += outcome.conflicts;
    revisions++;
    newest.set(revised, { revision, epoch });
    for (const offset of offsets) newest.set(offset, { revision: 0, epoch });
    await new Promise((resolve) => setTimeout(resolve, epochMs));
  }
  const sessions = new Map([...newest].map(([offset, { revision }]) => [`s-0-${offset}`, revision]));
  return { epochs: epoch, epochConflicts, slowestCommitMs, revisions, sessions };
}

interface Expected {
  /** Our sessions' revisions by their ids. */
  readonly sessions: ReadonlyMap<string, number>;
  readonly appended: number;
  readonly merged: number;
}

async function assertRows(lake: ReturnType<typeof openDeltaLake>, { sessions, appended, merged }: Expected) {
  const rows = await lake.readSessions();
  const [ids, revisions] = ["session_id", "revision"].map((name) => rows.columns[sessionColumnIndex(name)]!);
  const found = Array.from({ length: rows.rows }, (_, row): [string, number] => [
    cellAt(ids!, row) as string,
    cellAt(revisions!, row) as number,
  ]);
  const count = (prefix: string) =>
    Array.from({ length: prefix === "foreign" ? appended : merged }, (_, i) => `${prefix}-${i}`);
  assertEquals(
    found.map(([id]) => id).sort(),
    [...sessions.keys(), ...count("foreign"), ...count("spark")].sort(),
    "every row is there once",
  );
  for (const [id, revision] of found) if (sessions.has(id)) assertEquals(revision, sessions.get(id), id);
}
