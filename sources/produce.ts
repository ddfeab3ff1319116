/** Drives a feed into a producer, at a rate or as fast as it goes. */
import type { RecordFeed } from "./feed.ts";
import { recordSize } from "./feed.ts";
import type { Producer } from "./source.ts";

/** Eight partitions' batches of 64 KB: a send of this size gives each partition one batch of the size Kafka likes. */
export const SEND_BYTES = 8 * 64 * 1024;
/** A paced production sends what is due this often, or at each event where they are rarer. */
const TICK_MS = 10;
/** After a stall so much of it is made up for at most, in one burst. */
const CATCH_UP_MS = 1_000;

export interface ProduceProgress {
  readonly records: number;
  /** Key and value bytes. */
  readonly bytes: number;
  /** On average since the start. */
  readonly recordsPerSecond: number;
}

export interface ProduceOptions {
  readonly feed: RecordFeed;
  readonly producer: Producer;
  /** Records a second; "max" sends as fast as the producer acknowledges. */
  readonly rate: number | "max";
  /** A clock that never moves back, milliseconds. */
  readonly now: () => number;
  /** Waits; returns early where `signal` aborts. */
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
  /** Bytes of one send at most; {@linkcode SEND_BYTES} by default. */
  readonly sendBytes?: number;
  /** Called after each send. */
  readonly onProgress?: (progress: ProduceProgress) => void;
  /** Stops after the send that is under way; the feed is finished as at its end. */
  readonly signal?: AbortSignal;
}

export interface ProduceResult extends ProduceProgress {
  readonly elapsedMs: number;
  /** False where `signal` stopped it. */
  readonly complete: boolean;
}

/** Sends the feed's records, one send at a time, each acknowledged before the next, until its end. */
export async function produce(options: ProduceOptions): Promise<ProduceResult> {
  const { feed, producer, now, signal, sendBytes = SEND_BYTES } = options;
  const start = now();
  const pace = new Pace(options.rate, start);
  let [records, bytes, complete] = [0, 0, false];
  const progress = (): ProduceProgress => {
    const elapsed = now() - start;
    return { records, bytes, recordsPerSecond: elapsed > 0 ? records * 1_000 / elapsed : 0 };
  };
  try {
    while (!signal?.aborted) {
      const due = pace.due(now());
      if (due === 0) {
        await options.sleep(pace.untilNext(now()), signal);
        continue;
      }
      const batch = await unlessAborted(feed.next(due, sendBytes), signal);
      if (batch === null) break;
      complete = batch.length === 0;
      if (complete) break;
      await feed.acknowledge(await producer.send(batch));
      pace.sent(batch.length);
      records += batch.length;
      for (const record of batch) bytes += recordSize(record);
      options.onProgress?.(progress());
      // The embedded log answers at once: without a turn of the event loop, timers and web server would starve.
      await options.sleep(0, signal);
    }
    await feed.finish();
  } catch (error) {
    await feed.abandon();
    throw error;
  }
  return { ...progress(), elapsedMs: now() - start, complete };
}

/** What `pull` brings; null where `signal` aborts first: a pipe may never bring anything. */
async function unlessAborted<T>(pull: Promise<T>, signal: AbortSignal | undefined): Promise<T | null> {
  if (signal === undefined) return await pull;
  const { promise: aborted, resolve } = Promise.withResolvers<null>();
  const onAbort = () => resolve(null);
  signal.addEventListener("abort", onAbort);
  try {
    return await Promise.race([pull, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Which records are due when. The first is due at once. */
class Pace {
  readonly #intervalMs: number;
  /** When the next record is due. */
  #next: number;

  constructor(rate: number | "max", start: number) {
    this.#intervalMs = rate === "max" ? 0 : 1_000 / rate;
    this.#next = start;
  }

  due(now: number): number {
    if (this.#intervalMs === 0) return Infinity;
    this.#next = Math.max(this.#next, now - CATCH_UP_MS);
    return Math.max(0, Math.floor((now - this.#next) / this.#intervalMs) + 1);
  }

  sent(count: number): void {
    this.#next += count * this.#intervalMs;
  }

  untilNext(now: number): number {
    return Math.max(this.#next - now, TICK_MS);
  }
}
