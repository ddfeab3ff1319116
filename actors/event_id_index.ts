/** Whether an occurrence has an event, by its id's hash: a glance at a few words, an index where there are many. */
import type { EventBlock } from "./event_blocks.ts";

/** Up to so many events are looked through one by one. */
const SCANNED_MAX = 64;

/** The ids of the occurrences that have many events; by number of occurrence. */
export class EventIdIndex {
  readonly #sets = new Map<number, EventIdSet>();

  /** Whether one of the `count` events has the id. `block` stands at the occurrence. */
  has(block: EventBlock, occurrence: number, count: number, idLow: number, idHigh: number): boolean {
    if (count > SCANNED_MAX) return this.#set(occurrence).has(block, count, idLow, idHigh);
    const { words, at, capacity } = block;
    for (let i = at; i < at + count; i++) {
      if (words[i] === idLow && words[i + capacity] === idHigh) return true;
    }
    return false;
  }

  /** The occurrence is gone: its number may be used again. */
  remove(occurrence: number): void {
    this.#sets.delete(occurrence);
  }

  /** Occurrences have other numbers now: the sets are built again when they are asked for. */
  clear(): void {
    this.#sets.clear();
  }

  #set(occurrence: number): EventIdSet {
    let set = this.#sets.get(occurrence);
    if (set === undefined) this.#sets.set(occurrence, set = new EventIdSet());
    return set;
  }
}

/** A hash set of the numbers of events, by the ids in their block; it catches up with the block when it is asked. */
class EventIdSet {
  #slots = new Uint32Array(4 * SCANNED_MAX);
  #entered = 0;

  has(block: EventBlock, count: number, idLow: number, idHigh: number): boolean {
    while (2 * count > this.#slots.length) {
      this.#slots = new Uint32Array(2 * this.#slots.length);
      this.#entered = 0;
    }
    for (; this.#entered < count; this.#entered++) {
      const slot = this.#slot(block, block.idLow(this.#entered), block.idHigh(this.#entered));
      this.#slots[slot] = this.#entered + 1;
    }
    return this.#slots[this.#slot(block, idLow, idHigh)] !== 0;
  }

  /** Where an id is, or would be. */
  #slot(block: EventBlock, idLow: number, idHigh: number): number {
    const mask = this.#slots.length - 1;
    for (let slot = idLow & mask;; slot = slot + 1 & mask) {
      const known = this.#slots[slot]!;
      if (known === 0 || (block.idLow(known - 1) === idLow && block.idHigh(known - 1) === idHigh)) {
        return slot;
      }
    }
  }
}
