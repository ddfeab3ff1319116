/**
 * Stands in for Parquet and Arrow in the simulated program: a file's bytes name its rows, which stay in memory. What
 * the real codecs do is tested elsewhere; here they would take nine tenths of the time.
 */
import type { ColumnBatch, ColumnKind } from "../../schema/column_batch.ts";
import { SinkError } from "../../schema/errors.ts";
import { nullColumn, takeRows } from "../../schema/take_rows.ts";
import {
  type DeltaAction,
  parseActions as parseLines,
  type RemoveFile,
  serializeActions,
} from "../../sinks/lake/delta_actions.ts";

/** As `arrow.ts`'s. */
export interface ColumnSpec {
  readonly name: string;
  readonly kind: ColumnKind;
}

/** Rows with the names of their columns. */
export interface PlainTable {
  readonly names: readonly string[];
  readonly batch: ColumnBatch;
  readonly numRows: number;
  readonly schema: { readonly fields: readonly { readonly name: string }[] };
}

const files = new Map<string, PlainTable>();
let made = 0;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Forgets all files: a run begins. */
export function forgetFiles(): void {
  files.clear();
  made = 0;
}

/** Replaces `arrow.ts`'s. */
export function toArrow(specs: readonly ColumnSpec[], batch: ColumnBatch): PlainTable {
  const names = specs.map(({ name }) => name);
  return { names, batch, numRows: batch.rows, schema: { fields: specs } };
}

/** Replaces `arrow.ts`'s: a column that the file does not have is null. */
export function fromArrow(specs: readonly ColumnSpec[], { names, batch }: PlainTable): ColumnBatch {
  const columns = specs.map(({ name, kind }) =>
    batch.columns[names.indexOf(name)] ?? nullColumn(kind, batch.rows)
  );
  return { rows: batch.rows, columns };
}

/** Replaces `parquet.ts`'s. */
export function encodeParquet(table: PlainTable): Uint8Array {
  const name = `plain:${made++}`;
  files.set(name, table);
  return encoder.encode(name);
}

/** Replaces `parquet.ts`'s. */
export function encodeRowGroups(groups: Iterable<PlainTable>): Promise<Uint8Array> {
  const tables = [...groups];
  const batches = tables.map(({ batch }) => batch);
  const batch = takeRows(batches[0]!.columns.map(({ kind }) => kind), batches);
  return Promise.resolve(encodeParquet({ ...tables[0]!, batch, numRows: batch.rows }));
}

/** Replaces `parquet.ts`'s. */
export function decodeParquet(bytes: Uint8Array, origin: string): PlainTable {
  const table = files.get(decoder.decode(bytes));
  if (table === undefined) throw new SinkError(`Cannot read '${origin}': it is not a file.`, false);
  return table;
}

const parsed = new WeakMap<Uint8Array, DeltaAction[]>();

/** Replaces `delta_actions.ts`'s: the bucket hands out the same bytes again and again. */
export function parseActions(bytes: Uint8Array, origin: string): DeltaAction[] {
  const known = parsed.get(bytes);
  if (known !== undefined) return known;
  const actions = parseLines(bytes, origin);
  parsed.set(bytes, actions);
  return actions;
}

/** Replaces `delta_checkpoint.ts`'s. */
export function encodeCheckpoint(
  actions: readonly DeltaAction[],
): { readonly bytes: Uint8Array; readonly liveRows: number } {
  const live = actions.filter((action) => !("remove" in action));
  const removes = actions.filter((action) => "remove" in action);
  return { bytes: serializeActions([...live, ...removes]), liveRows: live.length };
}

/** Replaces `delta_checkpoint.ts`'s. */
export function decodeCheckpoint(
  bytes: Uint8Array,
  origin: string,
  liveRows?: number,
): Promise<DeltaAction[]> {
  return Promise.resolve(parseActions(bytes, origin).slice(0, liveRows));
}

/** Replaces `delta_checkpoint.ts`'s. */
export function decodeTombstones(bytes: Uint8Array, origin: string, liveRows: number): RemoveFile[] {
  return parseActions(bytes, origin).slice(liveRows).flatMap((action) =>
    "remove" in action ? [action.remove] : []
  );
}
