/** A clock that stands still until a test moves it. */
import type { Clock } from "../../actors/clock.ts";

interface Sleeper {
  readonly until: number;
  readonly wake: () => void;
}

/** Lets everything run that waits for a promise or for a message that is on its way. */
export async function turns(count = 5): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setTimeout(resolve, 0));
}

export class FakeClock implements Clock {
  /** The milliseconds of every sleep that was asked for. */
  readonly sleeps: number[] = [];
  readonly #sleepers = new Set<Sleeper>();

  /**
   * @param time epoch milliseconds, also the monotonic time
   * @param draws what `random` gives
   */
  constructor(public time = 1_700_000_000_000, private readonly draws: () => number = () => 0.5) {}

  now(): number {
    return this.time;
  }

  monotonic(): number {
    return this.time;
  }

  random(): number {
    return this.draws();
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    this.sleeps.push(ms);
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const sleeper = { until: this.time + ms, wake: resolve };
      this.#sleepers.add(sleeper);
      signal?.addEventListener("abort", () => {
        this.#sleepers.delete(sleeper);
        resolve();
      });
    });
  }

  /** Moves the time, wakes who slept until then, and lets them run. */
  async advance(ms: number): Promise<void> {
    this.time += ms;
    for (const sleeper of [...this.#sleepers]) {
      if (sleeper.until > this.time) continue;
      this.#sleepers.delete(sleeper);
      sleeper.wake();
    }
    await turns();
  }
}
