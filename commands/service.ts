/** Runs the pipeline with its web server, for `dev` and `run`. */
import { getLogger } from "@logtape/logtape";
import type { EpochReport, PipelineSummary, RunMode } from "../actors/protocol.ts";
import type { Config, ResolvedConfig } from "../schema/config.ts";
import type { Inspection, OpenSessionQuery } from "../schema/open_session.ts";
import type { PipelineStats } from "../schema/pipeline_stats.ts";
import { tableLocation } from "../schema/data_paths.ts";
import { maskUrl } from "../schema/setting.ts";
import type { Explorer } from "../web/explorer.ts";
import type { QueryService } from "../web/query_service.ts";
import type { WebServer } from "../web/server.ts";
import type { CommandContext } from "./context.ts";
import { openDataDir } from "./data_dir.ts";
import { requireReachableServers } from "./permissions.ts";
import { epochHeader, formatEpoch, formatFirstScreen, formatSummary } from "./terminal.ts";
import type { WebService } from "./web_service.ts";

/** Milliseconds after which a pipeline that is still restoring gets its page, metrics and health. */
const WEB_DELAY_MS = 5_000;

/** What is used here of a pipeline that runs. */
export interface RunningPipeline {
  readonly finished: Promise<PipelineSummary>;
  drain(): void;
  stats(): PipelineStats;
  inspect(query: OpenSessionQuery): Promise<Inspection>;
  onEpoch(listener: (report: EpochReport) => void): void;
  onNotice(listener: (notice: { readonly level: "info" | "warning"; readonly text: string }) => void): void;
}

export interface ServiceOptions<P extends RunningPipeline> {
  readonly resolved: ResolvedConfig;
  readonly mode: RunMode;
  /** What the first screen says that the events come from. */
  readonly source: string;
  /** Feeds the pipeline while it runs, until `stop` aborts. */
  readonly feed?: (stop: AbortSignal) => Promise<void>;
  readonly startPipeline: (options: RunMode & { readonly config: Config }) => Promise<P>;
  readonly createQueryService: (pipeline: P) => Promise<QueryService>;
  readonly createExplorer: (pipeline: P) => Promise<Explorer>;
}

/**
 * Holds the data directory, serves queries, prints a line an epoch, and drains when `context.stop` aborts.
 * Resolves when the pipeline has stopped in order.
 *
 * @throws the error that stopped the pipeline, or kept it from starting
 */
export async function runService<P extends RunningPipeline>(
  options: ServiceOptions<P>,
  context: CommandContext,
): Promise<void> {
  const { config } = options.resolved;
  requireReachableServers(config);
  const dataDir = await openDataDir({ path: config.dataDir, pid: context.pid });
  const started = options.startPipeline({ config, ...options.mode });
  const opening = openWebService(started, options, context);
  let served = false;
  try {
    const announced = opening.then(({ server: { url } }) => dataDir.announce({ pid: context.pid, url }));
    const pipeline = await Promise.race([started, announced.then(() => started)]);
    pipeline.finished.catch(() => {}); // it is awaited once all is open
    const logger = getLogger(["sessionary", "pipeline"]);
    pipeline.onNotice(({ level, text }) => {
      logger[level]("{text}", { text });
      opening.then(({ page }) => page.note(level, text), () => {});
    });
    const screen = announced.then(() => opening).then(({ server }) => {
      if (config.logFormat !== "text") return;
      context.print(`${firstScreen(options.source, options.resolved, server)}\n\n${epochHeader()}`);
    });
    pipeline.onEpoch((report) => {
      if (config.logFormat === "json") context.print(JSON.stringify(report));
      else screen.then(() => context.print(formatEpoch(report)), () => {});
    });
    await screen;
    const web = await opening;
    web.show(pipeline, await options.createQueryService(pipeline), await options.createExplorer(pipeline));
    served = true;
    const summary = await untilStopped(pipeline, options.feed, context);
    context.print(config.logFormat === "json" ? JSON.stringify(summary) : formatSummary(summary));
  } catch (error) {
    if (!served) await abandon(started);
    throw error;
  } finally {
    await opening.then((web) => web[Symbol.asyncDispose](), () => {});
    await dataDir.release();
  }
}

/**
 * Opens the web server when the pipeline is up, or is slow to be: what the server loads would take a restart the time in
 * which it restores.
 *
 * @throws what kept the pipeline from starting, or the server from listening
 */
async function openWebService<P extends RunningPipeline>(
  started: Promise<P>,
  { resolved, source }: ServiceOptions<P>,
  context: CommandContext,
): Promise<WebService> {
  const waiting = new AbortController();
  try {
    await Promise.race([started, context.clock.sleep(WEB_DELAY_MS, waiting.signal)]);
  } finally {
    waiting.abort();
  }
  const { WebService } = await import("./web_service.ts");
  return await WebService.open({ resolved, source, context });
}

/** Stops a pipeline that cannot be served; one that has ended or never started needs nothing. */
async function abandon(started: Promise<RunningPipeline>): Promise<void> {
  try {
    const pipeline = await started;
    pipeline.drain();
    await pipeline.finished;
  } catch {
    // Whoever called knows of it.
  }
}

/** Feeds the pipeline and waits for its end. Whichever of the two fails stops the other. */
async function untilStopped(
  pipeline: RunningPipeline,
  feed: ((stop: AbortSignal) => Promise<void>) | undefined,
  context: CommandContext,
): Promise<PipelineSummary> {
  const feeding = new AbortController();
  // The producer stops first: the drain then commits all that it sent.
  const fed = feed?.(feeding.signal).finally(() => pipeline.drain());
  // Its failure is thrown below, once the pipeline has drained.
  fed?.catch(() => {});
  const stop = () => fed === undefined ? pipeline.drain() : feeding.abort();
  if (context.stop.aborted) stop();
  else context.stop.addEventListener("abort", stop, { once: true });
  try {
    const summary = await pipeline.finished;
    feeding.abort();
    await fed;
    return summary;
  } finally {
    feeding.abort();
    context.stop.removeEventListener("abort", stop);
    await Promise.allSettled([fed]);
  }
}

function firstScreen(source: string, { config, origins }: ResolvedConfig, server: WebServer): string {
  const dataDir = config.dataDir.replace(/\/+$/, "");
  const moved = config.httpPort !== 0 && server.port !== config.httpPort;
  return formatFirstScreen({
    source,
    deltaTable: tableLocation(config),
    warehouse: config.clickhouseUrl === null
      ? `embedded (chDB) in ${dataDir}/warehouse`
      : maskUrl(config.clickhouseUrl),
    url: server.url,
    portNote: moved ? `port ${config.httpPort} is taken; HTTP_PORT chooses another` : null,
    program: "deno task sessionary",
    environment: origins.dataDir === "default" ? "" : `DATA_DIR=${shellQuote(config.dataDir)} `,
  });
}

/** A word as a POSIX shell takes it. */
function shellQuote(text: string): string {
  return /^[A-Za-z0-9_./:-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
