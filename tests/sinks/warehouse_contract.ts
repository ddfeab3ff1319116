/**
 * What a warehouse must do over every ClickHouse; each one's test file calls this with a way to reach one. Rows are
 * counted in the base table and in each of the six analytics: a retry that counts twice shows there.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { tableToIPC } from "apache-arrow";
import fc from "fast-check";
import { Table as WasmTable, writeParquet, WriterPropertiesBuilder } from "parquet-wasm";
import { SinkError } from "../../schema/errors.ts";
import type { Warehouse } from "../../sinks/sink.ts";
import type { ClickHouseAccess } from "../../sinks/warehouse/clickhouse_access.ts";
import { createWarehouse } from "../../sinks/warehouse/clickhouse_warehouse.ts";
import { MIGRATIONS } from "../../sinks/warehouse/migrations.ts";
import { NAMED_QUERIES, runNamedQuery } from "../../sinks/warehouse/queries.ts";
import {
  addedRows,
  cellsOf,
  expectedTotals,
  forgetDone,
  parquetOf,
  rowsOf,
  sessionRow,
  sessionRows,
  signedRows,
  tableOf,
  totals,
} from "./warehouse/harness.ts";
import { assertTextsKept, ODD_TEXTS, oddRow } from "./warehouse/odd_texts.ts";

/** A ClickHouse with a database that is new, and what removes it. */
export interface ClickHouseUnderTest extends AsyncDisposable {
  /** A client of its own to that database. */
  connect(): ClickHouseAccess;
}

type Check = (
  warehouse: Warehouse,
  access: ClickHouseAccess,
  connect: () => ClickHouseAccess,
) => Promise<void>;

const TABLE_ID = "7b0d3d7c-0000-4000-8000-000000000001";

/** Makes it look as if every version had been begun at the block `mark`, a SQL expression. */
async function moveBlockMarks({ client }: ClickHouseAccess, mark: string): Promise<void> {
  await client.command({
    query: `ALTER TABLE followed_versions UPDATE block_mark = ${mark} WHERE 1 SETTINGS mutations_sync = 1`,
  });
}

/** Registers the tests of the ClickHouse that `open` reaches; each test gets a database of its own. */
export function warehouseContract(name: string, open: () => Promise<ClickHouseUnderTest>): void {
  const contract = (sentence: string, check: Check, rowsPerInsert?: number) =>
    Deno.test(`${name}: ${sentence}`, async () => {
      await using clickhouse = await open();
      const access = clickhouse.connect();
      const warehouse = createWarehouse({
        access,
        ...(rowsPerInsert === undefined ? {} : { rowsPerInsert }),
      });
      try {
        await warehouse.open();
        await check(warehouse, access, () => clickhouse.connect());
      } finally {
        await warehouse.close();
      }
    });

  contract(
    "a version is counted once in the table and in each of the six, however often it is followed",
    async (warehouse, access) => {
      const parquet = parquetOf(sessionRows(1_000));
      for (let attempt = 0; attempt < 3; attempt++) {
        await warehouse.follow(TABLE_ID, 1, addedRows(1_000, parquet));
        assertEquals(await totals(access), expectedTotals(1_000));
        await forgetDone(access);
      }
      await warehouse.follow(TABLE_ID, 2, addedRows(500, parquetOf(sessionRows(500, 1_000))));
      assertEquals(await totals(access), expectedTotals(1_500));
    },
  );

  contract("versions are done one by one, by table, with rows or without", async (warehouse, access) => {
    assertEquals(await warehouse.doneVersions(TABLE_ID), new Set());
    await warehouse.follow(TABLE_ID, 4, addedRows(10, parquetOf(sessionRows(10))));
    await warehouse.follow(TABLE_ID, 2, null);
    await warehouse.follow("another table", 3, null);
    assertEquals(await warehouse.doneVersions(TABLE_ID), new Set([2, 4]));
    await warehouse.follow(TABLE_ID, 2, null);
    const states = await rowsOf(
      access,
      "SELECT version, state FROM followed_versions ORDER BY table_id, version, state",
    );
    assertEquals(states, [[2, "done"], [4, "started"], [4, "done"], [3, "done"]]);
  });

  contract("a version over three months is counted once in each of them", async (warehouse, access) => {
    const rows = [0, 1, 2].flatMap((month) =>
      sessionRows(100, 100 * month).map((row) => {
        const start = Date.UTC(2026, month, 20);
        return { ...row, session_start: start, session_end: start + 61_000 };
      })
    );
    for (let attempt = 0; attempt < 2; attempt++) {
      await warehouse.follow(TABLE_ID, 1, addedRows(300, parquetOf(rows)));
      await forgetDone(access);
    }
    assertEquals(await totals(access), expectedTotals(300));
    const months = await rowsOf(
      access,
      "SELECT toYYYYMM(day), sum(sessions) FROM geographic_analytics GROUP BY 1 ORDER BY 1",
    );
    assertEquals(months, [[202601, 100], [202602, 100], [202603, 100]]);
  });

  contract(
    "a version of more rows than one insert may have is cut, and a retry keeps the cut it was begun with",
    async (warehouse, access, connect) => {
      const parquet = parquetOf(sessionRows(2_500));
      await warehouse.follow(TABLE_ID, 1, addedRows(2_500, parquet));
      await forgetDone(access);
      const other = createWarehouse({ access: connect(), rowsPerInsert: 700 });
      await other.open();
      await other.follow(TABLE_ID, 1, addedRows(2_500, parquet));
      assertEquals(await totals(access), expectedTotals(2_500));
      const [first] = await rowsOf(
        access,
        "SELECT rows_per_insert FROM followed_versions WHERE state = 'started'",
      );
      assertEquals(first, [1_000]);
      await other.close();
    },
    1_000,
  );

  contract(
    "a retry fills in the pieces that an interrupted insert has not made",
    async (warehouse, access, connect) => {
      const rows = sessionRows(250);
      // The first attempt dies after its first piece: the file ends there.
      const ordered = rows.toSorted((a, b) =>
        (a.source_partition as number) - (b.source_partition as number) ||
        (a.first_offset as number) - (b.first_offset as number)
      );
      await warehouse.follow(TABLE_ID, 1, addedRows(250, parquetOf(ordered.slice(0, 100))));
      await forgetDone(access);
      assertEquals(await totals(access), expectedTotals(100));
      const other = createWarehouse({ access: connect() });
      await other.open();
      await other.follow(TABLE_ID, 1, addedRows(250, parquetOf(rows)));
      assertEquals(await totals(access), expectedTotals(250));
      await other.close();
    },
    100,
  );

  contract(
    "120,000 rows in twelve row groups are one block: the same rows in one row group are not counted again",
    async (warehouse, access) => {
      const count = 120_000;
      // Many page groups: more keys than a GROUP BY keeps in one table by default.
      const table = tableOf(sessionRows(count).map((row, i) => ({ ...row, city: `city ${i}` })));
      const properties = new WriterPropertiesBuilder().setMaxRowGroupSize(10_000).build();
      const inGroups = writeParquet(WasmTable.fromIPCStream(tableToIPC(table, "stream")), properties);
      await warehouse.follow(TABLE_ID, 1, addedRows(count, inGroups));
      assertEquals(await totals(access), expectedTotals(count));
      await forgetDone(access);
      const inOne = writeParquet(WasmTable.fromIPCStream(tableToIPC(table, "stream")));
      await warehouse.follow(TABLE_ID, 1, addedRows(count, inOne));
      assertEquals(await totals(access), expectedTotals(count));
    },
  );

  contract(
    "two instances that follow the same version at once count it once",
    async (warehouse, access, connect) => {
      const other = createWarehouse({ access: connect() });
      await other.open();
      const parquet = parquetOf(sessionRows(400));
      await Promise.all([warehouse, other].map((one) => one.follow(TABLE_ID, 1, addedRows(400, parquet))));
      assertEquals(await totals(access), expectedTotals(400));
      await other.close();
    },
  );

  contract(
    "a started version whose token may be forgotten is refused, not inserted again",
    async (warehouse, access) => {
      const parquet = parquetOf(sessionRows(10));
      await warehouse.follow(TABLE_ID, 1, addedRows(10, parquet));
      await forgetDone(access);
      await moveBlockMarks(access, "block_mark + 5");
      await assertRejects(
        () => warehouse.follow(TABLE_ID, 1, addedRows(10, parquet)),
        SinkError,
        "Rebuild ClickHouse from the lake: sessionary verify --repair.",
      );
      assertEquals(await totals(access), expectedTotals(10));
      await moveBlockMarks(access, "0");
      await warehouse.follow(TABLE_ID, 1, addedRows(10, parquet));
      assertEquals(await totals(access), expectedTotals(10));
    },
  );

  contract(
    "odd texts are kept exactly, and JSON texts are what JSON.stringify writes, byte for byte",
    async (warehouse, access) => {
      const rows = [...ODD_TEXTS.map((text, i) => oddRow(i, [text])), oddRow(ODD_TEXTS.length, ODD_TEXTS)];
      await warehouse.follow(TABLE_ID, 1, addedRows(rows.length, parquetOf(rows)));
      await assertTextsKept(access, rows);
      const urls = await rowsOf(
        access,
        "SELECT page_url, sum(page_views), sum(sessions) FROM page_analytics GROUP BY 1",
      );
      const expected = ODD_TEXTS.map((text) => [text, 2, 2]);
      const byText = (a: unknown[], b: unknown[]) => String(a[0]) < String(b[0]) ? -1 : 1;
      assertEquals(urls.toSorted(byText), expected.toSorted(byText));
    },
  );

  contract("any text is kept exactly", async (warehouse, access) => {
    const text = fc.string({ unit: "binary", minLength: 1, maxLength: 40 });
    const escapes = fc.string({
      unit: fc.constantFrom("\\", "u", "2", "0", "8", "\u2028", '"', "\u001f", "B"),
      minLength: 1,
    });
    const texts = fc.sample(fc.array(fc.oneof(text, escapes), { minLength: 1, maxLength: 8 }), {
      numRuns: 300,
      seed: 7,
    });
    const rows = texts.map((one, i) => oddRow(i, one));
    await warehouse.follow(TABLE_ID, 1, addedRows(rows.length, parquetOf(rows)));
    await assertTextsKept(access, rows);
  });

  contract(
    "every column arrives: numbers at their bounds, times cut to seconds, null texts as ''",
    async (warehouse, access) => {
      const row = sessionRow(0, {
        user_id: 4_294_967_295,
        brand: null,
        session_start: Date.UTC(1990, 0, 1),
        session_end: Date.UTC(2105, 11, 31, 23, 59, 59, 999),
        session_duration_sec: 2_147_483_647,
        total_events: 65_535,
        batch_id: Number.MAX_SAFE_INTEGER,
        first_offset: 0,
        last_offset: Number.MAX_SAFE_INTEGER,
        page_events: [],
        categories_visited: [],
      });
      await warehouse.follow(TABLE_ID, 1, addedRows(1, parquetOf([row])));
      assertEquals(await rowsOf(access, "SELECT * FROM sessions"), [cellsOf(row)]);
    },
  );

  contract(
    "a number that its column can't hold fails the insert, and nothing of the version is there",
    async (warehouse, access) => {
      const rows = [sessionRow(0), sessionRow(1, { total_events: 65_536 })];
      const error = await assertRejects(
        () => warehouse.follow(TABLE_ID, 1, addedRows(2, parquetOf(rows))),
        SinkError,
        "could not insert version 1 (2 rows)",
      );
      assert(!(error as SinkError).retryable);
      assertEquals(await rowsOf(access, "SELECT count() FROM session_metrics"), [[0]]);
      assertEquals(await warehouse.doneVersions(TABLE_ID), new Set());
    },
  );

  contract(
    "a revision's withdrawn row takes back its sums, and sessions shows the newest row alone",
    async (warehouse, access) => {
      const old = sessionRow(0, { brand: "old" });
      const revised = { ...old, brand: "new", revision: 1, total_events: 15 };
      await warehouse.follow(TABLE_ID, 1, addedRows(1, parquetOf([old])));
      const revision = signedRows([{ row: old, sign: -1 }, { row: revised, sign: 1 }]);
      for (let attempt = 0; attempt < 2; attempt++) {
        await warehouse.follow(TABLE_ID, 2, revision);
        await forgetDone(access);
      }
      assertEquals(await rowsOf(access, "SELECT brand, revision, total_events FROM sessions"), [[
        "new",
        1,
        15,
      ]]);
      const brands = "SELECT brand, sum(sessions), sum(total_events) FROM brand_analytics GROUP BY 1 " +
        "HAVING sum(sessions) != 0";
      assertEquals(await rowsOf(access, brands), [["new", 1, 15]]);
      assertEquals(await rowsOf(access, "SELECT sum(page_views), sum(sessions) FROM page_analytics"), [[
        3,
        2,
      ]]);
    },
  );

  contract(
    "versions with revisions may come in any order, and cut: the newest row of each session stays, and every sum",
    async (warehouse, access) => {
      const versions = [0, 1, 2].map((revision) =>
        [0, 1, 2].map((index) => sessionRow(index, { revision, total_events: 14 + revision }))
      );
      const payloads = [1, 2].map((to) =>
        signedRows(
          [0, 1, 2].flatMap((i) => [
            { row: versions[to - 1]![i]!, sign: -1 as const },
            { row: versions[to]![i]!, sign: 1 as const },
          ]),
        )
      );
      await warehouse.follow(TABLE_ID, 3, payloads[1]!);
      await warehouse.follow(TABLE_ID, 1, addedRows(3, parquetOf(versions[0]!)));
      assertEquals(await rowsOf(access, "SELECT count() FROM sessions WHERE revision = 2"), [[3]]);
      await warehouse.follow(TABLE_ID, 2, payloads[0]!);
      const newest = "SELECT count(), min(revision), sum(total_events) FROM sessions";
      assertEquals(await rowsOf(access, newest), [[3, 2, 48]]);
      const { base: _, sessions: __, pages, ...sums } = await totals(access);
      assertEquals(Object.values(sums), new Array(5).fill([3, 48, 183]));
      assertEquals(pages, expectedTotals(3).pages);
      const gone = signedRows(versions[2]!.map((row) => ({ row, sign: -1 as const })));
      await warehouse.follow(TABLE_ID, 4, gone);
      assertEquals(await rowsOf(access, "SELECT count() FROM sessions"), [[0]]);
      assertEquals((await totals(access)).brand, [0, 0, 0]);
    },
    3,
  );

  contract(
    "retired dates leave the table and no analytics, once, and what a later version brings them stays",
    async (warehouse, access) => {
      const start = Date.UTC(2026, 0, 31, 23, 59, 59, 999);
      const old = sessionRows(100, 300, { session_start: start, session_end: start + 61_500 });
      await warehouse.follow(TABLE_ID, 1, addedRows(400, parquetOf([...sessionRows(300), ...old])));
      for (let attempt = 0; attempt < 2; attempt++) await warehouse.retire(TABLE_ID, 2, ["2026-01-31"]);
      const { base, sessions } = expectedTotals(300);
      assertEquals(await totals(access), { ...expectedTotals(400), base, sessions });
      assertEquals(await warehouse.doneVersions(TABLE_ID), new Set([1, 2]));
      await warehouse.follow(TABLE_ID, 3, addedRows(1, parquetOf(old.slice(0, 1))));
      await warehouse.retire(TABLE_ID, 2, ["2026-01-31"]);
      assertEquals((await totals(access)).sessions, expectedTotals(301).sessions);
    },
  );

  contract(
    "opening it again changes nothing, and two instances may open it at once",
    async (warehouse, access, connect) => {
      const tables =
        "SELECT name, engine FROM system.tables WHERE database = currentDatabase() ORDER BY name";
      const first = await rowsOf(access, tables);
      const other = createWarehouse({ access: connect() });
      await Promise.all([warehouse.open(), other.open()]);
      assertEquals(await rowsOf(access, tables), first);
      const applied = await rowsOf(access, "SELECT number, name FROM schema_migrations ORDER BY number");
      assertEquals(applied, MIGRATIONS.map(({ number, name }) => [number, name]));
      await other.close();
    },
  );

  contract(
    "each named query gives its columns, within its limit and its times",
    async (warehouse, access) => {
      await warehouse.follow(TABLE_ID, 1, addedRows(300, parquetOf(sessionRows(300))));
      const sinceMs = sessionRow(100).session_start as number;
      for (const [query, { columns }] of NAMED_QUERIES) {
        const result = await runNamedQuery(access.client, query, { limit: 7, sinceMs: 0 });
        assertEquals(result.columns, columns);
        assert(result.rows.length > 0 && result.rows.length <= 7);
      }
      const sessions = await runNamedQuery(access.client, "sessions", {
        limit: 1_000,
        sinceMs,
        untilMs: sinceMs + 17_000,
      });
      assertEquals(sessions.rows.map((row) => row[0]), Array.from({ length: 10 }, (_, i) => `s-${109 - i}`));
    },
  );

  contract(
    "settings of one request do not affect the next, whether it worked or failed",
    async (_warehouse, access) => {
      const { client } = access;
      const table =
        "CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 9";
      await client.command({ query: table });
      const insert = (clickhouse_settings: Record<string, string>, into = "t") =>
        client.command({ query: `INSERT INTO ${into} SELECT 1`, clickhouse_settings });
      const token = { insert_deduplication_token: "one" };
      for (const settings of [token, token, {}, {}]) await insert(settings);
      await assertRejects(() => insert(token, "nowhere"));
      await insert({});
      assertEquals(await rowsOf(access, "SELECT count() FROM t"), [[4]]);
    },
  );
}
