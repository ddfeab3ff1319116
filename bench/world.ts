/** What the suites run over: the embedded parts, or real services. */
import { systemClock } from "../actors/clock.ts";
import { type Config, resolveConfig } from "../schema/config.ts";
import { openProducer } from "../sources/open.ts";
import { produce } from "../sources/produce.ts";
import type { RecordFeed } from "../sources/feed.ts";
import { FixedFeed, type FixedFeedOptions, SESSION_EVENTS } from "./fixed_feed.ts";

/** The variables of one pipeline. */
export type Env = Readonly<Record<string, string>>;

/** Where pipelines of the bench live. */
export interface World {
  /** What the report calls it. */
  readonly over: string;
  /** Whether Kafka, MinIO and a ClickHouse server are behind it. */
  readonly services: boolean;
  /** The variables of a pipeline that nothing else uses. */
  newPipeline(): Promise<Env>;
  /** The same events into other sinks: a pipeline that reads the topic of `env`, with nothing written yet. */
  again(env: Env): Promise<Env>;
  /** The same, into the embedded sinks; null where {@linkcode again} does that. */
  intoEmbeddedSinks(env: Env): Promise<Env> | null;
}

/** What a suite may be told. */
export interface BenchOptions {
  /** Events of one run; suites take a part of it or as many. */
  readonly events: number;
  /** Of `endurance`. */
  readonly hours: number;
  /** Events a second of `endurance`. */
  readonly rate: number;
}

/** Pipelines over the embedded parts, below one folder. */
export class EmbeddedWorld implements World {
  readonly over: string = "embedded";
  readonly services: boolean = false;
  #pipelines = 0;

  constructor(protected readonly folder: string) {}

  async newPipeline(): Promise<Env> {
    const DATA_DIR = `${this.folder}/${++this.#pipelines}`;
    await Deno.mkdir(DATA_DIR, { recursive: true });
    return { DATA_DIR, HTTP_PORT: "0" };
  }

  /** Sets the sinks aside: a file system that has just deleted thousands of files is slow to make new ones. */
  async again(env: Env): Promise<Env> {
    const aside = `${this.folder}/${++this.#pipelines}`;
    await Deno.mkdir(aside);
    for (const sink of ["lake", "warehouse", "as_of"]) {
      await Deno.rename(`${env.DATA_DIR}/${sink}`, `${aside}/${sink}`).catch(() => {});
    }
    return env;
  }

  intoEmbeddedSinks(): null {
    return null;
  }
}

/** The settings that `env` means. */
export function configOf(env: Env): Config {
  return resolveConfig({ flags: {}, env }).config;
}

/**
 * Sends all of a feed, at `rate` records a second or as fast as it goes; returns the seconds it took and the records and
 * bytes sent.
 */
export async function send(
  env: Env,
  feed: RecordFeed,
  rate: number | "max" = "max",
): Promise<{ readonly records: number; readonly bytes: number; readonly seconds: number }> {
  const producer = await openProducer(configOf(env), systemClock);
  try {
    const { monotonic: now, sleep } = systemClock;
    const { records, bytes, elapsedMs } = await produce({ feed, producer, rate, now, sleep });
    return { records, bytes, seconds: elapsedMs / 1_000 };
  } finally {
    await producer.close();
  }
}

/** Sends whole sessions of 18 events, some `events` in all; returns their truth beside what {@linkcode send} does. */
export async function fill(env: Env, events: number, more: Partial<FixedFeedOptions> = {}) {
  const sessions = Math.max(1, Math.round(events / SESSION_EVENTS));
  const options = { sessions, seed: 1, endMs: systemClock.now(), ...more };
  return { ...await send(env, new FixedFeed(options)), sessions: options.sessions };
}
