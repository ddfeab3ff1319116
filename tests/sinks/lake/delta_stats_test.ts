import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { type Cell, ColumnBatchBuilder } from "../../../schema/column_batch.ts";
import {
  FileStats,
  recordsIn,
  type StatsSpec,
  truncateMax,
  truncateMin,
} from "../../../sinks/lake/delta_stats.ts";

const SPECS: readonly StatsSpec[] = [
  { name: "id", kind: "utf8", nullable: false, stats: false },
  { name: "text", kind: "utf8", nullable: true, stats: true },
  { name: "int", kind: "int32", nullable: true, stats: true },
  { name: "long", kind: "int64", nullable: true, stats: true },
  { name: "time", kind: "timestamp", nullable: true, stats: true },
  { name: "list", kind: "list_utf8", nullable: false, stats: true },
];

function statsOf(rows: readonly (readonly Cell[])[]) {
  const builder = new ColumnBatchBuilder(SPECS.map(({ kind }) => kind));
  for (const row of rows) builder.push(row);
  return JSON.parse(new FileStats(SPECS).add(builder.finish()).text());
}

/** As readers compare strings: by UTF-8 bytes, which is the order of code points. */
function compare(a: string, b: string): number {
  const [x, y] = [a, b].map((text) => [...text].map((character) => character.codePointAt(0)!));
  for (let i = 0; i < Math.min(x!.length, y!.length); i++) if (x![i] !== y![i]) return x![i]! - y![i]!;
  return x!.length - y!.length;
}

Deno.test("statistics hold the least and greatest value, and the nulls, of every column that keeps them", () => {
  const stats = statsOf([
    ["s1", "b", 2, 2 ** 40, Date.UTC(2024, 0, 1), ["x"]],
    ["s2", null, -5, null, Date.UTC(2023, 11, 31, 23, 59, 59, 999), []],
    ["s3", "a", null, -3, null, ["y", "z"]],
  ]);
  assertEquals(stats, {
    numRecords: 3,
    minValues: { text: "a", int: -5, long: -3, time: "2023-12-31T23:59:59.999Z" },
    maxValues: { text: "b", int: 2, long: 2 ** 40, time: "2024-01-01T00:00:00.000Z" },
    nullCount: { text: 1, int: 1, long: 1, time: 1, list: 0 },
  });
});

Deno.test("a column without a value has no bounds, and its nulls are counted", () => {
  const stats = statsOf([["s", null, null, null, null, []]]);
  assertEquals(stats.minValues, {});
  assertEquals(stats.maxValues, {});
  assertEquals(stats.nullCount, { text: 1, int: 1, long: 1, time: 1, list: 0 });
});

Deno.test("property: rows that come in parts have the statistics of all of them", () => {
  const row = fc.tuple(
    fc.string(),
    fc.option(fc.string({ unit: "binary", maxLength: 3 })),
    fc.option(fc.integer()),
    fc.option(fc.maxSafeInteger()),
    fc.option(fc.integer({ min: -(10 ** 12), max: 10 ** 13 })),
    fc.constant([]),
  );
  fc.assert(
    fc.property(fc.array(fc.array(row, { maxLength: 4 }), { maxLength: 5 }), (parts) => {
      const stats = new FileStats(SPECS);
      for (const rows of parts) {
        const builder = new ColumnBatchBuilder(SPECS.map(({ kind }) => kind));
        for (const cells of rows) builder.push(cells);
        stats.add(builder.finish());
      }
      assertEquals(JSON.parse(stats.text()), statsOf(parts.flat()));
    }),
  );
});

Deno.test("strings sort by code points: an emoji is above U+FFFD although its UTF-16 units are below", () => {
  const stats = statsOf([["s", "😀", 1, 1, 1, []], ["s", "\ufffd", 1, 1, 1, []]]);
  assertEquals(stats.minValues.text, "\ufffd");
  assertEquals(stats.maxValues.text, "😀");
});

Deno.test("timestamps below a millisecond are floored, before 1970 too", () => {
  const time = {
    kind: "timestamp",
    valid: Uint8Array.of(1, 1),
    values: BigInt64Array.of(-1n, 1_999n),
  } as const;
  const spec: StatsSpec = { name: "time", kind: "timestamp", nullable: false, stats: true };
  const stats = JSON.parse(new FileStats([spec]).add({ rows: 2, columns: [time] }).text());
  assertEquals(stats.minValues.time, "1969-12-31T23:59:59.999Z");
  assertEquals(stats.maxValues.time, "1970-01-01T00:00:00.001Z");
});

Deno.test("a string of 32 characters is kept, a longer one is cut at 32 characters, never within one", () => {
  const emoji = "😀".repeat(32);
  assertEquals([truncateMin(emoji), truncateMax(emoji)], [emoji, emoji]);
  assertEquals(truncateMin(`${emoji}x`), emoji);
  assertEquals(truncateMax(`${emoji}x`), `${emoji}\u007f`);
  assertEquals(truncateMax(`${"a".repeat(32)}\u00e9`), `${"a".repeat(32)}\u{10ffff}`);
});

Deno.test("where the character cut off is the greatest of all, the next one breaks the tie", () => {
  const [head, top] = ["a".repeat(32), "\u{10ffff}"];
  assertEquals(truncateMax(`${head}${top}b`), `${head}${top}\u007f`);
  assertEquals(truncateMax(`${head}${top}`), `${head}${top}`);
  assertEquals(truncateMax(head + top.repeat(40)), null);
});

Deno.test("of any strings, min is never above a value and max never below one", () => {
  // Few characters and long strings, so that long prefixes are shared; the greatest ones among them.
  const unit = fc.constantFrom(
    "a",
    "b",
    "\u007e",
    "\u007f",
    "\u0080",
    "\ud7ff",
    "\uffff",
    "😀",
    "\u{10ffff}",
    "\0",
  );
  const text = fc.oneof(
    fc.string({ unit, maxLength: 80 }),
    fc.string({ unit, maxLength: 4 }).map((tail) => "a".repeat(31) + tail),
  );
  fc.assert(
    fc.property(fc.array(text, { minLength: 1, maxLength: 8 }), (texts) => {
      const { minValues, maxValues } = statsOf(texts.map((text) => ["s", text, 1, 1, 1, []]));
      for (const text of texts) {
        assert(compare(minValues.text, text) <= 0);
        assert(maxValues.text === undefined || compare(text, maxValues.text) <= 0);
      }
    }),
    { numRuns: 500 },
  );
});

Deno.test("the number of rows is read back from statistics, and unknown without them", () => {
  assertEquals(recordsIn('{"numRecords":12}'), 12);
  assertEquals(recordsIn("{}"), null);
  assertEquals(recordsIn(undefined), null);
});
