/**
 * The process that produces for the crash harness, until SIGTERM. Its only argument is a {@linkcode ProducerOptions} as
 * JSON; it prints one line of JSON when the sessions that stay open are in the log, and one at its end.
 */
import { systemClock } from "../../../actors/clock.ts";
import { resolveConfig } from "../../../schema/config.ts";
import { openProducer } from "../../../sources/open.ts";
import { produce } from "../../../sources/produce.ts";
import type { PipelineEnv } from "../harness/stack.ts";
import { CrashFeed, type Disorder } from "./crash_feed.ts";

export interface ProducerOptions {
  readonly env: PipelineEnv;
  readonly seed: number;
  /** Events a second. */
  readonly rate: number;
  /** Sessions that are opened first and stay open. */
  readonly open: number;
  readonly disorder: Disorder;
  readonly truthPath: string;
}

/** So many readers that each has an event about every second. */
const READERS_MAX = 1_000;

async function main(options: ProducerOptions): Promise<void> {
  const { env, seed, rate, open, disorder, truthPath } = options;
  const stop = new AbortController();
  Deno.addSignalListener("SIGTERM", () => stop.abort());
  const { config } = resolveConfig({ flags: {}, env });
  const producer = await openProducer(config, systemClock, (text) => console.error(text));
  const readers = Math.min(Math.max(rate, 8), READERS_MAX);
  const feed = new CrashFeed({ seed, readers, disorder, truthPath, now: systemClock.now });
  const pace = { producer, now: systemClock.monotonic, sleep: systemClock.sleep, signal: stop.signal };
  await produce({ ...pace, feed: feed.opening(open), rate: "max" });
  console.log(JSON.stringify(feed.counts));
  await produce({ ...pace, feed, rate });
  await producer.close();
  console.log(JSON.stringify(feed.counts));
}

await main(JSON.parse(Deno.args[0]!));
Deno.exit(0);
