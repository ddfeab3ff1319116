/** Runs the pipeline with its web server, for `dev` and `run`. */
import { getLogger } from "@logtape/logtape";
import process from "node:process";
import type { EpochReport, PipelineSummary, RunMode } from "../actors/protocol.ts";
import type { Config, ResolvedConfig } from "../schema/config.ts";
import type { Inspection, OpenSessionQuery } from "../schema/open_session.ts";
import type { PipelineStats } from "../schema/pipeline_stats.ts";
import { maskUrl } from "../schema/setting.ts";
import { tableLocation } from "../sinks/lake/open.ts";
import type { Explorer } from "../web/explorer.ts";
import { createMetrics } from "../web/metrics.ts";
import { createMonitoringApp, type MonitoringOptions } from "../web/monitoring.ts";
import { PageAssets } from "../web/page_assets.ts";
import { createApp, startWebServer, type WebServer } from "../web/server.ts";
import type { QueryService } from "../web/query_service.ts";
import type { CommandContext } from "./context.ts";
import { openDataDir } from "./data_dir.ts";
import { PageService } from "./page_service.ts";
import { requireReachableServers } from "./permissions.ts";
import { epochHeader, formatEpoch, formatFirstScreen, formatSummary } from "./terminal.ts";

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
  let queryService: QueryService | null = null;
  let running: P | null = null;
  const monitoring = monitor(() => running?.stats() ?? null, context);
  const page = new PageService({
    clock: context.clock,
    process: processStats,
    source: options.source,
    epochIntervalMs: config.epochIntervalMs,
  });
  const showing = new AbortController();
  let shown = Promise.resolve();
  const servers: WebServer[] = [];
  try {
    const server = listen(options.resolved, monitoring, () => queryService, page, context);
    servers.push(server);
    const { metricsHost, metricsPort } = config;
    if (metricsPort !== null) servers.push(listenForMetrics(metricsHost, metricsPort, monitoring));
    await dataDir.announce({ pid: context.pid, url: server.url });
    const pipeline = await options.startPipeline({ config, ...options.mode });
    running = pipeline;
    const logger = getLogger(["sessionary", "pipeline"]);
    pipeline.onNotice(({ level, text }) => {
      logger[level]("{text}", { text });
      page.note(level, text);
    });
    pipeline.onEpoch(epochPrinter(options.resolved, context));
    if (config.logFormat === "text") {
      context.print(`${firstScreen(options.source, options.resolved, server)}\n\n${epochHeader()}`);
    }
    queryService = await options.createQueryService(pipeline);
    shown = page.show(pipeline, await options.createExplorer(pipeline), showing.signal);
    const summary = await untilStopped(pipeline, options.feed, context);
    context.print(config.logFormat === "json" ? JSON.stringify(summary) : formatSummary(summary));
  } finally {
    queryService = null;
    running = null;
    showing.abort();
    page.live.close();
    await shown;
    await Promise.all(servers.map((server) => server.close()));
    await dataDir.release();
  }
}

/** Metrics and health of the pipeline and of this process. */
function monitor(stats: () => PipelineStats | null, { clock }: CommandContext): MonitoringOptions {
  const view = () => ({ pipeline: stats(), process: processStats(), now: clock.now() });
  return { metrics: createMetrics(view), stats, now: clock.now };
}

function processStats() {
  const { user, system } = process.cpuUsage();
  return {
    startedMs: performance.timeOrigin,
    residentBytes: Deno.memoryUsage().rss,
    cpuSeconds: (user + system) / 1e6,
    deno: Deno.version.deno,
  };
}

function listen(
  { config, origins }: ResolvedConfig,
  monitoring: MonitoringOptions,
  queryService: () => QueryService | null,
  { api, live }: PageService,
  { clock }: CommandContext,
): WebServer {
  const assets = new PageAssets();
  const token = config.httpToken;
  const app = createApp({ queryService, monitoring, monotonic: clock.monotonic, api, live, assets, token });
  return startWebServer(app, {
    host: config.httpHost,
    port: config.httpPort,
    orFreePort: origins.httpPort === "default",
    names: { host: "HTTP_HOST", port: "HTTP_PORT" },
  });
}

/** A second listener, which may be open to others because it shows nothing but numbers. */
function listenForMetrics(host: string, port: number, monitoring: MonitoringOptions): WebServer {
  const names = { host: "METRICS_HOST", port: "METRICS_PORT" };
  return startWebServer(createMonitoringApp(monitoring), { host, port, orFreePort: false, names });
}

/** With LOG_FORMAT=json every line of standard output is one JSON object. */
function epochPrinter({ config }: ResolvedConfig, context: CommandContext): (report: EpochReport) => void {
  return (report) =>
    context.print(config.logFormat === "json" ? JSON.stringify(report) : formatEpoch(report));
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
