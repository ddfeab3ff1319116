/** When epochs are to be closed: at regular times, which move away from those of other instances. */
import type { Clock } from "./clock.ts";

/** Ticks for one run. */
export class EpochTicker {
  readonly #stop = new AbortController();
  /** Monotonic milliseconds. */
  #next = 0;

  constructor(private readonly clock: Clock, private readonly intervalMs: number) {}

  /** Calls `tick` with the monotonic time, the first time an interval from now, until it is stopped. */
  async run(tick: (at: number) => void): Promise<void> {
    const { clock } = this;
    this.#next = clock.monotonic();
    while (!this.#stop.signal.aborted) {
      this.#next += this.intervalMs;
      await clock.sleep(Math.max(0, this.#next - clock.monotonic()), this.#stop.signal);
      tick(clock.monotonic());
    }
  }

  /** Instances that lose Delta versions to each other close their epochs at the same time: this one moves its own. */
  stagger(): void {
    this.#next += this.clock.random() * this.intervalMs / 2;
  }

  stop(): void {
    this.#stop.abort();
  }
}
