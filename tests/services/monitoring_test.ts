/**
 * Health over a real object store and a real ClickHouse that fall and come back: an epoch is far longer than the test,
 * so what shows them down is the probe.
 */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { systemClock } from "../../actors/clock.ts";
import { type Pipeline, startPipeline } from "../../actors/supervisor.ts";
import { resolveConfig } from "../../schema/config.ts";
import type { Sink } from "../../schema/pipeline_stats.ts";
import { createMetrics } from "../../web/metrics.ts";
import { createMonitoringApp } from "../../web/monitoring.ts";
import { Exposition } from "../support/exposition.ts";
import { withTempDir } from "../support/command_context.ts";
import { type ClickHouseServer, dropDatabase, newDatabase, openClickHouse } from "./harness/clickhouse.ts";
import { HttpFaultProxy, type LinkState } from "./harness/fault_proxy.ts";
import { s3, stopMinio } from "./harness/minio.ts";
import { until } from "./harness/pipeline_run.ts";

const PROCESS = { startedMs: 0, residentBytes: 0, cpuSeconds: 0, deno: "" };

let clickhouse: ClickHouseServer | null = null;

Deno.test.beforeAll(async () => {
  clickhouse = await openClickHouse();
});

Deno.test.afterAll(async () => {
  await clickhouse?.[Symbol.asyncDispose]();
  await stopMinio();
});

/** A pipeline over both services, each behind a proxy, and its monitoring. */
class Watched {
  readonly #app;

  constructor(readonly pipeline: Pipeline) {
    const stats = () => pipeline.stats();
    const now = systemClock.now;
    const metrics = createMetrics(() => ({ pipeline: stats(), process: PROCESS, now: now() }));
    this.#app = createMonitoringApp({ metrics, stats, now });
  }

  async ready(): Promise<{ status: number; problems: string[] }> {
    const response = await this.#app.request("/readyz");
    return { status: response.status, problems: (await response.json()).problems };
  }

  async up(sink: Sink): Promise<number | null> {
    const text = await (await this.#app.request("/metrics")).text();
    return new Exposition(text).value("sessionary_sink_up", { sink });
  }
}

function targetOf(url: string): { hostname: string; port: number } {
  const { hostname, port, protocol } = new URL(url);
  return { hostname, port: Number(port || (protocol === "https:" ? 443 : 80)) };
}

/** Lets a sink fall and come back, and follows what monitoring says of it. */
async function fallAndRise(
  watched: Watched,
  proxy: HttpFaultProxy,
  sink: Sink,
  fall: LinkState,
): Promise<void> {
  const fallen = systemClock.monotonic();
  proxy.setState(fall);
  await until(`the ${sink} to be down`, async () => (await watched.ready()).status === 503);
  console.log(`${sink}, ${fall}: known after ${Math.round(systemClock.monotonic() - fallen)} ms.`);
  const { problems } = await watched.ready();
  assertEquals(problems.length, 1);
  assertMatch(problems[0]!, /has been down since \d{4}-\d\d-\d\dT\S+Z: .+\./);
  assertStringIncludes(problems[0]!, sink === "lake" ? "The lake" : "ClickHouse");
  assertEquals(await watched.up(sink), 0);
  assertEquals(await watched.up(sink === "lake" ? "warehouse" : "lake"), 1);
  proxy.setState("up");
  await until(`the ${sink} to be up`, async () => (await watched.ready()).status === 200);
  assertEquals(await watched.up(sink), 1);
}

Deno.test("a sink that falls makes the pipeline not ready, in words, and ready again when it is back", () =>
  withTempDir(async (dataDir) => {
    const credentials = await s3();
    await using store = new HttpFaultProxy(targetOf(credentials.endpoint));
    await using warehouse = new HttpFaultProxy(targetOf(clickhouse!.url));
    const { user, password } = clickhouse!;
    const database = newDatabase();
    const env = {
      DATA_DIR: dataDir,
      EPOCH_INTERVAL: "10m",
      S3_ENDPOINT: store.url,
      S3_BUCKET: `monitoring-${crypto.randomUUID()}`,
      S3_ACCESS_KEY: credentials.accessKey,
      S3_SECRET_KEY: credentials.secretKey,
      S3_REGION: credentials.region,
      CLICKHOUSE_URL: warehouse.url,
      CLICKHOUSE_USER: user,
      ...(password === "" ? {} : { CLICKHOUSE_PASSWORD: password }),
      CLICKHOUSE_DATABASE: database,
    };
    const { config } = resolveConfig({ flags: {}, env });
    try {
      const pipeline = await startPipeline({ config, untilEnd: false, closeOpen: false });
      const watched = new Watched(pipeline);
      await until("the first reports", async () => (await watched.ready()).status === 200);
      for (const fall of ["refuse", "hang"] as const) {
        await fallAndRise(watched, warehouse, "warehouse", fall);
        await fallAndRise(watched, store, "lake", fall);
      }
      pipeline.drain();
      await pipeline.finished;
    } finally {
      await dropDatabase(clickhouse!, database);
    }
  }));
