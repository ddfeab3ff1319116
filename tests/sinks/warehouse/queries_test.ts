import { assertEquals, assertRejects } from "@std/assert";
import { UserError } from "../../../schema/errors.ts";
import { createWarehouse } from "../../../sinks/warehouse/clickhouse_warehouse.ts";
import { ANALYTICS } from "../../../sinks/warehouse/analytics.ts";
import { NAMED_QUERIES, type QueryParams, runNamedQuery } from "../../../sinks/warehouse/queries.ts";
import { addedRows, parquetOf, rowsOf, type SessionRow, sessionRows, withChdb } from "./harness.ts";

const T0 = Date.UTC(2026, 2, 1, 10);
const HOUR_MS = 3_600_000;

/** Sessions at 10:00, 10:30, 11:00 … of one brand and another. */
function rows(): SessionRow[] {
  return sessionRows(6).map((row, i) => ({
    ...row,
    brand: i % 3 === 0 ? "times" : "daily",
    city: "Oslo",
    session_start: T0 + i * HOUR_MS / 2,
    session_end: T0 + i * HOUR_MS / 2 + 90_000,
    session_duration_sec: 90 + i,
    total_events: 10 + i,
  }));
}

Deno.test("each named query gives its columns, newest first, within its limit and its times", () =>
  withChdb(async (host) => {
    const access = host.access("news");
    const warehouse = createWarehouse({ access });
    await warehouse.open();
    await warehouse.follow("t", 1, addedRows(6, parquetOf(rows())));
    const run = (name: string, params?: QueryParams) => runNamedQuery(access.client, name, params);

    const brands = await run("brand_analytics");
    assertEquals(brands.columns.slice(0, 4), ["hour", "brand", "sessions", "total_events"]);
    assertEquals(brands.columns.slice(-2), ["avg_events", "avg_duration_sec"]);
    const shown = brands.rows.map((row) => [...row.slice(0, 4), row.at(-2), row.at(-1)]);
    assertEquals(shown, [
      ["2026-03-01T12:00:00Z", "daily", 2, 29, 14.5, 94.5],
      ["2026-03-01T11:00:00Z", "daily", 1, 12, 12, 92],
      ["2026-03-01T11:00:00Z", "times", 1, 13, 13, 93],
      ["2026-03-01T10:00:00Z", "daily", 1, 11, 11, 91],
      ["2026-03-01T10:00:00Z", "times", 1, 10, 10, 90],
    ]);
    assertEquals((await run("brand_analytics", { limit: 1 })).rows, brands.rows.slice(0, 1));
    const middle = { sinceMs: T0 + HOUR_MS + 60_000, untilMs: T0 + 2 * HOUR_MS };
    assertEquals((await run("brand_analytics", middle)).rows, brands.rows.slice(1, 3));
    assertEquals((await run("geographic_analytics", middle)).rows.map((row) => row[3]), [1, 1, 1, 1, 1, 1]);

    const sessions = await run("sessions", { ...middle, limit: 10 });
    assertEquals(sessions.rows.map((row) => [row[0], row[10]]), [["s-3", "2026-03-01T11:30:00Z"]]);

    const pages = await run("page_analytics");
    assertEquals(pages.columns, [
      "day",
      "page_url",
      "article_id",
      "page_views",
      "sessions",
      "views_per_session",
    ]);
    assertEquals(pages.rows[0], ["2026-03-01", "/page/0", "a0", 2, 1, 2]);

    for (const [name, { columns }] of NAMED_QUERIES) {
      const result = await run(name);
      assertEquals(result.columns, columns);
      assertEquals(result.rows.every((row) => row.length === columns.length), true);
    }
    await warehouse.close();
  }));

Deno.test("a group that sums to nothing is not shown", () =>
  withChdb(async (host) => {
    const access = host.access();
    const warehouse = createWarehouse({ access });
    await warehouse.open();
    await warehouse.follow("t", 1, addedRows(6, parquetOf(rows())));
    await access.client.command({
      query: "INSERT INTO session_metrics SELECT * REPLACE(-1 AS sign) FROM session_metrics",
    });
    for (const { name } of ANALYTICS) assertEquals((await runNamedQuery(access.client, name)).rows, []);
    assertEquals((await runNamedQuery(access.client, "sessions")).rows, []);
    assertEquals(await rowsOf(access, "SELECT sum(sessions) FROM brand_analytics"), [[0]]);
    await warehouse.close();
  }));

Deno.test("a name or a parameter that is none is refused in a sentence, before anything is asked", () =>
  withChdb(async (host) => {
    const { client } = host.access();
    await assertRejects(
      () => runNamedQuery(client, "sessions; DROP TABLE x"),
      UserError,
      "There is no query 'sessions; DROP TABLE x': choose one of brand_analytics,",
    );
    for (const limit of [0, 1.5, NaN, 1_000_001]) {
      await assertRejects(() => runNamedQuery(client, "sessions", { limit }), UserError, `found ${limit}`);
    }
    for (const sinceMs of [-1, NaN, Infinity]) {
      await assertRejects(() => runNamedQuery(client, "sessions", { sinceMs }), UserError, "A query's since");
    }
    await client.close();
  }));
