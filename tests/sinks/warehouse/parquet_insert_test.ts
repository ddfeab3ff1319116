import { assert, assertEquals, assertMatch } from "@std/assert";
import fc from "fast-check";
import { SESSION_COLUMNS } from "../../../schema/session.ts";
import { ANALYTICS, createAnalyticsTable } from "../../../sinks/warehouse/analytics.ts";
import { addMissingColumns, createSessionMetrics } from "../../../sinks/warehouse/ddl.ts";
import { cutVersion, insertStatement, PARQUET_STRUCTURE } from "../../../sinks/warehouse/parquet_insert.ts";

Deno.test("the pieces of a version cover its rows once, within the bound, each under a token of its own", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5_000 }), fc.integer({ min: 1, max: 700 }), (rows, bound) => {
      const pieces = cutVersion("table", 7, rows, bound);
      let next = 0;
      for (const { offset, count } of pieces) {
        assertEquals(offset, next);
        assert(count >= 1 && count <= bound);
        next += count;
      }
      assertEquals(next, rows);
      assertEquals(new Set(pieces.map(({ token }) => token)).size, pieces.length);
      assertEquals(pieces, cutVersion("table", 7, rows, bound));
    }),
  );
});

Deno.test("a version that fits one insert has the token <table id>:<version>, a cut one adds the ordinal", () => {
  assertEquals(cutVersion("t", 3, 10, 10), [{ token: "t:3", offset: 0, count: 10 }]);
  assertEquals(cutVersion("t", 3, 11, 10).map(({ token }) => token), ["t:3:0", "t:3:1"]);
});

Deno.test("the DDL, the file's structure and the insert have every session column, in the declared order", () => {
  const ddl = createSessionMetrics();
  const statement = insertStatement("source", { token: "t", offset: 0, count: 1 });
  const inserted = /^INSERT INTO session_metrics\n\((.*?)\)/.exec(statement)![1]!.split(", ");
  assertEquals(inserted, [...SESSION_COLUMNS.map(({ name }) => name), "sign"]);
  const positions = SESSION_COLUMNS.map(({ name, clickhouse }) =>
    ddl.indexOf(`\n  ${name} ${clickhouse} COMMENT `)
  );
  assert(positions.every((position) => position > 0));
  assertEquals(positions, positions.toSorted((a, b) => a - b));
  assert(SESSION_COLUMNS.every(({ name }) => `, ${PARQUET_STRUCTURE}`.includes(`, ${name} `)));
});

Deno.test("the base table and every analytics table have the deduplication windows", () => {
  for (const ddl of [createSessionMetrics(), ...ANALYTICS.map(createAnalyticsTable)]) {
    assertMatch(
      ddl,
      /SETTINGS non_replicated_deduplication_window = 10000, replicated_deduplication_window = 10000/,
    );
    assertMatch(ddl, /replicated_deduplication_window_seconds = 604800/);
  }
});

Deno.test("a column that an older table lacks is added after the one it is declared after", () => {
  const present = new Set(SESSION_COLUMNS.map(({ name }) => name));
  assertEquals(addMissingColumns(present), []);
  present.delete("last_offset");
  const [statement, ...rest] = addMissingColumns(present);
  assertEquals(rest, []);
  assertMatch(statement!, /ADD COLUMN IF NOT EXISTS last_offset UInt64 .* AFTER first_offset$/);
});
