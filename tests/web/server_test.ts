import { assert, assertEquals, assertMatch, assertNotEquals, assertThrows } from "@std/assert";
import { UserError } from "../../schema/errors.ts";
import type { QueryParams, QueryService } from "../../web/query_service.ts";
import { createApp, startWebServer } from "../../web/server.ts";

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
  const app = createApp({ queryService: () => service });
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

Deno.test("The page lists the queries, escaped, and may load nothing", async () => {
  const { text, headers } = await get("/", new EchoQueries());
  assert(text.includes('<a href="/api/query/brand_analytics">brand_analytics</a>: By brand &lt;b&gt;'));
  assertMatch(headers.get("content-security-policy") ?? "", /default-src 'none'/);
});

Deno.test("A taken port is left for a free one where nobody chose it, and refused where somebody did", async () => {
  const app = createApp({ queryService: () => null });
  const first = startWebServer(app, { host: "127.0.0.1", port: 0, orFreePort: false });
  try {
    const second = startWebServer(app, { host: "127.0.0.1", port: first.port, orFreePort: true });
    try {
      assertNotEquals(second.port, first.port);
      const response = await fetch(`${second.url}/healthz`);
      assertEquals(await response.json(), { status: "up" });
    } finally {
      await second.close();
    }
    const taken = { host: "127.0.0.1", port: first.port, orFreePort: false };
    const error = assertThrows(() => startWebServer(app, taken), UserError) as UserError;
    assertMatch(error.message, new RegExp(`HTTP_PORT must be a port that is free .* ${first.port} is taken`));
  } finally {
    await first.close();
  }
});
