/**
 * A table of many commits, made fast over a simulated clock: what a commit, opening the table and a query cost as it grows,
 * with the upkeep that a running pipeline has. Then what OPTIMIZE spares a query by brand.
 *
 *     deno task bench:table [COMMITS]
 */
import { ParquetFile } from "parquet-wasm";
import { systemClock } from "../actors/clock.ts";
import { formatTable } from "../commands/terminal.ts";
import type { ObjectStore } from "../sinks/sink.ts";
import { resolveConfig } from "../schema/config.ts";
import { type AddFile, dateOfFile } from "../sinks/lake/delta_actions.ts";
import { DeltaLog } from "../sinks/lake/delta_log.ts";
import { FolderStore } from "../sinks/lake/folder_store.ts";
import { type DeltaLake, openDeltaLake, TABLE_ROOT } from "../sinks/lake/lake.ts";
import { optimizePlan } from "../sinks/lake/optimize_plan.ts";
import { decodeParquet } from "../sinks/lake/parquet.ts";
import { TableUpkeep } from "../sinks/lake/upkeep.ts";
import { syntheticCommit, syntheticRows } from "./synthetic_epochs.ts";

const START_MS = Date.UTC(2024, 4, 1);
const EPOCH_MS = 10_000;
const SESSIONS_PER_EPOCH = 20;
const OPTIMIZE_COMMITS = 60;
/** Commits that one figure is of: as many after each OPTIMIZE as there are between two. */
const WINDOW = OPTIMIZE_COMMITS;
const LOADS = 15;
/** Commits from one Delta checkpoint to the next: a load reads those since the last one, so it is measured after each. */
const CHECKPOINT_CYCLE = 10;
/** A query asks for so much of the newest past. */
const QUERIED_MS = 10 * 60_000;

const { config } = resolveConfig({ env: {}, secretFiles: {}, flags: {} });
const uuid = () => crypto.randomUUID();
const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = systemClock.monotonic();
  await work();
  return systemClock.monotonic() - started;
}

/** A table in a folder, at the simulated time `now`. */
class GrowingTable {
  now = START_MS;
  /** How long the table was busy after each commit. */
  readonly checkpointMs: number[] = [];
  readonly store: ObjectStore;
  readonly lake: DeltaLake;
  readonly upkeep: TableUpkeep;

  constructor(root: string) {
    const now = () => this.now;
    this.store = new FolderStore({ root, uuid });
    this.lake = openDeltaLake({ store: this.store, pipeline: "web", topic: "web_clicks", now, uuid });
    this.upkeep = new TableUpkeep({ store: this.store, now, uuid });
  }

  /** Commits epoch `n`; returns the milliseconds that the commit took. */
  async commit(n: number, sessions: number): Promise<number> {
    this.now += EPOCH_MS;
    const files = await this.lake.stage(n, syntheticRows(n, sessions, this.now));
    const ms = await timed(() => this.lake.commit(syntheticCommit(n, files, this.now)));
    // Every tenth commit is followed by a Delta checkpoint, for which the table's next operation waits.
    this.checkpointMs.push(await timed(() => this.lake.state()));
    return ms;
  }

  optimize() {
    return this.upkeep.optimize(optimizePlan(config, this.now, { date: null, patient: true }));
  }

  /** The files that may hold sessions of a brand since a time, by the log's statistics. */
  async prune(brand: string, sinceMs: number): Promise<{ readonly path: string; readonly file: AddFile }[]> {
    const replay = await new DeltaLog(this.store, TABLE_ROOT).load();
    const date = new Date(sinceMs).toISOString().slice(0, 10);
    return [...replay!.snapshot().files].flatMap(([path, file]) => {
      if (dateOfFile(file) < date) return [];
      const { minValues, maxValues } = JSON.parse(file.stats!);
      const holds = minValues.brand <= brand && brand <= maxValues.brand &&
        Date.parse(maxValues.session_start) >= sinceMs;
      return holds ? [{ path, file }] : [];
    });
  }

  /** Counts the sessions of a brand since a time. */
  async query(brand: string, sinceMs: number): Promise<number> {
    let sessions = 0;
    for (const { path } of await this.prune(brand, sinceMs)) {
      const bytes = await this.store.get(TABLE_ROOT + path);
      const table = decodeParquet(bytes!, path, { columns: ["brand", "session_start"] });
      const [brands, starts] = [table.getChild("brand")!, table.getChild("session_start")!];
      for (let row = 0; row < table.numRows; row++) {
        if (brands.get(row) === brand && Number(starts.get(row)) >= sinceMs) sessions++;
      }
    }
    return sessions;
  }

  /** Files and bytes that a query by brand reads where it skips row groups without the brand. */
  async scan(brand: string): Promise<{ files: number; bytes: number; ofBytes: number }> {
    const scanned = { files: 0, bytes: 0, ofBytes: 0 };
    for (const { path } of await this.prune(brand, 0)) {
      const bytes = (await this.store.get(TABLE_ROOT + path))!;
      const metadata = (await ParquetFile.fromFile(new Blob([bytes as BlobPart]))).metadata();
      const groups = Array.from({ length: metadata.numRowGroups() }, (_, i) => metadata.rowGroup(i));
      const sizes = groups.map((group) => group.compressedSize());
      scanned.files++;
      scanned.ofBytes += bytes.length;
      // Pages and what describes them: a reader has to read the latter in any case.
      scanned.bytes += bytes.length - sizes.reduce((sum, size) => sum + size, 0);
      for (let group = 0, at = 0; group < groups.length; group++) {
        const rows = groups[group]!.numRows();
        const part = decodeParquet(bytes, path, { columns: ["brand"], offset: at, limit: rows });
        const brands = [...part.getChild("brand")!].map(String).sort();
        if (brands[0]! <= brand && brand <= brands.at(-1)!) scanned.bytes += sizes[group]!;
        at += rows;
      }
    }
    return scanned;
  }
}

/** A table that grows with its upkeep, measured at some versions. */
async function growth(root: string, commits: number): Promise<void> {
  const table = new GrowingTable(root);
  await table.lake.open();
  const at = [100, 1_000, commits].filter((version) => version <= commits);
  const measured: number[][] = [];
  let recent: number[] = [];
  let loads: number[] = [];
  const repeated = async (work: () => Promise<unknown>) => {
    const times: number[] = [];
    for (let i = 0; i < LOADS; i++) times.push(await timed(work));
    return times;
  };
  const load = () => new DeltaLog(table.store, TABLE_ROOT).load();
  // OPTIMIZE and measuring are versions too, so the epochs count.
  for (let n = 1; n <= commits; n++) {
    recent.push(await table.commit(n, SESSIONS_PER_EPOCH));
    if (at.some((version) => version - CHECKPOINT_CYCLE < n && n <= version)) {
      loads.push(...await repeated(load));
    }
    if (n % OPTIMIZE_COMMITS === 0) await table.optimize();
    if (!at.includes(n)) continue;
    recent = recent.slice(-WINDOW);
    const since = table.now - QUERIED_MS;
    measured.push([
      n,
      mean(recent),
      median(recent),
      // One in ten wrote one.
      median(table.checkpointMs.slice(-WINDOW).toSorted((a, b) => b - a).slice(0, WINDOW / 10)),
      median(loads),
      median(await repeated(() => table.prune("Posten", since))),
      median(await repeated(() => table.query("Posten", since))),
      (await table.lake.summary()).files,
    ]);
    loads = [];
    console.error(measured.at(-1)!.map((value) => value.toFixed(2)).join("  "));
  }
  const [first] = measured;
  const columns = [
    "commits",
    "commit, mean ms",
    "commit, median ms",
    "checkpoint ms",
    "load ms",
    "prune ms",
    "query ms",
    "files",
  ];
  const rows = measured.map((row) =>
    row.map((value, i) =>
      i === 0 || i === 7 ? value : `${value.toFixed(1)} (${(value / first![i]!).toFixed(2)}×)`
    )
  );
  console.log(formatTable({ columns, rows }));
}

/** A date's small files, before and after OPTIMIZE. */
async function packing(root: string): Promise<void> {
  const table = new GrowingTable(root);
  await table.lake.open();
  for (let n = 1; n <= 300; n++) await table.commit(n, 200);
  table.now += 3_600_000;
  const before = await table.scan("Posten");
  const started = systemClock.monotonic();
  await table.optimize();
  const seconds = (systemClock.monotonic() - started) / 1000;
  const after = await table.scan("Posten");
  console.log(formatTable({
    columns: ["a query by brand", "files scanned", "bytes read", "of bytes"],
    rows: [["before OPTIMIZE", before], ["after", after]].map(([name, scan]) => {
      const { files, bytes, ofBytes } = scan as typeof before;
      return [name, files, bytes, ofBytes];
    }),
  }));
  console.log(`60,000 sessions in 300 files were packed in ${seconds.toFixed(1)} s.`);
}

const root = await Deno.makeTempDir();
try {
  await packing(`${root}/packing`);
  await growth(`${root}/growth`, Number(Deno.args[0] ?? 20_000));
} finally {
  await Deno.remove(root, { recursive: true });
}
