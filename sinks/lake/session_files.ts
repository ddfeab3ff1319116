/** Sessions as Parquet files: one for each `session_date`, without that column, which the Delta log holds. */
import type { Table } from "apache-arrow";
import type { Column, ColumnBatch, ColumnKind } from "../../schema/column_batch.ts";
import { ColumnBatchBuilder } from "../../schema/column_batch.ts";
import { invariant } from "../../schema/errors.ts";
import { SESSION_COLUMNS, SESSION_KINDS, sessionColumnIndex } from "../../schema/session.ts";
import { type ColumnSpec, fromArrow, toArrow } from "./arrow.ts";
import { type DeltaSchema, PARTITION_COLUMN } from "./delta_schema.ts";
import { decodeParquet, encodeParquet } from "./parquet.ts";
import { allRows, type RowSelection, takeRows } from "../../schema/take_rows.ts";

/** What a reader of the table gets: the columns of the files, and the partition column (`YYYY-MM-DD`). */
export const TABLE_COLUMNS: readonly ColumnSpec[] = [
  ...SESSION_COLUMNS,
  { name: PARTITION_COLUMN, kind: "utf8", nullable: false },
];

const TABLE_KINDS: readonly ColumnKind[] = TABLE_COLUMNS.map(({ kind }) => kind);
const SESSION_START = sessionColumnIndex("session_start");
const SESSION_END = sessionColumnIndex("session_end");
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

/** The rows of one batch, in the order given. */
export function selectionOf(rows: readonly number[]): RowSelection {
  return { batch: new Uint32Array(rows.length), row: Uint32Array.from(rows) };
}

/** The day, since the epoch, of a time in microseconds. */
function dayOf(micros: bigint): number {
  return Number(micros / DAY_MICROS) - (micros % DAY_MICROS < 0n ? 1 : 0);
}

function dateOfDay(day: number): string {
  return new Date(day * 86_400_000).toISOString().slice(0, 10);
}

/** The UTC dates on which a row's session starts and ends. */
export function sessionDates(
  rows: ColumnBatch,
): (row: number) => { readonly start: string; readonly end: string } {
  const [starts, ends] = [SESSION_START, SESSION_END].map((index) => int64Values(rows.columns[index]));
  return (row) => ({ start: dateOfDay(dayOf(starts![row]!)), end: dateOfDay(dayOf(ends![row]!)) });
}

/** The rows by the UTC date of `session_start`, dates ascending, rows in the order they came in. */
export function splitByDate(batch: ColumnBatch): DatedRows[] {
  const byDay = new Map<number, number[]>();
  for (const [row, start] of int64Values(batch.columns[SESSION_START]).entries()) {
    const day = dayOf(start);
    const rows = byDay.get(day);
    if (rows === undefined) byDay.set(day, [row]);
    else rows.push(row);
  }
  return [...byDay].sort(([a], [b]) => a - b).map(([day, rows]) => ({
    sessionDate: dateOfDay(day),
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

/** The columns of a table's schema that are not ours, for someone added them. */
export function otherNames(schema: DeltaSchema): ReadonlySet<string> {
  const ours = new Set([...SESSION_COLUMNS.map(({ name }) => name), PARTITION_COLUMN]);
  return new Set(schema.fields.map(({ name }) => name).filter((name) => !ours.has(name)));
}

/** Those columns of a data file; null where it has none. What else engines leave in their files is no part of the table. */
export function otherColumns(file: Table, names: ReadonlySet<string>): Table | null {
  const others = file.schema.fields.map(({ name }) => name).filter((name) => names.has(name));
  return others.length === 0 ? null : file.select(others);
}

/** The rows of {@linkcode otherColumns}, ascending; one may be taken more than once. */
export function takeOthers(others: Table | null, rows: readonly number[]): Table | null {
  if (others === null) return null;
  const runs: Table[] = [];
  for (let start = 0, end = 0; start < rows.length; start = end) {
    do end++; while (end < rows.length && rows[end] === rows[end - 1]! + 1);
    runs.push(others.slice(rows[start], rows[end - 1]! + 1));
  }
  return runs.length === 0 ? others.slice(0, 0) : runs[0]!.concat(...runs.slice(1));
}

/**
 * Every row of the batches, ordered (source_partition, first_offset, their order so far).
 *
 * @param thenBy the index of an int32 column to order by before the order so far
 */
export function sourceOrder(batches: readonly ColumnBatch[], thenBy?: number): RowSelection {
  const { batch, row } = allRows(batches);
  const partitions = batches.map(({ columns }) => int32Values(columns[SOURCE_PARTITION]));
  const offsets = batches.map(({ columns }) => int64Values(columns[FIRST_OFFSET]));
  const last = thenBy === undefined ? null : batches.map(({ columns }) => int32Values(columns[thenBy]));
  const order = Uint32Array.from(row.keys()).sort((a, b) => {
    const byPartition = partitions[batch[a]!]![row[a]!]! - partitions[batch[b]!]![row[b]!]!;
    if (byPartition !== 0) return byPartition;
    const byOffset = Number(offsets[batch[a]!]![row[a]!]! - offsets[batch[b]!]![row[b]!]!);
    if (byOffset !== 0 || last === null) return byOffset || a - b;
    return last[batch[a]!]![row[a]!]! - last[batch[b]!]![row[b]!]! || a - b;
  });
  return { batch: order.map((i) => batch[i]!), row: order.map((i) => row[i]!) };
}

/** The place in the log by which a row's session is known in its partition: `partition:first_offset`. */
export function sourceIdentity(rows: ColumnBatch): (row: number) => string {
  const partitions = int32Values(rows.columns[SOURCE_PARTITION]);
  const offsets = int64Values(rows.columns[FIRST_OFFSET]);
  return (row) => `${partitions[row]}:${offsets[row]}`;
}

/** The rows of several files as one batch, ordered (source_partition, first_offset). */
export function mergeSessions(batches: readonly ColumnBatch[]): ColumnBatch {
  return takeRows(SESSION_KINDS, batches, sourceOrder(batches));
}

/** Rows of {@linkcode TABLE_COLUMNS}, ordered (source_partition, first_offset), from rows by date. */
export function mergeDatedSessions(parts: readonly DatedRows[]): ColumnBatch {
  const batches = parts.map(({ sessionDate, rows }) => {
    const dates = new ColumnBatchBuilder(["utf8"]);
    for (let row = 0; row < rows.rows; row++) dates.push([sessionDate]);
    return { rows: rows.rows, columns: [...rows.columns, ...dates.finish().columns] };
  });
  return takeRows(TABLE_KINDS, batches, sourceOrder(batches));
}
