import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { gatherRows } from "../../support/gather_rows.ts";
import { Field, Int64, Schema, Table, Utf8, vectorFromArray } from "apache-arrow";
import { wasmMemory } from "parquet-wasm";
import {
  type Cell,
  type ColumnBatch,
  ColumnBatchBuilder,
  type ColumnKind,
} from "../../../schema/column_batch.ts";
import { SinkError } from "../../../schema/errors.ts";
import { type ColumnSpec, fromArrow, toArrow } from "../../../sinks/lake/arrow.ts";
import { decodeParquet, encodeParquet } from "../../../sinks/lake/parquet.ts";
import { takeRows } from "../../../schema/take_rows.ts";

const SPECS: readonly ColumnSpec[] = ([
  "utf8",
  "binary",
  "int32",
  "int64",
  "timestamp",
  "list_utf8",
  "list_page_event",
] as const).map((kind) => ({ name: `c_${kind}`, kind, nullable: true }));
const KINDS: readonly ColumnKind[] = SPECS.map(({ kind }) => kind);

const text = fc.string({ unit: "binary", maxLength: 40 });
const time = fc.integer({ min: -(10 ** 12), max: 10 ** 13 });
const pageEvent = fc.record({
  timestamp: time,
  event_type: text,
  page_url: text,
  article_id: fc.option(text),
});
const row: fc.Arbitrary<Cell[]> = fc.tuple(
  fc.option(text),
  fc.option(fc.uint8Array({ maxLength: 20 })),
  fc.option(fc.integer()),
  fc.option(fc.maxSafeInteger()),
  fc.option(time),
  fc.array(text, { maxLength: 5 }),
  fc.array(pageEvent, { maxLength: 5 }),
);
const batch: fc.Arbitrary<ColumnBatch> = fc.array(row, { maxLength: 30 }).map((rows) => {
  const builder = new ColumnBatchBuilder(KINDS);
  for (const cells of rows) builder.push(cells);
  return builder.finish();
});

Deno.test("a column batch comes back from Arrow and from Parquet exactly as it went in", () => {
  fc.assert(
    fc.property(batch, (rows) => {
      assertEquals(fromArrow(SPECS, toArrow(SPECS, rows), "test"), rows);
      const bytes = encodeParquet(toArrow(SPECS, rows));
      assertEquals(fromArrow(SPECS, decodeParquet(bytes, "test"), "test"), rows);
    }),
    { numRuns: 60 },
  );
});

Deno.test("the same rows make the same Parquet bytes", () => {
  fc.assert(
    fc.property(batch, (rows) => {
      assertEquals(encodeParquet(toArrow(SPECS, rows)), encodeParquet(toArrow(SPECS, rows)));
    }),
    { numRuns: 20 },
  );
});

Deno.test("taking rows column by column equals gathering them cell by cell", () => {
  const pick = fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 40 });
  fc.assert(
    fc.property(fc.array(batch, { minLength: 1, maxLength: 3 }), pick, (batches, picks) => {
      const filled = batches.filter(({ rows }) => rows > 0);
      const refs = filled.length === 0 ? [] : picks.map(([b, r]) => {
        const index = b % filled.length;
        return { batch: index, row: r % filled[index]!.rows };
      });
      const selection = {
        batch: Uint32Array.from(refs, (ref) => ref.batch),
        row: Uint32Array.from(refs, (ref) => ref.row),
      };
      assertEquals(takeRows(KINDS, filled, selection), gatherRows(KINDS, filled, refs));
    }),
  );
});

Deno.test("a file of more rows than one read takes comes back whole", () => {
  const rows = 140_000;
  const builder = new ColumnBatchBuilder(["int64", "list_utf8"]);
  for (let i = 0; i < rows; i++) builder.push([i, i % 3 === 0 ? [`item ${i}`, "x"] : []]);
  const specs: ColumnSpec[] = [
    { name: "n", kind: "int64", nullable: false },
    { name: "l", kind: "list_utf8", nullable: false },
  ];
  const batch = builder.finish();
  assertEquals(fromArrow(specs, decodeParquet(encodeParquet(toArrow(specs, batch)), "test"), "test"), batch);
});

Deno.test("encoding and decoding again and again does not hold on to WebAssembly memory", () => {
  const builder = new ColumnBatchBuilder(["utf8"]);
  for (let i = 0; i < 20_000; i++) builder.push([`some text that is not short ${i}`]);
  const specs: ColumnSpec[] = [{ name: "t", kind: "utf8", nullable: false }];
  const batch = builder.finish();
  const round = () => fromArrow(specs, decodeParquet(encodeParquet(toArrow(specs, batch)), "test"), "test");
  for (let i = 0; i < 3; i++) round();
  const { buffer } = wasmMemory() as unknown as WebAssembly.Memory;
  const before = buffer.byteLength;
  for (let i = 0; i < 40; i++) round();
  assertEquals((wasmMemory() as unknown as WebAssembly.Memory).buffer.byteLength, before);
});

Deno.test("a nullable column that a file lacks is null; a required one is a sentence", () => {
  const bytes = encodeParquet(new Table({ other: vectorFromArray(["x", "y"], new Utf8()) }));
  const table = decodeParquet(bytes, "old.parquet");
  const read = fromArrow(SPECS, table, "old.parquet");
  const nulls = new ColumnBatchBuilder(KINDS);
  for (let i = 0; i < 2; i++) nulls.push([null, null, null, null, null, [], []]);
  assertEquals(read, nulls.finish());
  const required: ColumnSpec[] = [{ name: "brand", kind: "utf8", nullable: false }];
  assertThrows(
    () => fromArrow(required, table, "old.parquet"),
    SinkError,
    "'brand' must be Utf8, and there is none",
  );
});

Deno.test("a column of another type is a sentence that names both", () => {
  const schema = new Schema([new Field("n", new Int64(), true)]);
  const table = new Table(schema, { n: vectorFromArray([1n], new Int64()) });
  const specs: ColumnSpec[] = [{ name: "n", kind: "utf8", nullable: true }];
  assertThrows(() => fromArrow(specs, table, "f.parquet"), SinkError, "must be Utf8, found Int64");
});

Deno.test("a null in a column that has a value in every row is a broken invariant", () => {
  const builder = new ColumnBatchBuilder(["utf8"]);
  builder.push([null]);
  assertThrows(
    () => toArrow([{ name: "id", kind: "utf8", nullable: false }], builder.finish()),
    Error,
    "'id'",
  );
});

Deno.test("bytes that are no Parquet file are a sentence", () => {
  assertThrows(() => decodeParquet(new Uint8Array(100), "broken.parquet"), SinkError, "'broken.parquet'");
});
