/** Trying again what a sink could not do, for as long as it may still succeed. */
import { messageOf, SinkError } from "../schema/errors.ts";
import type { Clock } from "./clock.ts";

const BACKOFF_MIN_MS = 100;
/** With the time between two reports, less than five seconds: so soon the page knows that a sink is back. */
export const BACKOFF_MAX_MS = 2_500;

/** Is told of failures that are tried again; `what` tells operations apart. */
export interface RetryWatcher {
  failed(what: string, why: string): void;
  /** It succeeded, or was given up; also where it never failed. */
  ended(what: string): void;
}

export interface RetryOptions {
  readonly clock: Clock;
  /** Told once when `what` starts failing, and once when it works again. */
  readonly notice: (text: string) => void;
  /** What is tried, to begin a sentence: "The commit of epoch 7". */
  readonly what: string;
  /** Gives up when it aborts: the last error is thrown. */
  readonly signal?: AbortSignal;
  readonly watcher?: RetryWatcher;
}

/**
 * Runs `attempt` until it succeeds, with exponential, jittered pauses of at most {@linkcode BACKOFF_MAX_MS}.
 *
 * @throws whatever `attempt` throws that is not a retryable {@linkcode SinkError}
 */
export async function retrying<T>(attempt: () => Promise<T>, options: RetryOptions): Promise<T> {
  const { clock, notice, what, signal, watcher } = options;
  for (let tries = 0;; tries++) {
    try {
      const result = await attempt();
      watcher?.ended(what);
      if (tries > 0) notice(`${what} succeeded after ${tries + 1} tries.`);
      return result;
    } catch (error) {
      const retryable = error instanceof SinkError && error.retryable;
      if (!retryable || signal?.aborted) {
        watcher?.ended(what);
        throw error;
      }
      watcher?.failed(what, messageOf(error));
      if (tries === 0) notice(`${what} failed and is tried again: ${messageOf(error)}`);
      const ceiling = Math.min(BACKOFF_MIN_MS * 2 ** tries, BACKOFF_MAX_MS);
      await clock.sleep(ceiling / 2 + clock.random() * ceiling / 2, signal);
      if (signal?.aborted) {
        watcher?.ended(what);
        throw error;
      }
    }
  }
}
