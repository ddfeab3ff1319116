import { assert, assertEquals, assertMatch } from "@std/assert";
import fc from "fast-check";
import { SESSION_COLUMNS } from "../../../schema/session.ts";
import { ANALYTICS, createAnalyticsTable } from "../../../sinks/warehouse/analytics.ts";
import { addMissingColumns, createSessionMetrics } from "../../../sinks/warehouse/ddl.ts";
import { cutVersion, insertStatement, parquetStructure } from "../../../sinks/warehouse/parquet_insert.ts";

Deno.test("the pieces of a version cover its rows once, within the bound, each under a token of its own", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 5_000 }),
      fc.integer({ min: 1, max: 700 }),
      fc.uniqueArray(fc.nat({ max: 4_998 }), { maxLength: 200 }),
      (rows, bound, some) => {
        const joined = some.filter((row) => row + 1 < rows).sort((a, b) => a - b);
        const longest = joined.reduce(
          ({ run, max }, row, i) => {
            const length = row === joined[i - 1]! + 1 ? run + 1 : 2;
            return { run: length, max: Math.max(max, length) };
          },
          { run: 0, max: 1 },
        ).max;
        const pieces = cutVersion("table", 7, { rows, joined }, bound);
        let next = 0;
        for (const { offset, count } of pieces) {
          assertEquals(offset, next);
          assert(count >= 1 && count <= Math.max(bound, bound + longest - 1));
          next += count;
          assert(!joined.includes(next - 1), "rows that are joined stay together");
        }
        assertEquals(next, rows);
        assertEquals(new Set(pieces.map(({ token }) => token)).size, pieces.length);
        assertEquals(pieces, cutVersion("table", 7, { rows, joined }, bound));
      },
    ),
  );
});

Deno.test("a version that fits one insert has the token <table id>:<version>, a cut one adds the ordinal", () => {
  assertEquals(cutVersion("t", 3, { rows: 10, joined: [9] }, 10), [{ token: "t:3", offset: 0, count: 10 }]);
  const cut = cutVersion("t", 3, { rows: 11, joined: [9] }, 10);
  assertEquals(cut.map(({ token, count }) => [token, count]), [["t:3:0", 9], ["t:3:1", 2]]);
});

Deno.test("the DDL, the file's structure and the insert have every session column, in the declared order", () => {
  const ddl = createSessionMetrics();
  const statement = insertStatement("source", { token: "t", offset: 0, count: 1 }, false);
  const inserted = /^INSERT INTO session_metrics\n\((.*?)\)/.exec(statement)![1]!.split(", ");
  assertEquals(inserted, [...SESSION_COLUMNS.map(({ name }) => name), "sign"]);
  const positions = SESSION_COLUMNS.map(({ name, clickhouse }) =>
    ddl.indexOf(`\n  ${name} ${clickhouse} COMMENT `)
  );
  assert(positions.every((position) => position > 0));
  assertEquals(positions, positions.toSorted((a, b) => a - b));
  assert(SESSION_COLUMNS.every(({ name }) => `, ${parquetStructure(false)}`.includes(`, ${name} `)));
  assertEquals(parquetStructure(true), `${parquetStructure(false)}, sign Int32`);
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
