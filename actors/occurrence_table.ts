/**
 * A partition's occurrences as columns of numbers, found by session id and key. Occurrences are numbered from 1: 0 is
 * none. Ids are compared by their bytes; hashes only find them.
 */
import { grown } from "../schema/growable.ts";
import { sameBytesAt } from "../schema/text_table.ts";
import { capacityFor, EventBlock, moveEvents, NARROW_WORDS, WIDE_WORDS } from "./event_blocks.ts";
import { OFFSET_MASK, PAGE_SHIFT, type WordArena } from "./word_arena.ts";

const SLOTS_MIN = 64;
/** A table with fewer rows than this is not worth compacting. */
const COMPACT_MIN = 4_096;

/** What an occurrence is found by: bytes of the session id, and of the key where it is not the same. */
export interface Identity {
  readonly view: DataView;
  readonly idStart: number;
  readonly idLength: number;
  /** `hashBytes` of the session id. */
  readonly hash: number;
  readonly keyView: DataView | null;
  readonly keyStart: number;
  readonly keyLength: number;
}

/** The columns; numbers of occurrences that are free are chained by `next`. */
export class OccurrenceTable {
  /** Of the numbers given out so far, free ones included. */
  top = 0;
  live = 0;
  firstOffset: Float64Array = new Float64Array(16);
  /** The first event's time, which narrow times are distances from. */
  base: Float64Array = new Float64Array(16);
  start: Float64Array = new Float64Array(16);
  end: Float64Array = new Float64Array(16);
  /** The epoch that the newest row left with; NaN before the first. */
  rowEpoch: Float64Array = new Float64Array(16);
  /** Of the events; 0: the number is free. */
  count: Uint32Array = new Uint32Array(16);
  events: Uint32Array = new Uint32Array(16);
  profile: Uint32Array = new Uint32Array(16);
  userId: Uint32Array = new Uint32Array(16);
  revision: Uint32Array = new Uint32Array(16);
  amended: Uint32Array = new Uint32Array(16);
  /** The next occurrence of the same identity: they are in the order of their first offset. */
  next: Uint32Array = new Uint32Array(16);
  /** 0: open; else 1 + the reason's index in CLOSE_REASONS. */
  closed: Uint8Array = new Uint8Array(16);
  wide: Uint8Array = new Uint8Array(16);
  #id: Uint32Array = new Uint32Array(16);
  #idLength: Uint32Array = new Uint32Array(16);
  /** 1 + the length of the key; 0 where it is the session id. Its bytes follow those of the id. */
  #key: Uint32Array = new Uint32Array(16);
  #hash: Int32Array = new Int32Array(16);
  #free = 0;
  /** The first occurrence of each identity. */
  #slots = new Uint32Array(SLOTS_MIN);
  #identities = 0;
  readonly #larger: EventBlock;

  constructor(private readonly arena: WordArena) {
    this.#larger = new EventBlock(arena);
  }

  /** Bytes that the columns take in memory, without the blocks in the arena. */
  get byteLength(): number {
    return this.#slots.byteLength + COLUMNS.reduce((sum, name) => sum + this[name].byteLength, 0) +
      this.#id.byteLength + this.#idLength.byteLength + this.#key.byteLength + this.#hash.byteLength;
  }

  /** The first occurrence of an identity; 0 where there is none. */
  find(identity: Identity): number {
    const { hash, idLength } = identity;
    const mask = this.#slots.length - 1;
    for (let slot = hash & mask;; slot = slot + 1 & mask) {
      const occurrence = this.#slots[slot]!;
      if (occurrence === 0) return 0;
      if (
        this.#hash[occurrence] === hash && this.#idLength[occurrence] === idLength &&
        this.#isSame(occurrence, identity)
      ) return occurrence;
    }
  }

  /**
   * Takes in an occurrence without events, the last of its identity.
   *
   * @param first what {@linkcode find} says
   */
  add(identity: Identity, first: number): number {
    const occurrence = this.#number();
    const { view, idStart, idLength, keyView, keyStart, keyLength, hash } = identity;
    const bytes = idLength + (keyView === null ? 0 : keyLength);
    const ref = this.arena.allocate(wordsOf(bytes));
    const to = this.#bytesAt(ref, bytes);
    for (let i = 0; i < idLength; i++) to[i] = view.getUint8(idStart + i);
    if (keyView !== null) {
      for (let i = 0; i < keyLength; i++) to[idLength + i] = keyView.getUint8(keyStart + i);
    }
    this.#id[occurrence] = ref;
    this.#idLength[occurrence] = idLength;
    this.#key[occurrence] = keyView === null ? 0 : 1 + keyLength;
    this.#hash[occurrence] = hash;
    if (first === 0) {
      if (++this.#identities * 2 > this.#slots.length) this.#rehash(this.#slots.length * 2);
      this.#enter(occurrence);
    } else {
      let last = first;
      while (this.next[last] !== 0) last = this.next[last]!;
      this.next[last] = occurrence;
    }
    return occurrence;
  }

  /** Forgets an occurrence and frees its blocks. */
  remove(occurrence: number): void {
    this.#unlink(occurrence);
    this.arena.free(this.#id[occurrence]!, this.#idWords(occurrence));
    this.arena.free(this.events[occurrence]!, this.#eventWords(occurrence));
    this.count[occurrence] = 0;
    this.live--;
    this.next[occurrence] = this.#free;
    this.#free = occurrence;
  }

  /** Forgets all. */
  clear(): void {
    for (let i = 1; i <= this.top; i++) if (this.count[i] !== 0) this.remove(i);
  }

  /** Moves a view to an occurrence's events. */
  open(block: EventBlock, occurrence: number): void {
    block.open(this.events[occurrence]!, this.count[occurrence]!, this.wide[occurrence] === 1);
    block.firstOffset = this.firstOffset[occurrence]!;
    block.base = this.base[occurrence]!;
    block.profile = this.profile[occurrence]!;
    block.userId = this.userId[occurrence]!;
  }

  /** Moves a view to an occurrence's events and makes room for `count` of them, the present ones and more. */
  openFor(block: EventBlock, occurrence: number, count: number): void {
    const present = this.count[occurrence]!;
    const words = this.wide[occurrence] === 1 ? WIDE_WORDS : NARROW_WORDS;
    if (present === 0) {
      this.events[occurrence] = this.arena.allocate(words * capacityFor(count));
    } else if (capacityFor(count) !== capacityFor(present)) {
      this.open(block, occurrence);
      const ref = this.arena.allocate(words * capacityFor(count));
      this.#larger.open(ref, count, block.wide);
      moveEvents(block, this.#larger, present);
      this.arena.free(this.events[occurrence]!, this.#eventWords(occurrence));
      this.events[occurrence] = ref;
    }
    this.count[occurrence] = count;
    this.open(block, occurrence);
  }

  /** Makes an occurrence's events wide. */
  widen(block: EventBlock, occurrence: number): void {
    const count = this.count[occurrence]!;
    this.open(block, occurrence);
    const ref = this.arena.allocate(WIDE_WORDS * capacityFor(count));
    const wide = this.#larger;
    wide.open(ref, count, true);
    const { profile, userId } = block;
    for (let i = 0; i < count; i++) {
      wide.write(i, block.idLow(i), block.idHigh(i), block.what(i));
      wide.place(i, block.offsetOf(i), block.timeOf(i), profile, userId);
    }
    this.arena.free(this.events[occurrence]!, this.#eventWords(occurrence));
    this.events[occurrence] = ref;
    this.wide[occurrence] = 1;
  }

  /** Moves the blocks of all occurrences: see `WordArena.compact`. */
  moveBlocks(move: (ref: number, words: number) => number): void {
    for (let i = 1; i <= this.top; i++) {
      if (this.count[i] === 0) continue;
      this.#id[i] = move(this.#id[i]!, this.#idWords(i));
      this.events[i] = move(this.events[i]!, this.#eventWords(i));
    }
  }

  /** Whether an occurrence has the session id, whose `hashBytes` is `hash`. */
  hasId(occurrence: number, id: Uint8Array, hash: number): boolean {
    return this.#hash[occurrence] === hash && this.#idLength[occurrence] === id.length &&
      this.sessionId(occurrence).every((byte, i) => byte === id[i]);
  }

  /** The bytes of an occurrence's session id, a view. */
  sessionId(occurrence: number): Uint8Array {
    return this.#bytesAt(this.#id[occurrence]!, this.#idLength[occurrence]!);
  }

  /** The bytes of its key where that is not the session id, a view. */
  otherKey(occurrence: number): Uint8Array | null {
    const key = this.#key[occurrence]!;
    if (key === 0) return null;
    const idLength = this.#idLength[occurrence]!;
    return this.#bytesAt(this.#id[occurrence]!, idLength + key - 1).subarray(idLength);
  }

  /**
   * Numbers the occurrences anew where most numbers are free.
   *
   * @returns the new number of each; null where nothing changed
   */
  compact(): Uint32Array | null {
    if (this.top < COMPACT_MIN || this.live * 4 > this.top) return null;
    const numbers = new Uint32Array(this.top + 1);
    let top = 0;
    for (let i = 1; i <= this.top; i++) if (this.count[i] !== 0) numbers[i] = ++top;
    const heads = this.#slots.filter((head) => head !== 0);
    for (const name of COLUMNS) this.#compactColumn(name, numbers, top);
    this.#id = compacted(this.#id, numbers, top);
    this.#idLength = compacted(this.#idLength, numbers, top);
    this.#key = compacted(this.#key, numbers, top);
    this.#hash = compacted(this.#hash, numbers, top);
    for (let i = 1; i <= top; i++) this.next[i] = numbers[this.next[i]!]!;
    this.top = top;
    this.#free = 0;
    let slots = SLOTS_MIN;
    while (slots < 2 * heads.length + 2) slots *= 2;
    this.#slots = new Uint32Array(slots);
    for (const head of heads) this.#enter(numbers[head]!);
    return numbers;
  }

  #compactColumn<K extends typeof COLUMNS[number]>(name: K, numbers: Uint32Array, top: number): void {
    (this as Record<K, OccurrenceTable[K]>)[name] = compacted(this[name], numbers, top);
  }

  #number(): number {
    this.live++;
    let occurrence = this.#free;
    if (occurrence !== 0) {
      this.#free = this.next[occurrence]!;
    } else {
      occurrence = ++this.top;
      if (occurrence >= this.count.length) this.#grow(occurrence + 1);
    }
    this.rowEpoch[occurrence] = NaN;
    this.revision[occurrence] = 0;
    this.amended[occurrence] = 0;
    this.closed[occurrence] = 0;
    this.wide[occurrence] = 0;
    this.next[occurrence] = 0;
    return occurrence;
  }

  #grow(length: number): void {
    const grow = <K extends typeof COLUMNS[number]>(name: K) => {
      (this as Record<K, OccurrenceTable[K]>)[name] = grown(this[name], length);
    };
    for (const name of COLUMNS) grow(name);
    this.#id = grown(this.#id, length);
    this.#idLength = grown(this.#idLength, length);
    this.#key = grown(this.#key, length);
    this.#hash = grown(this.#hash, length);
  }

  #idWords(occurrence: number): number {
    return wordsOf(this.#idLength[occurrence]! + Math.max(this.#key[occurrence]! - 1, 0));
  }

  #eventWords(occurrence: number): number {
    return (this.wide[occurrence] === 1 ? WIDE_WORDS : NARROW_WORDS) * capacityFor(this.count[occurrence]!);
  }

  #bytesAt(ref: number, length: number): Uint8Array {
    const page = this.arena.pages[ref >>> PAGE_SHIFT]!;
    return new Uint8Array(page.buffer, 4 * (ref & OFFSET_MASK), length);
  }

  #isSame(occurrence: number, { view, idStart, idLength, keyView, keyStart, keyLength }: Identity): boolean {
    const ref = this.#id[occurrence]!;
    const words = this.arena.pages[ref >>> PAGE_SHIFT]!;
    let at = ref & OFFSET_MASK;
    let i = 0;
    for (; i + 4 <= idLength; i += 4) if (words[at++] !== view.getUint32(idStart + i, true)) return false;
    for (let word = words[at]!; i < idLength; i++, word >>>= 8) {
      if ((word & 0xff) !== view.getUint8(idStart + i)) return false;
    }
    const key = this.otherKey(occurrence);
    if (key === null || keyView === null) return key === keyView;
    const keyBytes = new DataView(key.buffer, key.byteOffset, key.length);
    return key.length === keyLength && sameBytesAt(keyBytes, 0, keyView, keyStart, keyLength);
  }

  #enter(occurrence: number): void {
    const mask = this.#slots.length - 1;
    let slot = this.#hash[occurrence]! & mask;
    while (this.#slots[slot] !== 0) slot = slot + 1 & mask;
    this.#slots[slot] = occurrence;
  }

  #rehash(length: number): void {
    const heads = this.#slots.filter((head) => head !== 0);
    this.#slots = new Uint32Array(length);
    for (const head of heads) this.#enter(head);
  }

  /** Takes an occurrence out of its identity's chain. */
  #unlink(occurrence: number): void {
    const { next } = this;
    const mask = this.#slots.length - 1;
    for (let slot = this.#hash[occurrence]! & mask;; slot = slot + 1 & mask) {
      const head = this.#slots[slot]!;
      if (head === occurrence) {
        this.#slots[slot] = next[occurrence]!;
        if (next[occurrence] === 0) this.#closeGap(slot);
        return;
      }
      if (this.#hash[head] !== this.#hash[occurrence]) continue;
      for (let before = head; before !== 0; before = next[before]!) {
        if (next[before] !== occurrence) continue;
        next[before] = next[occurrence]!;
        return;
      }
    }
  }

  /** Moves back what stands behind a slot that became empty, and would no longer be found. */
  #closeGap(gap: number): void {
    this.#identities--;
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let slot = gap + 1 & mask; slots[slot] !== 0; slot = slot + 1 & mask) {
      const home = this.#hash[slots[slot]!]! & mask;
      if ((slot - home & mask) < (slot - gap & mask)) continue;
      slots[gap] = slots[slot]!;
      slots[slot] = 0;
      gap = slot;
    }
  }
}

const COLUMNS = [
  ...["firstOffset", "base", "start", "end", "rowEpoch"] as const,
  ...["count", "events", "profile", "userId", "revision", "amended", "next", "closed", "wide"] as const,
] as const;

function compacted<T extends Float64Array | Uint32Array | Int32Array | Uint8Array>(
  column: T,
  numbers: Uint32Array,
  top: number,
): T {
  const kept = new (column.constructor as new (length: number) => T)(top + (top >> 1) + 16);
  for (let i = 1; i < numbers.length; i++) if (numbers[i] !== 0) kept[numbers[i]!] = column[i]!;
  return kept;
}

function wordsOf(bytes: number): number {
  return bytes + 3 >> 2;
}
