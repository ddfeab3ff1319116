import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { gatherRows } from "../support/gather_rows.ts";
import {
  type Cell,
  cellAt,
  type ColumnBatch,
  ColumnBatchBuilder,
  type ColumnKind,
  transferList,
} from "../../schema/column_batch.ts";
import { AssertionError } from "../../schema/errors.ts";
import { anyText } from "../support/records.ts";

const nullable = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null });
const anyMillis = fc.integer({ min: -62_167_219_200_000, max: 253_402_300_799_999 });

const CELLS: Readonly<Record<ColumnKind, fc.Arbitrary<Cell>>> = {
  utf8: nullable(anyText),
  binary: nullable(fc.uint8Array({ maxLength: 20 })),
  int32: nullable(fc.integer()),
  int64: nullable(fc.maxSafeInteger()),
  timestamp: nullable(anyMillis),
  list_utf8: fc.array(anyText, { maxLength: 5 }),
  list_page_event: fc.array(
    fc.record(
      { timestamp: anyMillis, event_type: anyText, page_url: anyText, article_id: nullable(anyText) },
      {
        noNullPrototype: true,
      },
    ),
    { maxLength: 5 },
  ),
};
const KINDS = Object.keys(CELLS) as ColumnKind[];
const anyRows = fc.array(fc.tuple(...KINDS.map((kind) => CELLS[kind])), { maxLength: 30 });

function built(rows: readonly (readonly Cell[])[], kinds: readonly ColumnKind[] = KINDS): ColumnBatch {
  const builder = new ColumnBatchBuilder(kinds);
  for (const row of rows) builder.push(row);
  assertEquals(builder.rows, rows.length);
  return builder.finish();
}

function rowsOf(batch: ColumnBatch): Cell[][] {
  return Array.from({ length: batch.rows }, (_, row) => batch.columns.map((column) => cellAt(column, row)));
}

Deno.test("cells of every kind come out of a batch as they went in", () => {
  fc.assert(fc.property(anyRows, (rows) => assertEquals(rowsOf(built(rows)), rows)));
});

Deno.test("a column grows beyond its first allocation without a change", () => {
  const rows = Array.from(
    { length: 5000 },
    (_, i): Cell[] => [i % 3 ? `${i}\u{1f600}` : null, i, [`${i}`, ""]],
  );
  assertEquals(rowsOf(built(rows, ["utf8", "timestamp", "list_utf8"])), rows);
});

Deno.test("timestamps are microseconds, and the buffers are exactly as long as their content", () => {
  const [time, text] = built([[1500, "é"], [null, null]], ["timestamp", "utf8"]).columns;
  assert(time?.kind === "timestamp" && text?.kind === "utf8");
  assertEquals([...time.values], [1_500_000n, 0n]);
  assertEquals([...time.valid], [1, 0]);
  assertEquals([...text.values.offsets], [0, 2, 2]);
  assertEquals(text.values.bytes.buffer.byteLength, 2);
});

Deno.test("a row with a cell too few or too many is refused", () => {
  const builder = new ColumnBatchBuilder(["utf8", "int32"]);
  assertThrows(() => builder.push(["a"]), AssertionError, "a row has 2 cells: 1");
  assertThrows(() => builder.push(["a", 1, 2]), AssertionError, "a row has 2 cells: 3");
});

Deno.test("gathered rows are the named ones in the named order, from any batch, also twice", () => {
  fc.assert(
    fc.property(
      fc.array(anyRows, { maxLength: 4 }),
      fc.array(fc.nat(), { maxLength: 40 }),
      (parts, picks) => {
        const all = parts.flatMap((rows, batch) => rows.map((cells, row) => ({ batch, row, cells })));
        const chosen = all.length === 0 ? [] : picks.map((pick) => all[pick % all.length]!);
        const gathered = gatherRows(KINDS, parts.map((rows) => built(rows)), chosen);
        assertEquals(rowsOf(gathered), chosen.map(({ cells }) => [...cells]));
      },
    ),
  );
});

/** Every typed array inside `value`, however deep. */
function viewsIn(value: unknown): ArrayBufferView[] {
  if (ArrayBuffer.isView(value)) return [value];
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(viewsIn) : [];
}

Deno.test("the transfer list has each buffer once, and nothing stays behind", () => {
  fc.assert(fc.property(anyRows, (rows) => {
    const batch = built(rows);
    const expected = rowsOf(batch);
    const buffers = transferList(batch);
    assertEquals(new Set(buffers).size, buffers.length);
    assertEquals(new Set(viewsIn(batch).map(({ buffer }) => buffer)), new Set(buffers));
    const moved = structuredClone(batch, { transfer: buffers });
    assertEquals(rowsOf(moved), expected);
    assert(buffers.every(({ detached }) => detached));
  }));
});
