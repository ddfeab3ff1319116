/** The web server of a pipeline: the page, the API, metrics and health. Loaded once the pipeline reads, or is slow to. */
import process from "node:process";
import type { ResolvedConfig } from "../schema/config.ts";
import type { PipelineStats } from "../schema/pipeline_stats.ts";
import type { Explorer } from "../web/explorer.ts";
import { createMetrics } from "../web/metrics.ts";
import { createMonitoringApp, type MonitoringOptions } from "../web/monitoring.ts";
import { PageAssets } from "../web/page_assets.ts";
import type { QueryService } from "../web/query_service.ts";
import { createApp, startWebServer, type WebServer } from "../web/server.ts";
import type { CommandContext } from "./context.ts";
import { PageService, type ShownPipeline } from "./page_service.ts";

/** What the server needs before there is a pipeline. */
export interface WebServiceOptions {
  readonly resolved: ResolvedConfig;
  /** Where the events come from, for people. */
  readonly source: string;
  readonly context: CommandContext;
}

/** A web server that is up; the pipeline is shown as soon as it is. */
export class WebService implements AsyncDisposable {
  readonly server: WebServer;
  readonly page: PageService;
  readonly #servers: WebServer[] = [];
  readonly #monitoring: MonitoringOptions;
  readonly #showing = new AbortController();
  #shown: Promise<void> = Promise.resolve();
  #pipeline: { stats(): PipelineStats } | null = null;
  #queryService: QueryService | null = null;

  private constructor({ resolved, source, context }: WebServiceOptions) {
    const { config, origins } = resolved;
    const { clock } = context;
    const stats = () => this.#pipeline?.stats() ?? null;
    const view = () => ({ pipeline: stats(), process: processStats(), now: clock.now() });
    const monitoring = { metrics: createMetrics(view), stats, now: clock.now };
    const { epochIntervalMs } = config;
    this.page = new PageService({ clock, process: processStats, source, epochIntervalMs });
    const app = createApp({
      queryService: () => this.#queryService,
      monitoring,
      monotonic: clock.monotonic,
      api: this.page.api,
      live: this.page.live,
      assets: new PageAssets(),
      token: config.httpToken,
    });
    this.server = startWebServer(app, {
      host: config.httpHost,
      port: config.httpPort,
      orFreePort: origins.httpPort === "default",
      names: { host: "HTTP_HOST", port: "HTTP_PORT" },
    });
    this.#servers.push(this.server);
    this.#monitoring = monitoring;
  }

  /** @throws {UserError} where an address cannot be listened on */
  static async open(options: WebServiceOptions): Promise<WebService> {
    const service = new WebService(options);
    const { metricsHost: host, metricsPort: port } = options.resolved.config;
    if (port === null) return service;
    try {
      // A listener that may be open to others, because it shows nothing but numbers.
      const app = createMonitoringApp(service.#monitoring);
      const names = { host: "METRICS_HOST", port: "METRICS_PORT" };
      service.#servers.push(startWebServer(app, { host, port, orFreePort: false, names }));
      return service;
    } catch (error) {
      await service[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Shows a pipeline that is up, until the server closes. */
  show(pipeline: ShownPipeline, queryService: QueryService, explorer: Explorer): void {
    this.#pipeline = pipeline;
    this.#queryService = queryService;
    this.#shown = this.page.show(pipeline, explorer, this.#showing.signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#queryService = null;
    this.#pipeline = null;
    this.#showing.abort();
    this.page.live.close();
    await this.#shown;
    await Promise.all(this.#servers.map((server) => server.close()));
  }
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
