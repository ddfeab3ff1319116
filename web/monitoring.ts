/** What monitoring asks: `/metrics`, `/healthz` and `/readyz`. None of them shows an event, a session or a setting. */
import { type Context, Hono } from "hono";
import type { PipelineStats } from "../schema/pipeline_stats.ts";
import { type Health, liveness, readiness } from "./health.ts";
import type { Metrics } from "./metrics.ts";

export interface MonitoringOptions {
  readonly metrics: Metrics;
  /** What the actors report; null while the pipeline is not up. */
  readonly stats: () => PipelineStats | null;
  /** Wall clock, epoch milliseconds. */
  readonly now: () => number;
}

/**
 * The routes. Health is `{"status": word, "problems": [sentence]}`, with status 200, or 503 where there are problems.
 *
 * They need no authentication and look at no Host, so that a Prometheus elsewhere may ask.
 */
export function createMonitoringApp({ metrics, stats, now }: MonitoringOptions): Hono {
  const app = new Hono();
  app.get("/metrics", async (context) => {
    return context.body(await metrics.render(), 200, { "content-type": metrics.contentType });
  });
  app.get("/healthz", (context) => healthResponse(context, liveness(stats(), now())));
  app.get("/readyz", (context) => healthResponse(context, readiness(stats())));
  app.notFound((context) =>
    context.json(
      { error: `There is nothing at ${context.req.path}: see /metrics, /healthz and /readyz.` },
      404,
    )
  );
  return app;
}

function healthResponse(context: Context, health: Health): Response {
  return context.json(health, health.problems.length === 0 ? 200 : 503);
}
