/** The sums of dates that left, over rebuilds that end and rebuilds that don't. */
import { assertEquals } from "@std/assert";
import { putRetiredSumsBack, setRetiredSumsAside } from "../../../sinks/verification/retired_sums.ts";
import { ANALYTICS } from "../../../sinks/warehouse/analytics.ts";
import { createWarehouse } from "../../../sinks/warehouse/clickhouse_warehouse.ts";
import {
  addedRows,
  expectedTotals,
  parquetOf,
  rowsOf,
  sessionRows,
  totals,
  withChdb,
} from "../warehouse/harness.ts";

const TABLE_ID = "7b0d3d7c-0000-4000-8000-000000000001";
const HORIZON = "2026-01-02";

const ofDay = (day: number, count: number) => {
  const start = Date.UTC(2026, 0, day, 12);
  return sessionRows(count, 100 * day, { session_start: start, session_end: start + 61_500 });
};

Deno.test("analytics of retired dates are whole after a rebuild, also where one was interrupted before", () =>
  withChdb(async (host) => {
    const access = host.access("sessionary");
    const warehouse = createWarehouse({ access });
    await warehouse.open();
    await warehouse.follow(TABLE_ID, 1, addedRows(90, parquetOf([...ofDay(1, 40), ...ofDay(2, 50)])));
    await warehouse.retire(TABLE_ID, 2, ["2026-01-01"]);
    await warehouse.follow(TABLE_ID, 3, addedRows(7, parquetOf(ofDay(1, 7))));
    const before = await totals(access);
    const rebuilt = async () => {
      for (const table of ["session_metrics", ...ANALYTICS.map(({ name }) => name)]) {
        await access.client.command({ query: `TRUNCATE TABLE ${table} SYNC` });
      }
      const rows = [...ofDay(1, 7), ...ofDay(2, 50)];
      await warehouse.follow(TABLE_ID, 10, addedRows(57, parquetOf(rows)));
      await access.client.command({
        query: "ALTER TABLE followed_versions DELETE WHERE 1 SETTINGS mutations_sync = 1",
      });
    };
    await setRetiredSumsAside(access, HORIZON);
    await rebuilt();
    // Here a first rebuild ends, and the second one finds analytics that lack what left.
    await setRetiredSumsAside(access, HORIZON);
    await rebuilt();
    assertEquals((await totals(access)).brand, expectedTotals(57).brand);
    await putRetiredSumsBack(access, HORIZON);
    assertEquals(await totals(access), before);
    const aside =
      "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name LIKE '%retired%'";
    assertEquals(await rowsOf(access, aside), [[0]]);
    await warehouse.close();
  }));
