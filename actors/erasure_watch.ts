/** Looks again and again for requests to erase, which any process may file beside the table. */
import type { Erasure } from "../schema/erasure.ts";
import { SinkError } from "../schema/errors.ts";
import type { Clock } from "./clock.ts";

export interface ErasureWatchOptions {
  /** The requests that are open. */
  readonly open: () => Promise<readonly Erasure[]>;
  readonly clock: Clock;
  readonly intervalMs: number;
  readonly tell: (erasures: readonly Erasure[]) => void;
}

/** Tells of the requests that are open now; a store that does not answer is asked again, as all else that needs it is. */
export async function readErasures({ open, tell }: ErasureWatchOptions): Promise<void> {
  try {
    tell(await open());
  } catch (error) {
    if (!(error instanceof SinkError && error.retryable)) throw error;
  }
}

/** Does so every interval, until `signal` aborts. */
export async function watchErasures(options: ErasureWatchOptions, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await readErasures(options);
    await options.clock.sleep(options.intervalMs, signal);
  }
}
