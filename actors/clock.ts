/** Time and randomness, behind one seam: nothing else in `actors/` reads a clock, sets a timer or draws a number. */

/** What the actors know of time. A simulated one makes every test repeatable. */
export interface Clock {
  /** Wall clock, epoch milliseconds. */
  now(): number;
  /** Time since an arbitrary start that never moves back, milliseconds: for durations. */
  monotonic(): number;
  /** Resolves after `ms` milliseconds, or at once when `signal` aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** A number in [0, 1). */
  random(): number;
}

/** The machine's own clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const done = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal?.addEventListener("abort", done);
    }),
  random: () => Math.random(),
};
