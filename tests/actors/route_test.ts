import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { splitByShard } from "../../actors/route.ts";
import { shardOf } from "../../actors/shard.ts";
import { recordBatchOf } from "../../sources/record_batch.ts";
import { keyAt, type ProducedRecord, type RecordBatch, valueAt } from "../../sources/source.ts";

const field = fc.option(fc.uint8Array({ maxLength: 12 }), { nil: null });
const anyRecords: fc.Arbitrary<ProducedRecord[]> = fc.array(fc.record({ key: field, value: field }), {
  minLength: 1,
  maxLength: 40,
});

/** A batch with gaps in its offsets and a timestamp of its own for each record. */
function batchOf(records: readonly ProducedRecord[]): RecordBatch {
  const batch = recordBatchOf(5, 1000, 0, records);
  batch.offsets.forEach((_, i) => {
    batch.offsets[i] = 1000 + 3 * i;
    batch.timestamps[i] = 50 + i;
  });
  return batch;
}

const recordsOf = (batch: RecordBatch) =>
  Array.from({ length: batch.count }, (_, i) => ({
    offset: batch.offsets[i]!,
    timestamp: batch.timestamps[i]!,
    key: keyAt(batch, i)?.slice() ?? null,
    value: valueAt(batch, i)?.slice() ?? null,
  }));

Deno.test("a split hands every record of its range, whole and in order, to the shard of its key", () => {
  fc.assert(
    fc.property(anyRecords, fc.integer({ min: 1, max: 5 }), fc.nat(), fc.nat(), (records, shards, a, b) => {
      const batch = batchOf(records);
      const start = a % (batch.count + 1);
      const end = start + b % (batch.count + 1 - start);
      const parts = splitByShard(start === end ? [] : [{ batch, start, end }], shards);
      assertEquals(parts.length, shards);
      const wanted = recordsOf(batch).slice(start, end);
      parts.forEach((part, shard) => {
        const mine = wanted.filter(({ key }) => shardOf(key, shards) === shard);
        assertEquals(part === null ? [] : recordsOf(part), mine);
        assertEquals(part === null, mine.length === 0);
        if (part !== null) assertEquals(part.nextOffset, mine.at(-1)!.offset + 1);
      });
    }),
  );
});

Deno.test("a part has one buffer of its own, so that it may be transferred", () => {
  const batch = batchOf([{ key: new Uint8Array([1]), value: new Uint8Array([2, 3]) }, {
    key: null,
    value: null,
  }]);
  const part = splitByShard([{ batch, start: 0, end: 2 }], 1)[0]!;
  const buffersOf = ({ offsets, timestamps, keys, keyEnds, values, valueEnds, nulls }: RecordBatch) =>
    [offsets, timestamps, keys, keyEnds, values, valueEnds, nulls].map(({ buffer }) => buffer);
  assertEquals(new Set(buffersOf(part)).size, 1);
  assertEquals(buffersOf(batch).filter((buffer) => buffersOf(part).includes(buffer)), []);
  assertEquals(recordsOf(part), recordsOf(batch));
});

Deno.test("a null and an empty key or value stay different", () => {
  const empty = new Uint8Array(0);
  const batch = batchOf([{ key: null, value: empty }, { key: empty, value: null }]);
  const part = splitByShard([{ batch, start: 0, end: 2 }], 1)[0]!;
  assertEquals(recordsOf(part).map(({ key, value }) => [key, value]), [[null, empty], [empty, null]]);
});

Deno.test("slices of several batches are one part, in their order", () => {
  const encoder = new TextEncoder();
  const batches = [["a", "b"], ["c"], ["d", "e", "f"]].map((texts, i) =>
    recordBatchOf(
      5,
      10 * i,
      i,
      texts.map((text) => ({ key: encoder.encode(text), value: encoder.encode(`${text}!`) })),
    )
  );
  const slices = batches.map((batch, i) => ({ batch, start: i === 2 ? 1 : 0, end: batch.count }));
  const found = splitByShard(slices, 3).flatMap((part) => part === null ? [] : recordsOf(part));
  const wanted = [...recordsOf(batches[0]!), ...recordsOf(batches[1]!), ...recordsOf(batches[2]!).slice(1)];
  assertEquals(found.sort((a, b) => a.offset - b.offset), wanted);
});
