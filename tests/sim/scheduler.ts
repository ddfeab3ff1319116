/**
 * Virtual time and the order of everything that happens in it. One step runs one event and then all that it sets off
 * in promises, so a run is a function of its seed: nothing of the machine's time or chance reaches it.
 */
import { setImmediate } from "node:timers";
import type { Random } from "../../sources/random.ts";

/** Who an event happens to: nothing happens to the dead, and what happens to the paused waits. */
export interface Party {
  readonly name: string;
  alive: boolean;
  /** Virtual time until which its threads stand still. */
  pausedUntil: number;
  /** Told what its code has thrown with nobody to catch it. */
  fail(error: unknown): void;
}

interface Happening {
  time: number;
  /** Orders what happens at one time, by chance. */
  tie: number;
  readonly party: Party | null;
  readonly run: () => void;
  cancelled: boolean;
}

/** A seeded event loop; all times are virtual milliseconds since the run began. */
export class Scheduler {
  now = 0;
  steps = 0;
  /** To whom the newest event happened. */
  party: Party | null = null;
  readonly #heap: Happening[] = [];
  #deferred = 0;

  constructor(private readonly random: Random) {}

  /** Runs `run` after `delay`, unless `party` is dead by then. Returns how to take it back. */
  after(delay: number, party: Party | null, run: () => void): () => void {
    const happening = { time: this.now + delay, tie: this.random.uint32(), party, run, cancelled: false };
    this.#push(happening);
    return () => {
      happening.cancelled = true;
    };
  }

  /** Runs the next event and what follows from it in promises; false where there is none. */
  async step(): Promise<boolean> {
    for (;;) {
      const next = this.#pop();
      if (next === undefined) return false;
      if (next.cancelled || next.party?.alive === false) continue;
      this.now = Math.max(this.now, next.time);
      if (next.party !== null && next.party.pausedUntil > this.now) {
        // In the order in which it would have happened.
        next.time = next.party.pausedUntil;
        next.tie = this.#deferred++;
        this.#push(next);
        continue;
      }
      this.steps++;
      this.party = next.party;
      try {
        next.run();
      } catch (error) {
        if (next.party === null) throw error;
        next.party.fail(error);
      }
      // The microtask queue is empty before the event loop turns.
      await new Promise<void>((resolve) => setImmediate(resolve));
      return true;
    }
  }

  #push(happening: Happening): void {
    const heap = this.#heap;
    let at = heap.push(happening) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(heap[at]!, heap[parent]!)) break;
      [heap[at], heap[parent]] = [heap[parent]!, heap[at]!];
      at = parent;
    }
  }

  #pop(): Happening | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return last;
    heap[0] = last;
    for (let at = 0;;) {
      const [left, right] = [2 * at + 1, 2 * at + 2];
      let least = at;
      if (left < heap.length && before(heap[left]!, heap[least]!)) least = left;
      if (right < heap.length && before(heap[right]!, heap[least]!)) least = right;
      if (least === at) return first;
      [heap[at], heap[least]] = [heap[least]!, heap[at]!];
      at = least;
    }
  }
}

function before(a: Happening, b: Happening): boolean {
  return a.time < b.time || (a.time === b.time && a.tie < b.tie);
}
