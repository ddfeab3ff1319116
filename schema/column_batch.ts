/**
 * Rows as columns: typed arrays and UTF-8 bytes in Arrow's memory layout, so that a batch crosses threads by
 * transfer and becomes an Arrow table without a copy per value.
 */
import { invariant } from "./errors.ts";

/** An entry of a session's `page_events`. */
export interface PageEvent {
  /** Epoch milliseconds. */
  readonly timestamp: number;
  readonly event_type: string;
  readonly page_url: string;
  readonly article_id: string | null;
}

/** The value that each kind of column holds for one row. */
export interface ValueOfKind {
  utf8: string | null;
  binary: Uint8Array | null;
  int32: number | null;
  /** A safe integer; an `Int64` in Arrow. */
  int64: number | null;
  /** Epoch milliseconds; `timestamp(µs, UTC)` in Arrow. */
  timestamp: number | null;
  list_utf8: readonly string[];
  list_page_event: readonly PageEvent[];
}

export type ColumnKind = keyof ValueOfKind;
export type Cell = ValueOfKind[ColumnKind];

/** Variable-length bytes: value `i` is `bytes[offsets[i] … offsets[i + 1]]`. */
export interface VarBytes {
  readonly offsets: Int32Array;
  readonly bytes: Uint8Array;
}

/** One column. `valid[i]` is 1 where row `i` has a value, 0 where it is null. */
export type Column =
  | { readonly kind: "utf8" | "binary"; readonly valid: Uint8Array; readonly values: VarBytes }
  | { readonly kind: "int32"; readonly valid: Uint8Array; readonly values: Int32Array }
  | { readonly kind: "int64" | "timestamp"; readonly valid: Uint8Array; readonly values: BigInt64Array }
  | { readonly kind: "list_utf8"; readonly ends: Int32Array; readonly items: VarBytes }
  | { readonly kind: "list_page_event"; readonly ends: Int32Array; readonly items: PageEventColumns };

/** The children of a `list_page_event` column: row `i` has the items `ends[i] … ends[i + 1]`. Times are µs. */
export interface PageEventColumns {
  readonly timestamp: BigInt64Array;
  readonly event_type: VarBytes;
  readonly page_url: VarBytes;
  readonly article_id: VarBytes;
  readonly article_id_valid: Uint8Array;
}

/** `rows` rows; the columns are in the order of the table that declared them. */
export interface ColumnBatch {
  readonly rows: number;
  readonly columns: readonly Column[];
}

const encoder = new TextEncoder();
// A leading U+FEFF is a character of the value, not a byte order mark.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** A growing typed array: `push` is amortized O(1), `finish` returns exactly what was pushed. */
class Growable<T extends Int32Array | Uint8Array | BigInt64Array> {
  length = 0;
  constructor(private array: T, private readonly make: (length: number) => T) {}
  push(value: T[number]): void {
    if (this.length === this.array.length) this.reserve(1);
    (this.array as { [index: number]: T[number] })[this.length++] = value;
  }
  reserve(count: number): T {
    const needed = this.length + count;
    if (needed > this.array.length) {
      const grown = this.make(Math.max(needed, this.array.length * 2, 16));
      (grown as Uint8Array).set(this.array as Uint8Array);
      this.array = grown;
    }
    return this.array;
  }
  finish(): T {
    return this.array.slice(0, this.length) as T;
  }
}

const int32s = () => new Growable(new Int32Array(16), (n) => new Int32Array(n));
const int64s = () => new Growable(new BigInt64Array(16), (n) => new BigInt64Array(n));
const uint8s = () => new Growable(new Uint8Array(64), (n) => new Uint8Array(n));

/** What the offsets of {@linkcode VarBytes} can count. */
const COLUMN_BYTES_MAX = 2 ** 31 - 1;

class VarBytesBuilder {
  private readonly offsets = int32s();
  private readonly bytes = uint8s();
  constructor() {
    this.offsets.push(0);
  }
  pushText(text: string): void {
    // A UTF-16 unit takes at most three bytes of UTF-8.
    const array = this.bytes.reserve(text.length * 3);
    this.bytes.length += encoder.encodeInto(text, array.subarray(this.bytes.length)).written;
    this.offsets.push(this.bytes.length);
  }
  pushBytes(value: Uint8Array): void {
    this.bytes.reserve(value.length).set(value, this.bytes.length);
    this.bytes.length += value.length;
    this.offsets.push(this.bytes.length);
  }
  finish(): VarBytes {
    invariant(
      this.bytes.length <= COLUMN_BYTES_MAX,
      `a column has ${COLUMN_BYTES_MAX} bytes at most: ${this.bytes.length}`,
    );
    return { offsets: this.offsets.finish(), bytes: this.bytes.finish() };
  }
}

/** Builds one column by appending cells. */
interface ColumnBuilder {
  push(cell: Cell): void;
  finish(): Column;
}

function micros(milliseconds: number): bigint {
  return BigInt(milliseconds) * 1000n;
}

function scalarBuilder(kind: "utf8" | "binary" | "int32" | "int64" | "timestamp"): ColumnBuilder {
  const valid = uint8s();
  if (kind === "utf8" || kind === "binary") {
    const values = new VarBytesBuilder();
    return {
      push(cell) {
        valid.push(cell === null ? 0 : 1);
        if (cell instanceof Uint8Array) values.pushBytes(cell);
        else values.pushText((cell ?? "") as string);
      },
      finish: () => ({ kind, valid: valid.finish(), values: values.finish() }),
    };
  }
  if (kind === "int32") {
    const values = int32s();
    return {
      push(cell) {
        valid.push(cell === null ? 0 : 1);
        values.push((cell ?? 0) as number);
      },
      finish: () => ({ kind, valid: valid.finish(), values: values.finish() }),
    };
  }
  const values = int64s();
  return {
    push(cell) {
      valid.push(cell === null ? 0 : 1);
      const number = (cell ?? 0) as number;
      values.push(kind === "timestamp" ? micros(number) : BigInt(number));
    },
    finish: () => ({ kind, valid: valid.finish(), values: values.finish() }),
  };
}

function listBuilder(kind: "list_utf8" | "list_page_event"): ColumnBuilder {
  const ends = int32s();
  ends.push(0);
  let count = 0;
  if (kind === "list_utf8") {
    const items = new VarBytesBuilder();
    return {
      push(cell) {
        for (const item of cell as readonly string[]) items.pushText(item);
        ends.push(count += (cell as readonly string[]).length);
      },
      finish: () => ({ kind, ends: ends.finish(), items: items.finish() }),
    };
  }
  const timestamp = int64s();
  const [eventType, pageUrl, articleId] = [
    new VarBytesBuilder(),
    new VarBytesBuilder(),
    new VarBytesBuilder(),
  ];
  const articleIdValid = uint8s();
  return {
    push(cell) {
      for (const item of cell as readonly PageEvent[]) {
        timestamp.push(micros(item.timestamp));
        eventType.pushText(item.event_type);
        pageUrl.pushText(item.page_url);
        articleId.pushText(item.article_id ?? "");
        articleIdValid.push(item.article_id === null ? 0 : 1);
      }
      ends.push(count += (cell as readonly PageEvent[]).length);
    },
    finish: () => ({
      kind,
      ends: ends.finish(),
      items: {
        timestamp: timestamp.finish(),
        event_type: eventType.finish(),
        page_url: pageUrl.finish(),
        article_id: articleId.finish(),
        article_id_valid: articleIdValid.finish(),
      },
    }),
  };
}

/** Collects rows of cells, in the order of `kinds`, into a {@linkcode ColumnBatch}. */
export class ColumnBatchBuilder {
  #rows = 0;
  readonly #builders: ColumnBuilder[];
  constructor(kinds: readonly ColumnKind[]) {
    this.#builders = kinds.map((kind) =>
      kind === "list_utf8" || kind === "list_page_event" ? listBuilder(kind) : scalarBuilder(kind)
    );
  }
  get rows(): number {
    return this.#rows;
  }
  /** Appends one row; `cells` has a cell for each kind. */
  push(cells: readonly Cell[]): void {
    invariant(
      cells.length === this.#builders.length,
      `a row has ${this.#builders.length} cells: ${cells.length}`,
    );
    for (let i = 0; i < cells.length; i++) this.#builders[i]!.push(cells[i]!);
    this.#rows++;
  }
  finish(): ColumnBatch {
    return { rows: this.#rows, columns: this.#builders.map((builder) => builder.finish()) };
  }
}

function textAt(values: VarBytes, index: number): string {
  return decoder.decode(values.bytes.subarray(values.offsets[index]!, values.offsets[index + 1]!));
}

function millis(value: bigint): number {
  return Number(value / 1000n);
}

/** The cell of one row: the inverse of what {@linkcode ColumnBatchBuilder} was given. */
export function cellAt(column: Column, row: number): Cell {
  switch (column.kind) {
    case "list_utf8": {
      const items: string[] = [];
      for (let i = column.ends[row]!; i < column.ends[row + 1]!; i++) items.push(textAt(column.items, i));
      return items;
    }
    case "list_page_event": {
      const items: PageEvent[] = [];
      for (let i = column.ends[row]!; i < column.ends[row + 1]!; i++) {
        items.push({
          timestamp: millis(column.items.timestamp[i]!),
          event_type: textAt(column.items.event_type, i),
          page_url: textAt(column.items.page_url, i),
          article_id: column.items.article_id_valid[i] ? textAt(column.items.article_id, i) : null,
        });
      }
      return items;
    }
  }
  if (column.valid[row] === 0) return null;
  switch (column.kind) {
    case "utf8":
      return textAt(column.values, row);
    case "binary":
      return column.values.bytes.slice(column.values.offsets[row]!, column.values.offsets[row + 1]!);
    case "int32":
      return column.values[row]!;
    case "int64":
      return Number(column.values[row]!);
    case "timestamp":
      return millis(column.values[row]!);
  }
}

/** The buffers to hand over when a batch is posted to another thread: it can't be used here afterwards. */
export function transferList(batch: ColumnBatch): ArrayBuffer[] {
  const buffers: ArrayBuffer[] = [];
  const collect = (value: unknown): void => {
    if (ArrayBuffer.isView(value)) buffers.push(value.buffer as ArrayBuffer);
    else if (typeof value === "object" && value !== null) Object.values(value).forEach(collect);
  };
  collect(batch.columns);
  return buffers;
}
