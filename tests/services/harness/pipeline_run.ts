/** A pipeline of the program's own actors in this process, fed with simulated readers until it is drained. */
import { systemClock } from "../../../actors/clock.ts";
import type { PipelineSummary } from "../../../actors/protocol.ts";
import { type Pipeline, startPipeline } from "../../../actors/supervisor.ts";
import { type Config, resolveConfig } from "../../../schema/config.ts";
import { dataPaths } from "../../../schema/data_paths.ts";
import { openProducer } from "../../../sources/open.ts";
import { produce } from "../../../sources/produce.ts";
import { SimulatedFeed } from "../../../sources/simulated_feed.ts";
import { Simulator, virtualTimeline } from "../../../sources/simulator.ts";

/** Each chunk of events is some twenty sessions, nearly all of them whole. */
const EVENTS_PER_CHUNK = 300;
const CHUNK_PAUSE_MS = 250;
/** How long anything may take before the test fails with what it waited for. */
const PATIENCE_MS = 90_000;
const POLL_MS = 50;
/** How often a pipeline's statistics are new. */
const STATS_MS = 1_000;

/** Waits until `condition` holds. */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const start = systemClock.monotonic();
  while (!await condition()) {
    if (systemClock.monotonic() - start > PATIENCE_MS) {
      throw new Error(`Waited ${PATIENCE_MS} ms for ${what}.`);
    }
    await systemClock.sleep(POLL_MS);
  }
}

/** The settings of a test's run: epochs of 1 s, its data in `dataDir`, and what `env` says besides. */
export function runConfig(dataDir: string, env: Readonly<Record<string, string>>): Config {
  return resolveConfig({ flags: {}, env: { DATA_DIR: dataDir, EPOCH_INTERVAL: "1s", ...env } }).config;
}

/** The pipeline while it runs. */
export class PipelineRun {
  /** Its warnings, in order. */
  readonly warnings: string[] = [];
  /** Records that were sent. */
  produced = 0;
  readonly #feeding = new AbortController();
  readonly #fed: Promise<void>;

  private constructor(readonly config: Config, private readonly pipeline: Pipeline, seed: number) {
    pipeline.onNotice(({ level, text }) => level === "warning" && this.warnings.push(text));
    this.#fed = this.#feed(seed);
    this.#fed.catch(() => {}); // Thrown by `drain`.
  }

  /** Starts it, and feeds it from now on. */
  static async start(config: Config, seed: number): Promise<PipelineRun> {
    const pipeline = await startPipeline({ config, untilEnd: false, closeOpen: false });
    return new PipelineRun(config, pipeline, seed);
  }

  /** Epochs with rows that are in ClickHouse, as of about a second ago. However late: epochs' reports wait only so long. */
  get inserted(): number {
    const { counts } = this.pipeline.stats().coordinator?.stages.insert ?? { counts: [] };
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** Delta commits so far. */
  commits(): number {
    const log = `${dataPaths(this.config.dataDir).lake}/sessions/_delta_log`;
    return [...Deno.readDirSync(log)].filter(({ name }) => /^\d{20}\.json$/.test(name)).length;
  }

  /** Waits for so many more commits. */
  async untilCommits(more: number): Promise<void> {
    const target = this.commits() + more;
    await until(`commit ${target}`, () => this.commits() >= target);
  }

  /** Waits for so many more epochs that are in ClickHouse. */
  async untilInserted(more: number): Promise<void> {
    const target = this.inserted + more;
    await until(`the insert of ${target} epochs`, () => this.inserted >= target);
  }

  /** Ends the feed, lets ClickHouse catch up, drains, and resolves when all is done; rejects with what stopped it. */
  async drain(): Promise<PipelineSummary> {
    this.#feeding.abort();
    await Promise.race([this.#fed, this.pipeline.finished]);
    await Promise.race([this.#caughtUp(), this.pipeline.finished]);
    this.pipeline.drain();
    const summary = await this.pipeline.finished;
    const lacking = this.warnings.find((text) => text.startsWith("ClickHouse still lacks"));
    if (lacking !== undefined) throw new Error(`ClickHouse was to catch up before the drain: ${lacking}`);
    return summary;
  }

  /** A drain waits a minute for ClickHouse; a busy machine may need more, as long as it gets on. */
  async #caughtUp(): Promise<void> {
    let behind = Infinity;
    for (let still = 0; still < PATIENCE_MS && behind > 0; still += STATS_MS) {
      await systemClock.sleep(STATS_MS);
      const lag = this.pipeline.stats().coordinator?.lagVersions ?? Infinity;
      if (lag < behind) [behind, still] = [lag, 0];
    }
  }

  async #feed(firstSeed: number): Promise<void> {
    const { signal } = this.#feeding;
    const producer = await openProducer(this.config, systemClock);
    try {
      for (let seed = firstSeed; !signal.aborted; seed++) {
        const simulator = new Simulator({ seed, ...virtualTimeline(EVENTS_PER_CHUNK, systemClock.now()) });
        const { records } = await produce({
          feed: new SimulatedFeed(simulator, { events: EVENTS_PER_CHUNK }),
          producer,
          rate: "max",
          now: systemClock.monotonic,
          sleep: systemClock.sleep,
        });
        this.produced += records;
        await systemClock.sleep(CHUNK_PAUSE_MS, signal);
      }
    } finally {
      await producer.close();
    }
  }
}
