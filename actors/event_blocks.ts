/**
 * The events of one occurrence as columns of words in one block, in offset order. Mostly they are narrow: five words an
 * event, its offset and time as distances from the first event's, its reader and profile the occurrence's. An event that
 * does not fit so (another reader or profile, a distance too great) makes its occurrence's events wide: nine words.
 */
import { OFFSET_MASK, PAGE_SHIFT, type WordArena } from "./word_arena.ts";

/** Columns of both forms: the two lanes of the id's hash, then the page's number × 16 + the type's index. */
const WHAT = 2;
const [OFFSET_DELTA, TIME_DELTA] = [3, 4];
export const NARROW_WORDS = 5;
/** Floats take two columns. */
const [OFFSET_LOW, TIME_LOW, PROFILE, USER_ID] = [3, 5, 7, 8];
export const WIDE_WORDS = 9;
const DELTA_MAX = 2 ** 32 - 1;
const TIME_DELTA_MAX = 2 ** 31 - 1;
/** Both lanes of a float. */
const float = new Float64Array(1);
const lanes = new Uint32Array(float.buffer);

/** The events that a block of `count` events has room for: it grows by a quarter. */
export function capacityFor(count: number): number {
  const step = count <= 32 ? 4 : 1 << 29 - Math.clz32(count - 1);
  return Math.ceil(count / step) * step;
}

/** Whether an event's offset and time can be kept as distances. */
export function isNear(offset: number, firstOffset: number, time: number, base: number): boolean {
  const distance = time - base;
  return offset - firstOffset <= DELTA_MAX && distance <= TIME_DELTA_MAX && -distance <= TIME_DELTA_MAX;
}

/** Events as one looks at them: views of the arena's words, moved from one occurrence to the next. */
export class EventBlock {
  words: Uint32Array = new Uint32Array(0);
  at = 0;
  capacity = 0;
  wide = false;
  firstOffset = 0;
  base = 0;
  profile = 0;
  userId = 0;

  constructor(private readonly arena: WordArena) {}

  /** Moves to a block. */
  open(ref: number, count: number, wide: boolean): void {
    this.words = this.arena.pages[ref >>> PAGE_SHIFT]!;
    this.at = ref & OFFSET_MASK;
    this.capacity = capacityFor(count);
    this.wide = wide;
  }

  idLow(i: number): number {
    return this.words[this.at + i]!;
  }

  idHigh(i: number): number {
    return this.words[this.at + this.capacity + i]!;
  }

  what(i: number): number {
    return this.words[this.at + WHAT * this.capacity + i]!;
  }

  setWhat(i: number, what: number): void {
    this.words[this.at + WHAT * this.capacity + i] = what;
  }

  offsetOf(i: number): number {
    return this.wide ? this.#float(OFFSET_LOW, i) : this.firstOffset + this.#word(OFFSET_DELTA, i);
  }

  timeOf(i: number): number {
    return this.wide ? this.#float(TIME_LOW, i) : this.base + (this.#word(TIME_DELTA, i) | 0);
  }

  profileOf(i: number): number {
    return this.wide ? this.#word(PROFILE, i) : this.profile;
  }

  setProfile(i: number, profile: number): void {
    if (this.wide) this.words[this.at + PROFILE * this.capacity + i] = profile;
  }

  userIdOf(i: number): number {
    return this.wide ? this.#word(USER_ID, i) : this.userId;
  }

  /** Writes event `i`, but for what {@linkcode place} writes. */
  write(i: number, idLow: number, idHigh: number, what: number): void {
    const { words, at, capacity } = this;
    words[at + i] = idLow;
    words[at + capacity + i] = idHigh;
    words[at + WHAT * capacity + i] = what;
  }

  /** Writes event `i`'s place and reader; where the block is narrow, they must fit. */
  place(i: number, offset: number, time: number, profile: number, userId: number): void {
    const { words, at, capacity } = this;
    if (this.wide) {
      this.#writeFloat(OFFSET_LOW, i, offset);
      this.#writeFloat(TIME_LOW, i, time);
      words[at + PROFILE * capacity + i] = profile;
      words[at + USER_ID * capacity + i] = userId;
    } else {
      words[at + OFFSET_DELTA * capacity + i] = offset - this.firstOffset;
      words[at + TIME_DELTA * capacity + i] = time - this.base;
    }
  }

  #word(column: number, i: number): number {
    return this.words[this.at + column * this.capacity + i]!;
  }

  /** A float stands in two columns, its lower lane in the first. */
  #float(column: number, i: number): number {
    lanes[0] = this.#word(column, i);
    lanes[1] = this.#word(column + 1, i);
    return float[0]!;
  }

  #writeFloat(column: number, i: number, value: number): void {
    float[0] = value;
    this.words[this.at + column * this.capacity + i] = lanes[0]!;
    this.words[this.at + (column + 1) * this.capacity + i] = lanes[1]!;
  }
}

/** Copies the columns of `count` events of the same form into a block of another capacity. */
export function moveEvents(from: EventBlock, to: EventBlock, count: number): void {
  const columns = from.wide ? WIDE_WORDS : NARROW_WORDS;
  for (let column = 0; column < columns; column++) {
    const [source, target] = [from.at + column * from.capacity, to.at + column * to.capacity];
    for (let i = 0; i < count; i++) to.words[target + i] = from.words[source + i]!;
  }
}
