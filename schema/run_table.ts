/**
 * Runs of members that stood in events before, as the bytes they were: where the same bytes stand again, what they say is
 * known, and nothing in them has to be read.
 */
import { grown } from "./growable.ts";
import { sameBytesAt, TextTable } from "./text_table.ts";

/** All runs are forgotten when they have more bytes than this. */
const RUN_BYTES_MAX = 4 * 1024 * 1024;
/** Hints by session: a power of two. */
const HINTS = 1 << 16;

/** Runs by number, counted from 1, each with the tuple that it says and the fields that it has. */
export class RunTable {
  #bytes = new TextTable();
  #tuples: Uint32Array = new Uint32Array(1_024);
  #fields: Uint32Array = new Uint32Array(1_024);
  /** The run that a session had last, by its hash. Allocated with the first. */
  #hints: Uint32Array = new Uint32Array(0);

  /** Bytes that the table takes in memory. */
  get byteLength(): number {
    return this.#bytes.byteLength + this.#tuples.byteLength + this.#fields.byteLength +
      this.#hints.byteLength;
  }

  /** The number of the tuple that a run says. */
  tupleOf(run: number): number {
    return this.#tuples[run]!;
  }

  /** The fields of a run, as bits. */
  fieldsOf(run: number): number {
    return this.#fields[run]!;
  }

  lengthOf(run: number): number {
    return this.#bytes.lengthOf(run);
  }

  /** The run that stands at `start` and has `length` bytes, `hash` being their `hashBytes`; 0 where it is not known. */
  find(view: DataView, start: number, length: number, hash: number): number {
    return this.#bytes.find(view, start, length, hash);
  }

  /** The run that a session is likely to have, where it does stand at `start` and ends by `end`; else 0. */
  expected(session: number, view: DataView, start: number, end: number): number {
    const run = this.#hints[session & HINTS - 1];
    if (run === undefined || run === 0) return 0;
    const bytes = this.#bytes;
    const length = bytes.lengthOf(run);
    return start + length <= end && isSameRun(bytes.view, bytes.ends[run - 1]!, view, start, length)
      ? run
      : 0;
  }

  /** Says what a session is likely to have next time; 0: nothing. */
  expect(session: number, run: number): void {
    if (this.#hints.length === 0) this.#hints = new Uint32Array(HINTS);
    this.#hints[session & HINTS - 1] = run;
  }

  /** Keeps a run, which need not be new; returns its number. */
  remember(bytes: Uint8Array, view: DataView, start: number, length: number, hash: number): number {
    const known = this.#bytes.find(view, start, length, hash);
    if (known !== 0) return known;
    if (this.#bytes.textBytes > RUN_BYTES_MAX) this.clear();
    return this.#bytes.add(bytes, start, length, hash);
  }

  /** Says what a run says. */
  describe(run: number, tuple: number, fields: number): void {
    this.#tuples = grown(this.#tuples, run + 1);
    this.#fields = grown(this.#fields, run + 1);
    this.#tuples[run] = tuple;
    this.#fields[run] = fields;
  }

  /** Forgets all runs: their tuples have other numbers now, or they are too many. */
  clear(): void {
    this.#bytes = new TextTable();
    this.#hints.fill(0);
  }
}

/**
 * As `sameBytesAt`, by eight bytes at a time: floats are equal where their bytes are, but for zeros, and a run of JSON has
 * no byte that is zero.
 */
function isSameRun(a: DataView, aStart: number, b: DataView, bStart: number, length: number): boolean {
  let at = 0;
  for (; at + 8 <= length; at += 8) {
    if (a.getFloat64(aStart + at, true) !== b.getFloat64(bStart + at, true)) return false;
  }
  return sameBytesAt(a, aStart + at, b, bStart + at, length - at);
}
