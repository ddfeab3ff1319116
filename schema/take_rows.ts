/** Rows of column batches by position: column by column and without a value per cell, so that large epochs stay cheap. */
import type { Column, ColumnBatch, ColumnKind, PageEventColumns, VarBytes } from "./column_batch.ts";
import { assertNever } from "./errors.ts";

/** Which rows to take: item `i` is row `row[i]` of batch `batch[i]`. */
export interface RowSelection {
  readonly batch: Uint32Array;
  readonly row: Uint32Array;
}

type Scalars = Uint8Array | Int32Array | BigInt64Array;

function takeScalars<T extends Scalars>(
  make: (length: number) => T,
  parts: readonly T[],
  at: RowSelection,
): T {
  const taken = make(at.row.length);
  for (let i = 0; i < at.row.length; i++) taken[i] = parts[at.batch[i]!]![at.row[i]!]!;
  return taken;
}

const uint8s = (length: number) => new Uint8Array(length);
const int32s = (length: number) => new Int32Array(length);
const int64s = (length: number) => new BigInt64Array(length);

/** The offsets of the selected values, once they stand one after the other. */
function takeOffsets(parts: readonly Int32Array[], at: RowSelection): Int32Array {
  const offsets = new Int32Array(at.row.length + 1);
  for (let i = 0; i < at.row.length; i++) {
    const source = parts[at.batch[i]!]!;
    const row = at.row[i]!;
    offsets[i + 1] = offsets[i]! + source[row + 1]! - source[row]!;
  }
  return offsets;
}

/** Fewer bytes are copied one by one: a call would take longer. */
const CALL_BYTES_MIN = 48;

function copyBytes(from: Uint8Array, start: number, end: number, to: Uint8Array, at: number): void {
  if (end - start >= CALL_BYTES_MIN) to.set(from.subarray(start, end), at);
  else for (let i = start; i < end; i++) to[at++] = from[i]!;
}

function takeVarBytes(parts: readonly VarBytes[], at: RowSelection): VarBytes {
  const offsets = takeOffsets(parts.map((part) => part.offsets), at);
  const bytes = new Uint8Array(offsets[at.row.length]!);
  for (let i = 0, next = 0; i < at.row.length; i = next) {
    // Values that stand one after the other, such as a list's, are copied as one.
    for (next = i + 1; next < at.row.length; next++) {
      if (at.batch[next] !== at.batch[i] || at.row[next] !== at.row[next - 1]! + 1) break;
    }
    const source = parts[at.batch[i]!]!;
    copyBytes(
      source.bytes,
      source.offsets[at.row[i]!]!,
      source.offsets[at.row[next - 1]! + 1]!,
      bytes,
      offsets[i]!,
    );
  }
  return { offsets, bytes };
}

/** The items of the selected lists, as a selection of their own. */
function itemSelection(parts: readonly Int32Array[], ends: Int32Array, at: RowSelection): RowSelection {
  const items = ends[at.row.length]!;
  const selection = { batch: new Uint32Array(items), row: new Uint32Array(items) };
  let next = 0;
  for (let i = 0; i < at.row.length; i++) {
    const source = parts[at.batch[i]!]!;
    for (let item = source[at.row[i]!]!; item < source[at.row[i]! + 1]!; item++) {
      selection.batch[next] = at.batch[i]!;
      selection.row[next++] = item;
    }
  }
  return selection;
}

function takePageEvents(parts: readonly PageEventColumns[], at: RowSelection): PageEventColumns {
  return {
    timestamp: takeScalars(int64s, parts.map((part) => part.timestamp), at),
    event_type: takeVarBytes(parts.map((part) => part.event_type), at),
    page_url: takeVarBytes(parts.map((part) => part.page_url), at),
    article_id: takeVarBytes(parts.map((part) => part.article_id), at),
    article_id_valid: takeScalars(uint8s, parts.map((part) => part.article_id_valid), at),
  };
}

type ColumnOf<K extends ColumnKind> = Extract<Column, { readonly kind: K }>;

function takeColumn(kind: ColumnKind, columns: readonly Column[], at: RowSelection): Column {
  switch (kind) {
    case "utf8":
    case "binary": {
      const parts = columns as readonly ColumnOf<"utf8" | "binary">[];
      const valid = takeScalars(uint8s, parts.map((part) => part.valid), at);
      return { kind, valid, values: takeVarBytes(parts.map((part) => part.values), at) };
    }
    case "int32": {
      const parts = columns as readonly ColumnOf<"int32">[];
      const valid = takeScalars(uint8s, parts.map((part) => part.valid), at);
      return { kind, valid, values: takeScalars(int32s, parts.map((part) => part.values), at) };
    }
    case "int64":
    case "timestamp": {
      const parts = columns as readonly ColumnOf<"int64" | "timestamp">[];
      const valid = takeScalars(uint8s, parts.map((part) => part.valid), at);
      return { kind, valid, values: takeScalars(int64s, parts.map((part) => part.values), at) };
    }
    case "list_utf8": {
      const parts = columns as readonly ColumnOf<"list_utf8">[];
      const sources = parts.map((part) => part.ends);
      const ends = takeOffsets(sources, at);
      const items = itemSelection(sources, ends, at);
      return { kind, ends, items: takeVarBytes(parts.map((part) => part.items), items) };
    }
    case "list_page_event": {
      const parts = columns as readonly ColumnOf<"list_page_event">[];
      const sources = parts.map((part) => part.ends);
      const ends = takeOffsets(sources, at);
      const items = itemSelection(sources, ends, at);
      return { kind, ends, items: takePageEvents(parts.map((part) => part.items), items) };
    }
    default:
      return assertNever(kind);
  }
}

/** Every row of the batches, batch by batch. */
export function allRows(batches: readonly ColumnBatch[]): RowSelection {
  const total = batches.reduce((sum, { rows }) => sum + rows, 0);
  const selection = { batch: new Uint32Array(total), row: new Uint32Array(total) };
  let next = 0;
  for (const [index, { rows }] of batches.entries()) {
    for (let row = 0; row < rows; row++) {
      selection.batch[next] = index;
      selection.row[next++] = row;
    }
  }
  return selection;
}

/** The selected rows, in the selection's order, as one batch; all rows where there is no selection. */
export function takeRows(
  kinds: readonly ColumnKind[],
  batches: readonly ColumnBatch[],
  selection: RowSelection = allRows(batches),
): ColumnBatch {
  const columns = kinds.map((kind, i) =>
    takeColumn(kind, batches.map((batch) => batch.columns[i]!), selection)
  );
  return { rows: selection.row.length, columns };
}

/** A column that is null (a list: empty) in each of `rows` rows. */
export function nullColumn(kind: ColumnKind, rows: number): Column {
  const valid = new Uint8Array(rows);
  const ends = new Int32Array(rows + 1);
  const nothing = (): VarBytes => ({ offsets: new Int32Array(1), bytes: new Uint8Array(0) });
  switch (kind) {
    case "utf8":
    case "binary":
      return { kind, valid, values: { offsets: ends, bytes: new Uint8Array(0) } };
    case "int32":
      return { kind, valid, values: new Int32Array(rows) };
    case "int64":
    case "timestamp":
      return { kind, valid, values: new BigInt64Array(rows) };
    case "list_utf8":
      return { kind, ends, items: nothing() };
    case "list_page_event": {
      const items = {
        timestamp: new BigInt64Array(0),
        event_type: nothing(),
        page_url: nothing(),
        article_id: nothing(),
        article_id_valid: new Uint8Array(0),
      };
      return { kind, ends, items };
    }
    default:
      return assertNever(kind);
  }
}
