/**
 * OPTIMIZE: many small files of a date become few larger ones, sorted so that a reader's filter by brand skips most of
 * their row groups. No row changes (`dataChange: false`), so whoever follows the table's changes finds none here.
 */
import type { Table } from "apache-arrow";
import type { ColumnBatch } from "../../schema/column_batch.ts";
import { invariant } from "../../schema/errors.ts";
import { SESSION_COLUMNS, sessionColumnIndex } from "../../schema/session.ts";
import { allRows, type RowSelection } from "../../schema/take_rows.ts";
import type { StagedFile } from "../sink.ts";
import { fromArrow } from "./arrow.ts";
import { type DataFiles, rowGroups } from "./data_files.ts";
import { type DeltaAction, removeOf } from "./delta_actions.ts";
import type { DeltaSchema } from "./delta_schema.ts";
import type { Snapshot } from "./delta_snapshot.ts";
import type { DeltaTable } from "./delta_table.ts";
import { addOf } from "./lake_commit.ts";
import { type Bin, planBins, type PlanOptions, type TableFile } from "./optimize_plan.ts";
import { addReports, NOTHING_OPTIMIZED, type OptimizeReport } from "./optimize_report.ts";
import { decodeParquet } from "./parquet.ts";
import { otherColumns, otherNames } from "./session_files.ts";
import { readInSlices } from "./slices.ts";

/** Files read at the same time. */
const PARALLEL_READS = 4;

const BRAND = sessionColumnIndex("brand");
const SESSION_START = sessionColumnIndex("session_start");

export interface OptimizeDeps {
  readonly table: DeltaTable;
  readonly files: DataFiles;
  /** Wall clock, epoch milliseconds. */
  readonly now: () => number;
  readonly uuid: () => string;
  /** As `commitInfo.engineInfo` has it. */
  readonly engineInfo: string;
  /** Where it is to stop: the bin at work is finished. */
  readonly signal?: AbortSignal;
}

/**
 * Packs the table's small files, a commit a bin.
 *
 * @param plan which files; see {@linkcode planBins}
 * @throws {SinkError} where the store failed or a file cannot be read
 */
export async function optimize(deps: OptimizeDeps, plan: PlanOptions): Promise<OptimizeReport> {
  let report = NOTHING_OPTIMIZED;
  for (const bin of planBins((await deps.table.refresh()).files, plan)) {
    if (deps.signal?.aborted) break;
    // What happened meanwhile is looked at bin by bin.
    const snapshot = await deps.table.refresh();
    report = addReports(report, await packBin(deps, bin, snapshot, plan));
  }
  return report;
}

/** A file's rows, with the columns that others added to the table. */
interface FileRows {
  readonly source: TableFile;
  readonly rows: ColumnBatch;
  readonly others: Table | null;
}

async function packBin(
  deps: OptimizeDeps,
  bin: Bin,
  snapshot: Snapshot,
  plan: PlanOptions,
): Promise<OptimizeReport> {
  const gone = { ...NOTHING_OPTIMIZED, abandoned: 1 };
  const { schemaString } = snapshot.metaData;
  if (!bin.files.every(({ path }) => snapshot.files.has(path))) return gone;
  const names = otherNames(JSON.parse(schemaString) as DeltaSchema);
  const read = async (source: TableFile): Promise<FileRows> => {
    const table = decodeParquet(await deps.files.read(source.path), source.path);
    const rows = fromArrow(SESSION_COLUMNS, table, source.path);
    return { source, rows, others: otherColumns(table, names) };
  };
  const parts: FileRows[] = [];
  for await (const part of readInSlices(bin.files, read, PARALLEL_READS)) parts.push(part);
  // Files whose added columns differ stay apart: what a reader makes of such a mixture is not for us to decide.
  const alike = [...Map.groupBy(parts, ({ others }) => String(others?.schema ?? ""))]
    .map(([, group]) => group).filter((group) => group.length > 1);
  if (alike.length === 0) return NOTHING_OPTIMIZED;
  const added: StagedFile[] = [];
  for (const group of alike) added.push(await writePacked(deps.files, bin.sessionDate, group));
  const removed = alike.flat().map(({ source }) => source);
  const txnId = deps.uuid();
  const outcome = await deps.table.commit<"gone">(txnId, (newest) => {
    const holds = newest.metaData.schemaString === schemaString &&
      removed.every(({ path }) => newest.files.has(path));
    return Promise.resolve(
      holds ? { actions: optimizeActions(deps, removed, added, plan, txnId) } : { refused: "gone" as const },
    );
  });
  // The uploads of a bin that is given up are named by no commit: VACUUM finds them.
  if (outcome.status === "refused") return gone;
  return {
    versions: [outcome.version],
    filesRemoved: removed.length,
    bytesRemoved: sum(removed.map(({ file }) => file.size)),
    filesAdded: added.length,
    bytesAdded: sum(added.map(({ size }) => size)),
    conflicts: outcome.conflicts,
    abandoned: 0,
  };
}

/** Writes the rows of files as one file: sorted, unless they have columns whose rows cannot be moved one by one. */
async function writePacked(
  files: DataFiles,
  sessionDate: string,
  group: readonly FileRows[],
): Promise<StagedFile> {
  const batches = group.map(({ rows }) => rows);
  const before = sum(batches.map(({ rows }) => rows));
  const [first, ...rest] = group.flatMap(({ others }) => others ?? []);
  const others = first === undefined ? null : first.concat(...rest);
  const order = others === null ? brandOrder(batches) : allRows(batches);
  const file = await files.writePacked(sessionDate, rowGroups(batches, order, others));
  invariant(
    file.rows === before && (others === null || others.numRows === before),
    "OPTIMIZE keeps every row",
  );
  return file;
}

/** Every row of the batches, ordered (brand by bytes, session_start, their order so far). */
export function brandOrder(batches: readonly ColumnBatch[]): RowSelection {
  const { batch, row } = allRows(batches);
  const decoder = new TextDecoder();
  const brands = Array.from(row, (index, i) => {
    const column = batches[batch[i]!]!.columns[BRAND]!;
    invariant(column.kind === "utf8", "the brand is a text");
    const { bytes, offsets } = column.values;
    return column.valid[index] === 0
      ? ""
      : decoder.decode(bytes.subarray(offsets[index]!, offsets[index + 1]!));
  });
  // UTF-16 code units sort texts beyond the basic plane elsewhere, which costs nothing but their neighbours.
  const ranks = new Map([...new Set(brands)].sort().map((brand, rank) => [brand, rank]));
  const rank = Uint32Array.from(brands, (brand) => ranks.get(brand)!);
  const starts = Float64Array.from(row, (index, i) => {
    const column = batches[batch[i]!]!.columns[SESSION_START]!;
    invariant(column.kind === "timestamp", "the session's start is a time");
    return Number(column.values[index]!);
  });
  const order = Uint32Array.from(row.keys()).sort((a, b) =>
    rank[a]! - rank[b]! || starts[a]! - starts[b]! || a - b
  );
  return { batch: order.map((i) => batch[i]!), row: order.map((i) => row[i]!) };
}

function optimizeActions(
  { now, engineInfo }: OptimizeDeps,
  removed: readonly TableFile[],
  added: readonly StagedFile[],
  { targetBytes, date, patient }: PlanOptions,
  txnId: string,
): DeltaAction[] {
  const timestamp = now();
  const commitInfo = {
    timestamp,
    operation: "OPTIMIZE",
    operationParameters: {
      predicate: JSON.stringify(date === null ? [] : [`session_date = '${date}'`]),
      targetSize: String(targetBytes),
      auto: patient,
    },
    operationMetrics: {
      numRemovedFiles: String(removed.length),
      numAddedFiles: String(added.length),
      numRemovedBytes: String(sum(removed.map(({ file }) => file.size))),
      numAddedBytes: String(sum(added.map(({ size }) => size))),
      numCopiedRows: String(sum(added.map(({ rows }) => rows))),
    },
    engineInfo,
    isBlindAppend: false,
    txnId,
  };
  return [
    { commitInfo },
    ...removed.map(({ file }) => ({ remove: removeOf(file, timestamp, false) })),
    ...added.map((file) => ({ add: addOf(file, false) })),
  ];
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
