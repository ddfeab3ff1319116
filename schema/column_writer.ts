/** Columns written value by value without a cell object each: what `ColumnBatchBuilder` makes, for the hot path. */
import type { Column, VarBytes } from "./column_batch.ts";
import { invariant } from "./errors.ts";
import { grown } from "./growable.ts";
import type { TextTable } from "./text_table.ts";

/** What the offsets of {@linkcode VarBytes} can count. */
const COLUMN_BYTES_MAX = 2 ** 31 - 1;
/** Shorter texts are copied byte by byte: a call would take longer. */
const CALL_BYTES_MIN = 64;
/** Milliseconds whose microseconds are exact as a float. */
const EXACT_MS_MAX = 2 ** 53 / 1_000;

/** Strings of bytes, one after the other. */
export class VarBytesWriter {
  count = 0;
  #length = 0;
  #ends: Int32Array = new Int32Array(64);
  #bytes: Uint8Array = new Uint8Array(1_024);

  /** Appends a text of the table; an empty one for number 0. */
  pushText(texts: TextTable, id: number): void {
    if (id === 0) this.#end();
    else this.pushBytes(texts.bytes, texts.ends[id - 1]!, texts.ends[id]!);
  }

  /** Appends `bytes[start … end]`. */
  pushBytes(bytes: Uint8Array, start: number, end: number): void {
    const length = end - start;
    if (this.#length + length > this.#bytes.length) this.#bytes = grown(this.#bytes, this.#length + length);
    const to = this.#bytes;
    if (length < CALL_BYTES_MIN) {
      for (let at = this.#length, from = start; from < end; from++) to[at++] = bytes[from]!;
    } else {
      to.set(bytes.subarray(start, end), this.#length);
    }
    this.#length += length;
    this.#end();
  }

  finish(): VarBytes {
    invariant(
      this.#length <= COLUMN_BYTES_MAX,
      `a column has ${COLUMN_BYTES_MAX} bytes at most: ${this.#length}`,
    );
    return { offsets: this.#ends.slice(0, this.count + 1), bytes: this.#bytes.slice(0, this.#length) };
  }

  #end(): void {
    if (++this.count === this.#ends.length) this.#ends = grown(this.#ends, this.count + 1);
    this.#ends[this.count] = this.#length;
  }
}

/** A column of texts, null where number 0 is pushed. */
export class TextWriter {
  readonly #values = new VarBytesWriter();
  #valid: Uint8Array = new Uint8Array(64);

  pushText(texts: TextTable, id: number): void {
    this.#mark(id === 0 ? 0 : 1);
    this.#values.pushText(texts, id);
  }

  pushBytes(bytes: Uint8Array): void {
    this.#mark(1);
    this.#values.pushBytes(bytes, 0, bytes.length);
  }

  finish(): Column {
    const { count } = this.#values;
    return { kind: "utf8", valid: this.#valid.slice(0, count), values: this.#values.finish() };
  }

  #mark(valid: number): void {
    const { count } = this.#values;
    if (count === this.#valid.length) this.#valid = grown(this.#valid, count + 1);
    this.#valid[count] = valid;
  }
}

/** A column of 32-bit integers without nulls. */
export class Int32Writer {
  #count = 0;
  #values: Int32Array = new Int32Array(64);

  push(value: number): void {
    if (this.#count === this.#values.length) this.#values = grown(this.#values, this.#count + 1);
    this.#values[this.#count++] = value;
  }

  finish(): Column {
    const valid = new Uint8Array(this.#count).fill(1);
    return { kind: "int32", valid, values: this.#values.slice(0, this.#count) };
  }
}

/** 64-bit integers without nulls, from safe integers. */
export class Int64Writer {
  count = 0;
  /** The two halves of each, the lower first: there is no number as large. */
  #halves: Int32Array = new Int32Array(128);

  push(value: number): void {
    if (2 * this.count + 2 > this.#halves.length) this.#halves = grown(this.#halves, 2 * this.count + 2);
    this.#halves[2 * this.count] = value;
    this.#halves[2 * this.count + 1] = Math.floor(value / 4_294_967_296);
    this.count++;
  }

  /** Appends epoch milliseconds as microseconds. */
  pushMillis(milliseconds: number): void {
    if (Math.abs(milliseconds) < EXACT_MS_MAX) return this.push(milliseconds * 1_000);
    const micros = BigInt.asUintN(64, BigInt(milliseconds) * 1000n);
    this.push(0);
    this.#halves[2 * this.count - 2] = Number(micros & 0xffffffffn);
    this.#halves[2 * this.count - 1] = Number(micros >> 32n);
  }

  values(): BigInt64Array {
    return new BigInt64Array(this.#halves.slice(0, 2 * this.count).buffer);
  }

  finish(kind: "int64" | "timestamp"): Column {
    return { kind, valid: new Uint8Array(this.count).fill(1), values: this.values() };
  }
}

/** The ends of lists: row `i` has the items `ends[i] … ends[i + 1]`. */
export class ListEnds {
  #count = 0;
  #ends: Int32Array = new Int32Array(64);

  /** A row ends at so many items. */
  push(items: number): void {
    if (++this.#count === this.#ends.length) this.#ends = grown(this.#ends, this.#count + 1);
    this.#ends[this.#count] = items;
  }

  finish(): Int32Array {
    return this.#ends.slice(0, this.#count + 1);
  }
}

/** A column of lists of texts. */
export class TextListWriter {
  readonly #items = new VarBytesWriter();
  readonly #ends = new ListEnds();

  pushText(texts: TextTable, id: number): void {
    this.#items.pushText(texts, id);
  }

  endRow(): void {
    this.#ends.push(this.#items.count);
  }

  finish(): Column {
    return { kind: "list_utf8", ends: this.#ends.finish(), items: this.#items.finish() };
  }
}

/** The column of lists of page events. */
export class PageEventsWriter {
  readonly #timestamp = new Int64Writer();
  readonly #eventType = new VarBytesWriter();
  readonly #pageUrl = new VarBytesWriter();
  readonly #articleId = new TextWriter();
  readonly #ends = new ListEnds();

  push(time: number, type: Uint8Array, texts: TextTable, pageUrl: number, articleId: number): void {
    this.#timestamp.pushMillis(time);
    this.#eventType.pushBytes(type, 0, type.length);
    this.#pageUrl.pushText(texts, pageUrl);
    this.#articleId.pushText(texts, articleId);
  }

  endRow(): void {
    this.#ends.push(this.#timestamp.count);
  }

  finish(): Column {
    const articleId = this.#articleId.finish();
    invariant(articleId.kind === "utf8", "a column of texts");
    const items = {
      timestamp: this.#timestamp.values(),
      event_type: this.#eventType.finish(),
      page_url: this.#pageUrl.finish(),
      article_id: articleId.values,
      article_id_valid: articleId.valid,
    };
    return { kind: "list_page_event", ends: this.#ends.finish(), items };
  }
}
