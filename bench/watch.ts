/** Samples of a running program, once a second. */
import { systemClock } from "../actors/clock.ts";
import type { Metrics, Running } from "./processes.ts";

const SAMPLE_MS = 1_000;

/** What a program was like at one moment. */
export interface Sample {
  /** Seconds since the watching began. */
  readonly at: number;
  readonly lag: number;
  readonly rssBytes: number;
  readonly events: number;
  readonly metrics: Metrics;
}

/** Watches until `signal` aborts; moments when it does not answer are left out. */
export async function watch(
  program: Running,
  signal: AbortSignal,
  take: (sample: Sample) => void | Promise<void>,
  everyMs = SAMPLE_MS,
): Promise<void> {
  const started = systemClock.monotonic();
  while (!signal.aborted) {
    const metrics = await program.metrics().catch(() => null);
    if (metrics !== null) {
      await take({
        at: (systemClock.monotonic() - started) / 1_000,
        lag: metrics.lag,
        rssBytes: metrics.sum("process_resident_memory_bytes"),
        events: metrics.sum("sessionary_source_records_total"),
        metrics,
      });
    }
    await systemClock.sleep(everyMs, signal);
  }
}
