/**
 * Byte strings that recur, each kept once and known by a number: what sessions hold instead of texts. Equal numbers are
 * equal texts, because a string's bytes are compared before its number is given out; hashes only find them.
 */
import { grown } from "./growable.ts";
import { invariant } from "./errors.ts";

const SLOTS_MIN = 1_024;
const BYTES_MAX = 2 ** 32 - 1;

/** Texts by number, counted from 1; 0 is no text. */
export class TextTable {
  count = 0;
  /** Text `id` is `bytes[ends[id - 1] … ends[id]]`. */
  bytes: Uint8Array = new Uint8Array(64 * 1_024);
  view: DataView = new DataView(this.bytes.buffer);
  ends: Uint32Array = new Uint32Array(SLOTS_MIN);
  #hashes: Int32Array = new Int32Array(SLOTS_MIN);
  #slots = new Uint32Array(SLOTS_MIN);

  /** Bytes of all texts. */
  get textBytes(): number {
    return this.ends[this.count]!;
  }

  /** Bytes that the table takes in memory. */
  get byteLength(): number {
    return this.bytes.length + this.ends.byteLength + this.#hashes.byteLength + this.#slots.byteLength;
  }

  /** A text's length in bytes. */
  lengthOf(id: number): number {
    return this.ends[id]! - this.ends[id - 1]!;
  }

  /** A text's bytes, a view. */
  bytesOf(id: number): Uint8Array {
    return this.bytes.subarray(this.ends[id - 1]!, this.ends[id]!);
  }

  /**
   * The number of a text; 0 where it is not known.
   *
   * @param view of the bytes that hold the text from `start` on
   * @param hash {@linkcode hashBytes} of it
   */
  find(view: DataView, start: number, length: number, hash: number): number {
    const slots = this.#slots;
    const hashes = this.#hashes;
    const ends = this.ends;
    const mask = slots.length - 1;
    for (let slot = hash & mask;; slot = slot + 1 & mask) {
      const id = slots[slot]!;
      if (id === 0) return 0;
      if (hashes[id] !== hash) continue;
      const at = ends[id - 1]!;
      if (ends[id]! - at === length && sameBytesAt(this.view, at, view, start, length)) return id;
    }
  }

  /** Takes in a text that is not known, and returns its number. */
  add(bytes: Uint8Array, start: number, length: number, hash: number): number {
    const id = ++this.count;
    if (id * 2 > this.#slots.length) this.#rehash(this.#slots.length * 2);
    const at = this.ends[id - 1]!;
    invariant(at + length <= BYTES_MAX, `texts have ${BYTES_MAX} bytes at most`);
    if (at + length > this.bytes.length) {
      this.bytes = grown(this.bytes, at + length);
      this.view = new DataView(this.bytes.buffer);
    }
    this.ends = grown(this.ends, id + 1);
    this.#hashes = grown(this.#hashes, id + 1);
    this.bytes.set(bytes.subarray(start, start + length), at);
    this.ends[id] = at + length;
    this.#hashes[id] = hash;
    this.#enter(id);
    return id;
  }

  /** The number of the text in all of `bytes`, new or known; 0 for none and for an empty one. */
  idOf(bytes: Uint8Array): number {
    if (bytes.length === 0) return 0;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const hash = hashBytes(view, 0, bytes.length);
    return this.find(view, 0, bytes.length, hash) || this.add(bytes, 0, bytes.length, hash);
  }

  /**
   * Forgets the texts that `kept` has no mark of.
   *
   * @param kept not 0 at each number to keep; gets the new number in its place
   */
  compact(kept: Uint32Array): void {
    const old = { ends: this.ends, bytes: this.bytes, hashes: this.#hashes, count: this.count };
    let [count, size] = [0, 0];
    for (let id = 1; id <= old.count; id++) {
      if (kept[id] === 0) continue;
      count++;
      size += old.ends[id]! - old.ends[id - 1]!;
    }
    this.bytes = new Uint8Array(Math.max(size + (size >> 1), 64 * 1_024));
    this.view = new DataView(this.bytes.buffer);
    this.ends = new Uint32Array(Math.max(count + (count >> 1) + 1, SLOTS_MIN));
    this.#hashes = new Int32Array(this.ends.length);
    this.count = 0;
    let slots = SLOTS_MIN;
    while (slots < 2 * count + 2) slots *= 2;
    this.#slots = new Uint32Array(slots);
    for (let id = 1; id <= old.count; id++) {
      if (kept[id] === 0) continue;
      const start = old.ends[id - 1]!;
      kept[id] = this.add(old.bytes, start, old.ends[id]! - start, old.hashes[id]!);
    }
  }

  #rehash(length: number): void {
    this.#slots = new Uint32Array(length);
    for (let id = 1; id < this.count; id++) this.#enter(id);
  }

  #enter(id: number): void {
    const mask = this.#slots.length - 1;
    let slot = this.#hashes[id]! & mask;
    while (this.#slots[slot] !== 0) slot = slot + 1 & mask;
    this.#slots[slot] = id;
  }
}

/** Whether `length` bytes are the same in both places. */
export function sameBytesAt(
  a: DataView,
  aStart: number,
  b: DataView,
  bStart: number,
  length: number,
): boolean {
  let at = 0;
  for (; at + 4 <= length; at += 4) {
    if (a.getInt32(aStart + at, true) !== b.getInt32(bStart + at, true)) return false;
  }
  for (; at < length; at++) {
    if (a.getUint8(aStart + at) !== b.getUint8(bStart + at)) return false;
  }
  return true;
}

/** A step of {@linkcode hashBytes}: takes in four bytes, as an int32 in little-endian order. */
export function hashWord(hash: number, word: number): number {
  return Math.imul((hash << 5 | hash >>> 27) ^ word, 0x9e3779b1);
}

/** The end of {@linkcode hashBytes}: takes in the last, incomplete word, its missing bytes zero. */
export function hashEnd(hash: number, word: number, length: number): number {
  hash = Math.imul((hash << 5 | hash >>> 27) ^ word, 0x9e3779b1) ^ length;
  hash = Math.imul(hash ^ hash >>> 15, 0x85ebca6b);
  return hash ^ hash >>> 13;
}

/** The hash by which a {@linkcode TextTable} finds its texts, an int32. It lasts as long as the process. */
export function hashBytes(view: DataView, start: number, length: number): number {
  let hash = 0;
  let at = start;
  for (const end = start + (length & ~3); at < end; at += 4) hash = hashWord(hash, view.getInt32(at, true));
  let word = 0;
  for (let i = start + length - 1; i >= at; i--) word = word << 8 | view.getUint8(i);
  return hashEnd(hash, word, length);
}
