/** Sessions as Parquet files: one for each `session_date`, without that column, which the Delta log holds. */
import type { Column, ColumnBatch, ColumnKind } from "../../schema/column_batch.ts";
import { ColumnBatchBuilder } from "../../schema/column_batch.ts";
import { invariant } from "../../schema/errors.ts";
import { SESSION_COLUMNS, SESSION_KINDS, sessionColumnIndex } from "../../schema/session.ts";
import { type ColumnSpec, fromArrow, toArrow } from "./arrow.ts";
import { PARTITION_COLUMN } from "./delta_schema.ts";
import { decodeParquet, encodeParquet } from "./parquet.ts";
import { allRows, type RowSelection, takeRows } from "../../schema/take_rows.ts";

/** What a reader of the table gets: the columns of the files, and the partition column (`YYYY-MM-DD`). */
export const TABLE_COLUMNS: readonly ColumnSpec[] = [
  ...SESSION_COLUMNS,
  { name: PARTITION_COLUMN, kind: "utf8", nullable: false },
];

const TABLE_KINDS: readonly ColumnKind[] = TABLE_COLUMNS.map(({ kind }) => kind);
const SESSION_START = sessionColumnIndex("session_start");
const SOURCE_PARTITION = sessionColumnIndex("source_partition");
const FIRST_OFFSET = sessionColumnIndex("first_offset");
const DAY_MICROS = 24n * 60n * 60n * 1_000_000n;

/** The rows of one `session_date`. */
export interface DatedRows {
  readonly sessionDate: string;
  readonly rows: ColumnBatch;
}

function int64Values(column: Column | undefined): BigInt64Array {
  invariant(column?.kind === "int64" || column?.kind === "timestamp", "an int64 column was expected");
  return column.values;
}

function int32Values(column: Column | undefined): Int32Array {
  invariant(column?.kind === "int32", "an int32 column was expected");
  return column.values;
}

function selectionOf(rows: readonly number[]): RowSelection {
  return { batch: new Uint32Array(rows.length), row: Uint32Array.from(rows) };
}

/** The rows by the UTC date of `session_start`, dates ascending, rows in the order they came in. */
export function splitByDate(batch: ColumnBatch): DatedRows[] {
  const byDay = new Map<number, number[]>();
  for (const [row, start] of int64Values(batch.columns[SESSION_START]).entries()) {
    const day = Number(start / DAY_MICROS) - (start % DAY_MICROS < 0n ? 1 : 0);
    const rows = byDay.get(day);
    if (rows === undefined) byDay.set(day, [row]);
    else rows.push(row);
  }
  return [...byDay].sort(([a], [b]) => a - b).map(([day, rows]) => ({
    sessionDate: new Date(day * 86_400_000).toISOString().slice(0, 10),
    // The usual epoch lies within one day and is taken as it is.
    rows: byDay.size === 1 ? batch : takeRows(SESSION_KINDS, [batch], selectionOf(rows)),
  }));
}

/** A data file's bytes. */
export function encodeSessions(rows: ColumnBatch): Uint8Array {
  return encodeParquet(toArrow(SESSION_COLUMNS, rows));
}

/** A data file's rows. `origin`: the file, for sentences. */
export function decodeSessions(bytes: Uint8Array, origin: string): ColumnBatch {
  return fromArrow(SESSION_COLUMNS, decodeParquet(bytes, origin), origin);
}

/** Every row of the batches, ordered (source_partition, first_offset, their order so far). */
function inSourceOrder(batches: readonly ColumnBatch[]): RowSelection {
  const { batch, row } = allRows(batches);
  const partitions = batches.map(({ columns }) => int32Values(columns[SOURCE_PARTITION]));
  const offsets = batches.map(({ columns }) => int64Values(columns[FIRST_OFFSET]));
  const order = Uint32Array.from(row.keys()).sort((a, b) => {
    const byPartition = partitions[batch[a]!]![row[a]!]! - partitions[batch[b]!]![row[b]!]!;
    if (byPartition !== 0) return byPartition;
    return Number(offsets[batch[a]!]![row[a]!]! - offsets[batch[b]!]![row[b]!]!) || a - b;
  });
  return { batch: order.map((i) => batch[i]!), row: order.map((i) => row[i]!) };
}

/** The rows of several files as one batch, ordered (source_partition, first_offset). */
export function mergeSessions(batches: readonly ColumnBatch[]): ColumnBatch {
  return takeRows(SESSION_KINDS, batches, inSourceOrder(batches));
}

/** Rows of {@linkcode TABLE_COLUMNS}, ordered (source_partition, first_offset), from rows by date. */
export function mergeDatedSessions(parts: readonly DatedRows[]): ColumnBatch {
  const batches = parts.map(({ sessionDate, rows }) => {
    const dates = new ColumnBatchBuilder(["utf8"]);
    for (let row = 0; row < rows.rows; row++) dates.push([sessionDate]);
    return { rows: rows.rows, columns: [...rows.columns, ...dates.finish().columns] };
  });
  return takeRows(TABLE_KINDS, batches, inSourceOrder(batches));
}
