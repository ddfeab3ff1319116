/** `sessionary produce`: fills the event log from simulated readers, a file of events or a web server's log. */
import type { ResolvedConfig, ResolvedSettings } from "../schema/config.ts";
import { UserError } from "../schema/errors.ts";
import { flagOf } from "../schema/setting.ts";
import { PRODUCE_SETTINGS } from "../schema/produce_settings.ts";
import { AccessLogFeed } from "../sources/access_log.ts";
import type { RecordFeed } from "../sources/feed.ts";
import { NdjsonFeed } from "../sources/ndjson.ts";
import { openProducer } from "../sources/open.ts";
import { produce as produceRecords, type ProduceResult } from "../sources/produce.ts";
import { SimulatedFeed } from "../sources/simulated_feed.ts";
import { Simulator, type SimulatorOptions, virtualTimeline } from "../sources/simulator.ts";
import type { CommandContext } from "./context.ts";
import { prepareDataDir } from "./data_dir.ts";
import { startProgress } from "./progress.ts";
import { escapeControls } from "./terminal.ts";

type Resolved = ResolvedSettings<typeof PRODUCE_SETTINGS>;

/** Lines that do not parse are printed up to this many, then counted only. */
const UNPARSABLE_SHOWN_MAX = 10;
const UNPARSABLE_CHARACTERS_MAX = 120;

/**
 * Produces until the input's end, `--events`, or Ctrl-C.
 *
 * @throws {UserError} for flags that do not go together, and what the event log or the input throws
 */
export async function produce(
  { config }: ResolvedConfig,
  resolved: Resolved,
  context: CommandContext,
): Promise<void> {
  refuseOtherModesFlags(resolved);
  await prepareDataDir({ path: config.dataDir, pid: context.pid });
  const producer = await openProducer(config, context.clock, context.warn);
  try {
    const { feed, total, tell } = openFeed(resolved.values, context);
    const progress = startProgress(total, context);
    const result = await produceRecords({
      feed,
      producer,
      rate: resolved.values.rate,
      now: () => context.clock.monotonic(),
      sleep: (ms, signal) => context.clock.sleep(ms, signal),
      onProgress: progress.update,
      signal: context.stop,
    }).finally(progress.stop);
    context.print(summarize(result, config.topic));
    tell();
  } finally {
    await producer.close();
  }
}

/** The flags that mean something with one kind of input only. */
const MODE_FLAGS = {
  simulated: ["events", "seed", "truth", "late", "duplicates", "outOfOrder"],
  ndjson: ["ndjson", "keySeparator"],
  accessLog: ["accessLog", "sessionKey"],
} as const;

function modeOf({ values }: Resolved): keyof typeof MODE_FLAGS {
  return values.ndjson !== null ? "ndjson" : values.accessLog !== null ? "accessLog" : "simulated";
}

function refuseOtherModesFlags(resolved: Resolved): void {
  const mode = modeOf(resolved);
  const names = { simulated: "simulated readers", ndjson: "--ndjson", accessLog: "--access-log" };
  for (const [other, settings] of Object.entries(MODE_FLAGS)) {
    const strange = other === mode
      ? undefined
      : settings.find((name) => resolved.origins[name] !== "default");
    if (strange === undefined) continue;
    const flag = flagOf(PRODUCE_SETTINGS[strange], "PRODUCE_");
    throw new UserError(`${flag} does not go together with ${names[mode]}: leave one of them out.`);
  }
}

interface OpenFeed {
  readonly feed: RecordFeed;
  /** Records to come; null where nobody knows. */
  readonly total: number | null;
  /** Prints what the feed has to say at its end. */
  tell(): void;
}

function openFeed(values: Resolved["values"], context: CommandContext): OpenFeed {
  const tell = () => {};
  if (values.ndjson !== null) {
    const keySeparator = values.keySeparator ?? undefined;
    return { feed: new NdjsonFeed({ path: values.ndjson, keySeparator }), total: null, tell };
  }
  if (values.accessLog !== null) return openAccessLog(values.accessLog, values.sessionKey, context);
  const seed = values.seed ?? randomSeed(context);
  const { events } = values;
  const [late, duplicates, outOfOrder] = [values.late, values.duplicates, values.outOfOrder].map((percent) =>
    percent / 100
  );
  const shares = { late, duplicates, outOfOrder };
  const simulator = values.rate === "max" && events !== null
    ? new Simulator({ seed, ...shares, ...virtualTimeline(events, context.clock.now()) })
    : liveSimulator(seed, values.rate === "max" ? Infinity : values.rate, context, shares);
  const options = { events: events ?? undefined, truthPath: values.truth ?? undefined };
  return {
    feed: new SimulatedFeed(simulator, options),
    total: events,
    tell: () => context.print(`The readers' seed was ${seed}.`),
  };
}

function openAccessLog(path: string, sessionKey: "host" | "host+agent", context: CommandContext): OpenFeed {
  let shown = 0;
  const feed = new AccessLogFeed({
    path,
    sessionKey,
    onUnparsable: ({ number, text }) => {
      if (++shown > UNPARSABLE_SHOWN_MAX) return;
      context.warn(
        `Line ${number} does not parse: ${escapeControls(text.slice(0, UNPARSABLE_CHARACTERS_MAX))}`,
      );
    },
  });
  return { feed, total: null, tell: () => context.print(`${feed.unparsable} lines did not parse.`) };
}

/** A seed that nobody chose. */
export function randomSeed(context: CommandContext): number {
  return Math.floor(context.clock.random() * 2 ** 32);
}

/** Readers whose events happen now: as many as make `eventsPerSecond` at a reader's pace. */
export function liveSimulator(
  seed: number,
  eventsPerSecond: number,
  context: CommandContext,
  shares: Pick<SimulatorOptions, "late" | "duplicates" | "outOfOrder"> = {},
): Simulator {
  const readers = Math.min(Math.max(Math.round(eventsPerSecond * 0.8), 8), 1_000);
  const now = () => context.clock.now();
  return new Simulator({ seed, readers, timeline: { kind: "live", now }, ...shares });
}

function summarize(
  { records, bytes, elapsedMs, recordsPerSecond, complete }: ProduceResult,
  topic: string,
): string {
  const number = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 });
  return `${complete ? "Produced" : "Stopped after"} ${number.format(records)} events ` +
    `(${number.format(bytes / 1e6)} MB) into ${topic} in ${number.format(elapsedMs / 1000)} s: ` +
    `${number.format(Math.round(recordsPerSecond))} events/s.`;
}
