import { assert, assertEquals, assertMatch } from "@std/assert";
import { Ajv2020 } from "ajv/dist/2020.js";
import { Compile } from "typebox/compile";
import type { OpenSession } from "../../schema/open_session.ts";
import { API_ROUTES } from "../../web/api.ts";
import type { Versions } from "../../web/api_schema.ts";
import { pipelineStats } from "../support/stats.ts";
import { ScriptedExplorer, webApp } from "../support/web_app.ts";

const OPEN: OpenSession = {
  sessionId: "s1",
  userId: 7,
  partition: 0,
  shard: 1,
  firstOffset: 3,
  lastOffset: 4,
  start: 1_000,
  end: 2_000,
  events: 2,
  brand: null,
  lastEvent: { type: "search", time: 2_000, offset: 4, pageUrl: null },
  latestEventTime: 2_500,
  watermark: null,
  sessionTimeoutMs: 1_800_000,
  watermarkDelayMs: 60_000,
  maxSessionDurationMs: 86_400_000,
  maxSessionEvents: 50_000,
  maxClockSkewMs: 60_000,
};

const ADDRESSES: Readonly<Record<string, string>> = {
  "/api/analytics/:name": "/api/analytics/brand_analytics",
};

Deno.test("Every route answers as its schema says, and the OpenAPI document has it", async () => {
  const explorer = new ScriptedExplorer();
  explorer.versions = 3;
  const { get } = webApp({ explorer, open: [OPEN] });
  const document = await (await get("/api/openapi.json")).json();
  for (const { path, answer, params } of API_ROUTES) {
    const response = await get(ADDRESSES[path] ?? path);
    assertEquals(response.status, 200, path);
    assertEquals(response.headers.get("cache-control"), "no-store");
    const body = await response.json();
    const validator = Compile(answer);
    assert(validator.Check(body), `${path}: ${JSON.stringify(validator.Errors(body))}`);
    const { get: operation } = document.paths[path.replace(":name", "{name}")];
    assertEquals(
      operation.parameters.map(({ name }: { name: string }) => name),
      Object.keys(params.schema.properties),
    );
    const { schema } = operation.responses["200"].content["application/json"];
    // As a stranger's validator reads it.
    assert(new Ajv2020({ strict: false }).compile(schema)(body), path);
  }
});

Deno.test("While the pipeline is not up, its data is not there, and the status says so", async () => {
  const { get } = webApp({ stats: null });
  assertEquals((await (await get("/api/status")).json()).up, false);
  for (
    const path of ["/api/sessions", "/api/open-sessions", "/api/table", "/api/analytics/brand_analytics"]
  ) {
    assertEquals((await get(path)).status, 503, path);
  }
});

Deno.test("Parameters that are unknown, repeated or out of range are refused with a sentence, and nothing is asked", async () => {
  const explorer = new ScriptedExplorer();
  const { get, inspected } = webApp({ explorer });
  const refused: readonly (readonly [string, RegExp])[] = [
    ["/api/sessions?limit=0", /^limit must be a whole number from 1 to 200: found "0"\.$/],
    ["/api/sessions?limit=201", /^limit must be a whole number from 1 to 200/],
    ["/api/sessions?limit=1e2", /^limit must be a whole number/],
    ["/api/sessions?limit=1&limit=2", /^limit must be given once: found it 2 times\.$/],
    ["/api/sessions?sql=SELECT+1", /^The parameters are session_id, user_id, limit, before: found "sql"\.$/],
    ["/api/sessions?user_id=-1", /^user_id must be a whole number from 0 to 4294967295/],
    ["/api/sessions?session_id=", /^session_id must be a text of 1 to 128 characters/],
    [`/api/sessions?session_id=${"x".repeat(129)}`, /^session_id must be a text of 1 to 128 characters/],
    ["/api/sessions?session_id=a&user_id=1", /^Only one of session_id and user_id must be given/],
    ["/api/sessions?before=1-2", /^before must be the `next` of a page: found "1-2"\.$/],
    ["/api/sessions?before=1)-(2-3", /^before must be the `next` of a page/],
    ["/api/open-sessions?limit=101", /^limit must be a whole number from 1 to 100/],
    [
      "/api/analytics/brand_analytics?since=yesterday",
      /^since must be a time in RFC 3339 .*: found "yesterday"\.$/,
    ],
    ["/api/analytics/brand_analytics?until=2026-01-01", /^until must be a time in RFC 3339/],
    ["/api/table?x=1", /^There are no parameters: found "x"\.$/],
    ["/api/table/versions?before=1.5", /^before must be a whole number/],
    ["/api/dead-letters?skip=10001", /^skip must be a whole number from 0 to 10000/],
  ];
  for (const [path, sentence] of refused) {
    const response = await get(path);
    assertEquals(response.status, 400, path);
    assertMatch((await response.json()).error, sentence, path);
  }
  assertEquals(explorer.asked, []);
  assertEquals(inspected, []);
});

Deno.test("Analytics are asked with their bounds in milliseconds, and an unknown name is refused", async () => {
  const explorer = new ScriptedExplorer();
  const { get } = webApp({ explorer });
  await get("/api/analytics/brand_analytics?since=2026-01-01T01:00:00%2B01:00&limit=7");
  assertEquals(explorer.asked, [
    ["analytics", "brand_analytics", { sinceMs: Date.UTC(2026, 0, 1), untilMs: null }, 7, "0-0-0"],
  ]);
  const unknown = await get("/api/analytics/sessions;DROP");
  assertEquals(unknown.status, 404);
  assertMatch(
    (await unknown.json()).error,
    /^The name must be one of brand_analytics: found "sessions;DROP"\.$/,
  );
});

Deno.test("Finished sessions are paged by their place: the next page begins where this one ends", async () => {
  const explorer = new ScriptedExplorer();
  explorer.sessions = { ...explorer.sessions, rows: [["a", 9, 1, 40], ["b", 9, 0, 7], ["c", 8, 3, 2]] };
  const { get } = webApp({ explorer });
  const page = await (await get("/api/sessions?limit=2")).json();
  assertEquals([page.rows.length, page.next], [2, "9-0-7"]);
  await get(`/api/sessions?limit=2&before=${page.next}&user_id=5`);
  assertEquals(explorer.asked.at(-1), [
    "sessions",
    { by: "user_id", userId: 5 },
    2,
    { batchId: 9, sourcePartition: 0, firstOffset: 7 },
  ]);
  assertEquals((await (await get("/api/sessions?limit=4")).json()).next, null);
});

Deno.test("Versions and dead letters are paged to their end", async () => {
  const explorer = new ScriptedExplorer();
  explorer.versions = 5;
  explorer.letters = { columns: ["reason"], rows: [["a"], ["b"], ["c"]] };
  const { get } = webApp({ explorer });
  const seen: number[] = [];
  for (let next: number | null = 5; next !== null;) {
    const page: Versions = await (await get(`/api/table/versions?limit=2&before=${next}`)).json();
    seen.push(...page.versions.map(({ version }) => version));
    next = page.next;
  }
  assertEquals(seen, [4, 3, 2, 1, 0]);
  const first = await (await get("/api/dead-letters?limit=2")).json();
  assertEquals([first.rows, first.next], [[["a"], ["b"]], 2]);
  const second = await (await get("/api/dead-letters?limit=2&skip=2")).json();
  assertEquals([second.rows, second.next], [[["c"]], null]);
});

Deno.test("The same question is asked of the sinks once in five seconds, and again as soon as something is written", async () => {
  const explorer = new ScriptedExplorer();
  let stats = pipelineStats({ deltaVersion: 1 });
  const { get, clock } = webApp({ explorer, statsNow: () => stats });
  await Promise.all([
    get("/api/table"),
    get("/api/table"),
    get("/api/sessions"),
    get("/api/sessions?limit=3"),
  ]);
  assertEquals(explorer.asked.length, 3);
  await clock.advance(5_001);
  await get("/api/table");
  assertEquals(explorer.asked.length, 4);
  stats = pipelineStats({ deltaVersion: 2 });
  await Promise.all([get("/api/table"), get("/api/table")]);
  assertEquals(explorer.asked.length, 5);
});

Deno.test("Open sessions are asked by id, by reader, or for the newest, and come with why they are open", async () => {
  const { get, inspected } = webApp({ open: [OPEN] });
  const { sessions } = await (await get("/api/open-sessions?session_id=s%2F1")).json();
  assertMatch(sessions[0].explanation.why, /No session_end has come/);
  await get("/api/open-sessions?user_id=7&limit=3");
  await get("/api/open-sessions");
  assertEquals(inspected, [
    { by: "session_id", sessionId: "s/1", limit: 20 },
    { by: "user_id", userId: 7, limit: 3 },
    { by: "recent", limit: 20 },
  ]);
});
