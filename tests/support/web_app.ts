/** The web server over a pipeline and sinks that are a test's own. */
import type { Hono } from "hono";
import { PageService } from "../../commands/page_service.ts";
import type { Rows, SessionFilter, SessionPosition, TimeRange } from "../../schema/exploration.ts";
import type { OpenSession, OpenSessionQuery } from "../../schema/open_session.ts";
import type { PipelineStats } from "../../schema/pipeline_stats.ts";
import type { Explorer } from "../../web/explorer.ts";
import { createMetrics, type Metrics } from "../../web/metrics.ts";
import type { MonitoringOptions } from "../../web/monitoring.ts";
import { PageAssets } from "../../web/page_assets.ts";
import type { QueryService } from "../../web/query_service.ts";
import { createApp } from "../../web/server.ts";
import { FakeClock } from "./fake_clock.ts";
import { pipelineStats } from "./stats.ts";

/** What the operating system would say. */
export const PROCESS = { startedMs: 0, residentBytes: 1, cpuSeconds: 0, deno: "2.9.6" };

/** Sinks that answer with what a test gave them, and remember what they were asked. */
export class ScriptedExplorer implements Explorer {
  readonly asked: unknown[][] = [];
  readonly analyticsNames = ["brand_analytics"];
  sessions: Rows = { columns: ["session_id", "batch_id", "source_partition", "first_offset"], rows: [] };
  letters: Rows = { columns: ["reason"], rows: [] };
  versions = 0;

  analytics(name: string, range: TimeRange, limit: number, stamp: string) {
    this.asked.push(["analytics", name, range, limit, stamp]);
    if (name !== "brand_analytics") return Promise.resolve(null);
    return Promise.resolve({
      name,
      description: "By brand",
      bucket: "hour" as const,
      dimensions: ["brand"],
      weight: "sessions",
      totals: { columns: ["brand", "sessions"], rows: [["x", 1]] },
      truncated: false,
      series: { columns: ["hour", "sessions"], rows: [["2026-01-01T00:00:00Z", 1]] },
    });
  }

  finishedSessions(filter: SessionFilter, limit: number, before: SessionPosition | null) {
    this.asked.push(["sessions", filter, limit, before]);
    return Promise.resolve({ ...this.sessions, rows: this.sessions.rows.slice(0, limit) });
  }

  summary() {
    this.asked.push(["summary"]);
    return Promise.resolve({
      location: "here",
      tableId: "t",
      version: this.versions - 1,
      createdMs: 0,
      files: 1,
      bytes: 2,
      rows: 3,
      firstDate: "2026-01-01",
      lastDate: "2026-01-01",
      minReaderVersion: 1,
      minWriterVersion: 4,
    });
  }

  history(limit: number, before: number | null) {
    this.asked.push(["history", limit, before]);
    const newest = (before ?? this.versions) - 1;
    const length = Math.max(0, Math.min(limit, newest + 1));
    return Promise.resolve(Array.from({ length }, (_, i) => ({
      version: newest - i,
      timestampMs: 0,
      operation: "WRITE",
      engine: null,
      epoch: null,
      closedBy: null,
      rowsAdded: 1,
      filesAdded: 1,
      bytesAdded: 1,
      filesRemoved: 0,
      bytesRemoved: 0,
      deadLetters: 0,
      details: {},
    })));
  }

  deadLetters(limit: number, skip: number) {
    this.asked.push(["letters", limit, skip]);
    return Promise.resolve({ ...this.letters, rows: this.letters.rows.slice(skip, skip + limit) });
  }
}

/** What a test gives the server. */
export interface WebAppOptions {
  /** Null: the pipeline is not up. */
  readonly stats?: PipelineStats | null;
  /** What the actors report from then on. */
  readonly statsNow?: () => PipelineStats;
  readonly explorer?: Explorer;
  readonly queryService?: QueryService | null;
  readonly token?: string | null;
  readonly open?: readonly OpenSession[];
  readonly now?: number;
}

/** The server, and what it was made of. */
export interface WebApp {
  readonly app: Hono;
  readonly metrics: Metrics;
  readonly page: PageService;
  readonly clock: FakeClock;
  /** Which open sessions were asked for. */
  readonly inspected: readonly OpenSessionQuery[];
  /** GET from the loopback address. */
  get(path: string, headers?: Record<string, string>): Promise<Response>;
}

/** The whole server; nothing listens. */
export function webApp(options: WebAppOptions = {}): WebApp {
  const { stats = pipelineStats(), explorer = new ScriptedExplorer(), token = null, open = [], now = 2_000 } =
    options;
  const clock = new FakeClock(now);
  const monitoring: MonitoringOptions = {
    metrics: createMetrics(() => ({ pipeline: stats, process: PROCESS, now })),
    stats: () => stats,
    now: () => now,
  };
  const page = new PageService({ clock, process: () => PROCESS, source: "a test", epochIntervalMs: 10_000 });
  const inspected: OpenSessionQuery[] = [];
  if (stats !== null) {
    const inspect = (query: OpenSessionQuery) => {
      inspected.push(query);
      return Promise.resolve({ sessions: open, silentShards: [] });
    };
    page.show({ stats: options.statsNow ?? (() => stats), inspect }, explorer, new AbortController().signal);
  }
  const app = createApp({
    queryService: () => options.queryService ?? null,
    monitoring,
    monotonic: () => 0,
    api: page.api,
    live: page.live,
    assets: new PageAssets(),
    token,
  });
  return {
    app,
    metrics: monitoring.metrics,
    page,
    clock,
    inspected,
    async get(path, headers = {}) {
      return await app.request(`http://127.0.0.1${path}`, {
        headers: { host: "127.0.0.1:8400", ...headers },
      });
    },
  };
}
