/** The browser's clock and timers: the only file of the page that knows them. */
/// <reference lib="dom" />

/** Wall clock of the reader's machine, epoch milliseconds. */
export function now(): number {
  return Date.now();
}

/** Resolves after `ms` milliseconds. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Calls `work` about every `ms` milliseconds while the page is shown. */
export function every(ms: number, work: () => void): void {
  setInterval(() => {
    if (document.visibilityState === "visible") work();
  }, ms);
}
