import { assertEquals, assertMatch, assertNotEquals, assertThrows } from "@std/assert";
import { UserError } from "../../schema/errors.ts";
import type { PipelineStats } from "../../schema/pipeline_stats.ts";
import type { QueryParams, QueryService } from "../../web/query_service.ts";
import { createMetrics } from "../../web/metrics.ts";
import { createMonitoringApp, type MonitoringOptions } from "../../web/monitoring.ts";
import { startWebServer } from "../../web/server.ts";
import { Exposition } from "../support/exposition.ts";
import { pipelineStats } from "../support/stats.ts";
import { PROCESS, webApp } from "../support/web_app.ts";

const NAMES = { host: "HTTP_HOST", port: "HTTP_PORT" };

/** Monitoring of a pipeline with these reports; null: it is not up. */
function monitoringOf(pipeline: PipelineStats | null = null): MonitoringOptions {
  const now = () => 2_000;
  const metrics = createMetrics(() => ({ pipeline, process: PROCESS, now: now() }));
  return { metrics, stats: () => pipeline, now };
}

/** The whole server: the pipeline is up where there are queries. */
function appOf(queryService: QueryService | null) {
  return webApp({ queryService, stats: queryService === null ? null : pipelineStats() }).app;
}

/** Answers with what it was asked. */
class EchoQueries implements QueryService {
  readonly asked: [string, QueryParams][] = [];
  readonly queries = [{ name: "brand_analytics", description: "By brand <b>" }];
  run(name: string, params: QueryParams) {
    this.asked.push([name, params]);
    return Promise.resolve({ columns: ["name"], rows: [[name]] });
  }
}

async function get(path: string, service: QueryService | null, host = "127.0.0.1:8400") {
  const app = appOf(service);
  const response = await app.request(`http://${host}${path}`, { headers: { host } });
  return { status: response.status, text: await response.text(), headers: response.headers };
}

async function errorOf(path: string, service: QueryService | null, host?: string): Promise<[number, string]> {
  const { status, text } = await get(path, service, host);
  return [status, JSON.parse(text).error];
}

Deno.test("A named query is answered as JSON, with a limit of 100 where none is given", async () => {
  const service = new EchoQueries();
  const { status, text } = await get("/api/query/brand_analytics", service);
  assertEquals(status, 200);
  assertEquals(JSON.parse(text), { columns: ["name"], rows: [["brand_analytics"]] });
  await get("/api/query/brand_analytics?limit=7", service);
  assertEquals(service.asked.map(([, { limit }]) => limit), [100, 7]);
});

Deno.test("Unknown names, parameters and limits are refused with a sentence, and nothing is run", async () => {
  const service = new EchoQueries();
  const [unknown, sentence] = await errorOf("/api/query/nope", service);
  assertEquals(unknown, 404);
  assertMatch(sentence, /must be one of brand_analytics: found "nope"/);
  for (const limit of ["0", "-1", "1.5", "1e9", "10000000", "ten", "1;DROP TABLE sessions"]) {
    const [status, text] = await errorOf(
      `/api/query/brand_analytics?limit=${encodeURIComponent(limit)}`,
      service,
    );
    assertEquals(status, 400, limit);
    assertMatch(text, /^limit must be a whole number from 1 to 1000000: found/);
  }
  assertEquals(
    (await errorOf("/api/query/brand_analytics?sql=SELECT+1", service))[1],
    'The only parameter is limit: found "sql".',
  );
  assertEquals((await errorOf("/elsewhere", service))[0], 404);
  assertEquals(service.asked, []);
});

Deno.test("A failing query is a 500 with its message", async () => {
  const service = new EchoQueries();
  service.run = () => Promise.reject(new Error("ClickHouse said no"));
  assertEquals(await errorOf("/api/query/brand_analytics", service), [500, "ClickHouse said no"]);
});

Deno.test("Until the pipeline is up the server is healthy, but not ready", async () => {
  assertEquals((await get("/healthz", null)).status, 200);
  assertEquals((await get("/readyz", null)).status, 503);
  assertEquals((await get("/api/query/brand_analytics", null)).status, 503);
  assertEquals((await get("/readyz", new EchoQueries())).status, 200);
});

Deno.test("A Host that is not a loopback address is refused, whatever the path", async () => {
  for (
    const host of ["evil.example", "evil.example:8400", "127.0.0.1.evil.example", "localhost.evil.example"]
  ) {
    for (const path of ["/", "/healthz", "/api/query/brand_analytics"]) {
      assertEquals((await get(path, new EchoQueries(), host)).status, 403, `${host}${path}`);
    }
  }
  for (const host of ["localhost:8400", "127.0.0.1", "127.8.8.8:1", "[::1]:8400"]) {
    assertEquals((await get("/healthz", null, host)).status, 200, host);
  }
});

Deno.test("A taken port is left for a free one where nobody chose it, and refused where somebody did", async () => {
  const app = appOf(null);
  const first = startWebServer(app, { host: "127.0.0.1", port: 0, orFreePort: false, names: NAMES });
  try {
    const second = startWebServer(app, {
      host: "127.0.0.1",
      port: first.port,
      orFreePort: true,
      names: NAMES,
    });
    try {
      assertNotEquals(second.port, first.port);
      const response = await fetch(`${second.url}/healthz`);
      assertEquals(await response.json(), { status: "up", problems: [] });
    } finally {
      await second.close();
    }
    const taken = { host: "127.0.0.1", port: first.port, orFreePort: false, names: NAMES };
    const error = assertThrows(() => startWebServer(app, taken), UserError) as UserError;
    assertMatch(error.message, new RegExp(`HTTP_PORT must be a port that is free .* ${first.port} is taken`));
  } finally {
    await first.close();
  }
});

Deno.test("Metrics are served as text that names its version, beside the queries and alone", async () => {
  const alone = createMonitoringApp(monitoringOf(pipelineStats({ sessions: 3 })));
  for (const app of [appOf(new EchoQueries()), alone]) {
    const response = await app.request("http://127.0.0.1/metrics", { headers: { host: "127.0.0.1" } });
    assertMatch(response.headers.get("content-type")!, /^text\/plain; version=0\.0\.4/);
    assertNotEquals(new Exposition(await response.text()).value("sessionary_sessions_total"), null);
  }
});

Deno.test("The listener for monitoring answers any Host, and has nothing but numbers and health", async () => {
  const app = createMonitoringApp(monitoringOf(pipelineStats()));
  const ask = async (path: string) => {
    const response = await app.request(`http://sessionary:9464${path}`, {
      headers: { host: "sessionary:9464" },
    });
    await response.body?.cancel();
    return response.status;
  };
  assertEquals(await Promise.all(["/metrics", "/healthz", "/readyz"].map(ask)), [200, 200, 200]);
  assertEquals(await Promise.all(["/", "/api/query/sessions", "/api"].map(ask)), [404, 404, 404]);
});

Deno.test("A sink that is down makes the server not ready, in words", async () => {
  const sink = { rows: 0, bytes: 0, retries: 1, down: null, sinceMs: 0 };
  const sinks = { lake: { ...sink, down: "The disk is full." }, warehouse: sink };
  const response = await createMonitoringApp(monitoringOf(pipelineStats({ sinks }))).request("/readyz");
  assertEquals(response.status, 503);
  assertEquals(await response.json(), {
    status: "not ready",
    problems: ["The lake has been down since 1970-01-01T00:00:00.000Z: The disk is full."],
  });
});

Deno.test("Answered and failed queries are counted", async () => {
  const service = new EchoQueries();
  const { get, metrics } = webApp({ queryService: service });
  await get("/api/query/brand_analytics");
  service.run = () => Promise.reject(new Error("no"));
  await get("/api/query/brand_analytics");
  const exposition = new Exposition(await metrics.render());
  for (const outcome of ["ok", "failed"]) {
    const labels = { query: "brand_analytics", outcome };
    assertEquals(exposition.histogram("sessionary_query_duration_seconds", labels)?.count, 1, outcome);
  }
});
