/** Tuples of numbers that recur, each kept once and known by a number of its own. */
import { invariant } from "./errors.ts";
import { grown } from "./growable.ts";

const SLOTS_MIN = 1_024;
/** Numbers are below this: whoever keeps one has four bits left in a word. */
const TUPLES_MAX = 2 ** 28;

/** Tuples of `width` numbers, counted from 0. */
export class TupleTable {
  count = 0;
  /** Tuple `id` is `values[id * width …]`. */
  values: Uint32Array;
  #slots = new Uint32Array(SLOTS_MIN);

  constructor(readonly width: number) {
    this.values = new Uint32Array(SLOTS_MIN * width);
  }

  /** Bytes that the table takes in memory. */
  get byteLength(): number {
    return this.values.byteLength + this.#slots.byteLength;
  }

  /** The number of the tuple `source[from …]`, new or known. */
  idOf(source: Uint32Array, from: number): number {
    const { width, values } = this;
    const slots = this.#slots;
    const mask = slots.length - 1;
    let slot = this.#hash(source, from) & mask;
    for (;; slot = slot + 1 & mask) {
      const known = slots[slot]!;
      if (known === 0) break;
      const at = (known - 1) * width;
      let same = 0;
      while (same < width && values[at + same] === source[from + same]) same++;
      if (same === width) return known - 1;
    }
    const id = this.count++;
    invariant(id < TUPLES_MAX, "a table has 2^28 tuples at most");
    this.values = grown(this.values, this.count * width);
    for (let i = 0; i < width; i++) this.values[id * width + i] = source[from + i]!;
    slots[slot] = id + 1;
    if (this.count * 2 > slots.length) this.#rehash(slots.length * 2);
    return id;
  }

  /**
   * Forgets the tuples that `kept` has no mark of, and rewrites the numbers in the others.
   *
   * @param kept not 0 at each tuple to keep; gets 1 + its new number
   * @param renamed the new number of each number in the tuples
   */
  compact(kept: Uint32Array, renamed: Uint32Array): void {
    const { width, values, count } = this;
    this.count = 0;
    this.values = new Uint32Array(Math.max(SLOTS_MIN, count >> 1) * width);
    this.#slots = new Uint32Array(SLOTS_MIN);
    const tuple = new Uint32Array(width);
    for (let id = 0; id < count; id++) {
      if (kept[id] === 0) continue;
      for (let i = 0; i < width; i++) tuple[i] = renamed[values[id * width + i]!]!;
      kept[id] = 1 + this.idOf(tuple, 0);
    }
  }

  #hash(source: Uint32Array, from: number): number {
    let hash = 0;
    for (let i = 0; i < this.width; i++) {
      hash = Math.imul((hash << 5 | hash >>> 27) ^ source[from + i]!, 0x9e3779b1);
    }
    hash = Math.imul(hash ^ hash >>> 15, 0x85ebca6b);
    return hash ^ hash >>> 13;
  }

  #rehash(length: number): void {
    this.#slots = new Uint32Array(length);
    for (let id = 0; id < this.count; id++) {
      let slot = this.#hash(this.values, id * this.width) & length - 1;
      while (this.#slots[slot] !== 0) slot = slot + 1 & length - 1;
      this.#slots[slot] = id + 1;
    }
  }
}
