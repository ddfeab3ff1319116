import { assertEquals } from "@std/assert";
import type { ClickHouseClient } from "@clickhouse/client";
import { createWarehouse } from "../../../sinks/warehouse/clickhouse_warehouse.ts";
import {
  ANALYTICS_NAMES,
  analyticsOver,
  CACHE_SECONDS,
  finishedSessions,
} from "../../../sinks/warehouse/explore_queries.ts";
import { runNamedQuery } from "../../../sinks/warehouse/queries.ts";
import { addedRows, parquetOf, type SessionRow, sessionRows, withChdb } from "./harness.ts";

const T0 = Date.UTC(2026, 2, 1, 10);
const HOUR_MS = 3_600_000;
const ALWAYS = { sinceMs: null, untilMs: null };

/** Twelve sessions over six hours, of three brands and two readers, two an epoch. */
function rows(): SessionRow[] {
  return sessionRows(12).map((row, i) => ({
    ...row,
    user_id: i % 2,
    brand: `brand-${i % 3}`,
    session_start: T0 + i * HOUR_MS / 2,
    session_end: T0 + i * HOUR_MS / 2 + 90_000,
    total_events: 10 + i,
    batch_id: 1 + Math.floor(i / 2),
    source_partition: i % 2,
    first_offset: i,
  }));
}

Deno.test("analytics over a time: the totals of its buckets and their series are those of the named query", () =>
  withChdb(async (host) => {
    const access = host.access("news");
    const warehouse = createWarehouse({ access });
    await warehouse.open();
    await warehouse.follow("t", 1, addedRows(12, parquetOf(rows())));
    for (const range of [ALWAYS, { sinceMs: T0 + HOUR_MS, untilMs: T0 + 4 * HOUR_MS }]) {
      for (const name of ANALYTICS_NAMES) {
        const answer = (await analyticsOver(access.client, name, range, 200, "1"))!;
        const { sinceMs, untilMs } = range;
        const bounds = sinceMs === null || untilMs === null ? {} : { sinceMs, untilMs };
        const plain = await runNamedQuery(access.client, name, { limit: 1_000, ...bounds });
        const sums = (
          columns: readonly string[],
          found: readonly (readonly unknown[])[],
          keys: readonly string[],
        ) => {
          const totals = new Map<string, number>();
          for (const row of found) {
            const key = keys.map((one) => row[columns.indexOf(one)]).join("|");
            totals.set(key, (totals.get(key) ?? 0) + Number(row[columns.indexOf(answer.weight)]));
          }
          return new Map([...totals].sort());
        };
        const { totals, series, dimensions } = answer;
        assertEquals(
          sums(totals.columns, totals.rows, dimensions),
          sums(plain.columns, plain.rows, dimensions),
          name,
        );
        const bucket = series.columns[0]!;
        assertEquals(
          sums(series.columns, series.rows, [bucket]),
          sums(plain.columns, plain.rows, [bucket]),
          name,
        );
        assertEquals(series.rows.map(([time]) => time), [...series.rows.map(([time]) => time)].sort(), name);
      }
    }
    const few = (await analyticsOver(access.client, "brand_analytics", ALWAYS, 2, "1"))!;
    assertEquals([few.totals.rows.map(([brand]) => brand), few.truncated], [["brand-0", "brand-1"], true]);
    assertEquals(await analyticsOver(access.client, "sessions", ALWAYS, 2, "1"), null);
    await warehouse.close();
  }));

Deno.test("analytics ask for ClickHouse's query cache, with all that varies as parameters", async () => {
  const asked: { query: string; clickhouse_settings: Record<string, unknown>; query_params: unknown }[] = [];
  // The embedded ClickHouse takes the settings and has no cache (its local server makes an empty one).
  const client = {
    query(request: typeof asked[number]) {
      asked.push(request);
      return Promise.resolve({ json: () => Promise.resolve([]) });
    },
  } as unknown as ClickHouseClient;
  await analyticsOver(client, "brand_analytics", ALWAYS, 10, "stamp");
  await analyticsOver(client, "brand_analytics", { sinceMs: T0, untilMs: T0 + HOUR_MS }, 10, "stamp");
  const [totals, series, totalsLater, seriesLater] = asked;
  assertEquals([totals!.query, series!.query], [totalsLater!.query, seriesLater!.query]);
  assertEquals(totalsLater!.query_params, {
    since: "2026-03-01 10:00:00.000",
    until: "2026-03-01 11:00:00.000",
    limit: 10,
  });
  for (const { clickhouse_settings } of asked) {
    const { use_query_cache, query_cache_ttl, query_cache_tag } = clickhouse_settings;
    assertEquals([use_query_cache, query_cache_ttl, query_cache_tag], [1, CACHE_SECONDS, "stamp"]);
  }
});

Deno.test("finished sessions come page by page, each once, the newest epoch first, all or a reader's", () =>
  withChdb(async (host) => {
    const access = host.access("news");
    const warehouse = createWarehouse({ access });
    await warehouse.open();
    await warehouse.follow("t", 1, addedRows(12, parquetOf(rows())));
    for (const filter of [{ by: "all" } as const, { by: "user_id", userId: 1 } as const]) {
      const seen: unknown[] = [];
      let before = null;
      for (;;) {
        const page = await finishedSessions(access.client, filter, 5, before);
        if (page.rows.length === 0) break;
        const cell = (name: string) => page.rows.at(-1)![page.columns.indexOf(name)] as number;
        seen.push(...page.rows.map(([id]) => id));
        before = {
          batchId: cell("batch_id"),
          sourcePartition: cell("source_partition"),
          firstOffset: cell("first_offset"),
        };
        assertEquals(page.columns.includes("page_events"), false);
      }
      const expected = rows().filter((_, i) => filter.by === "all" || i % 2 === 1).map((row) =>
        row.session_id
      ).reverse();
      assertEquals(seen, expected);
    }
    const one = await finishedSessions(access.client, { by: "session_id", sessionId: "s-3" }, 5, null);
    assertEquals(one.rows.map((row) => row[one.columns.indexOf("total_events")]), [13]);
    assertEquals(one.columns.includes("page_events"), true);
    const none = await finishedSessions(
      access.client,
      { by: "session_id", sessionId: "' OR 1=1 --" },
      5,
      null,
    );
    assertEquals(none.rows, []);
    await warehouse.close();
  }));
