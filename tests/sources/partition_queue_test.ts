import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { PartitionQueue } from "../../sources/partition_queue.ts";
import { recordBatchOf, recordBytes } from "../../sources/record_batch.ts";
import type { RecordBatch } from "../../sources/source.ts";

/** Batches of records with these value sizes, at contiguous offsets; an empty list is a batch that only moves on. */
function batchesOf(sizes: readonly (readonly number[])[]): RecordBatch[] {
  let offset = 0;
  return sizes.map((batch) => {
    const made = recordBatchOf(
      0,
      offset,
      0,
      batch.map((size) => ({ key: null, value: new Uint8Array(size) })),
    );
    offset += Math.max(1, batch.length);
    return { ...made, nextOffset: offset };
  });
}

const sizes = fc.array(fc.array(fc.nat(50), { maxLength: 8 }), { maxLength: 8 });

Deno.test("a queue gives its records in order, once, each take within its bounds or with one record", () => {
  const bound = fc.integer({ min: 1, max: 120 });
  fc.assert(fc.property(sizes, bound, bound, (given, share, more) => {
    const queue = new PartitionQueue();
    const batches = batchesOf(given);
    queue.push(batches);
    const total = given.flat().reduce((sum, size) => sum + size, 0);
    assertEquals(queue.bytes, total);
    const most = share + more;
    const taken: number[] = [];
    let position = 0;
    while (!queue.isEmpty) {
      const before = queue.bytes;
      const { batches: part, bytes, records } = queue.take(share, most, Infinity);
      assert(part.length > 0, "something comes");
      assertEquals(bytes, before - queue.bytes);
      assert(bytes <= most || records === 1, `${bytes} bytes in ${records} records`);
      const withRecords = part.filter(({ count }) => count > 0);
      assert(bytes <= share || withRecords.length === 1, `${bytes} bytes in ${withRecords.length} batches`);
      assertEquals(part.reduce((sum, { count }) => sum + count, 0), records);
      for (const batch of part) {
        for (let i = 0; i < batch.count; i++) taken.push(recordBytes(batch, i));
        assert(batch.nextOffset > position);
        position = batch.nextOffset;
      }
    }
    assertEquals(taken, given.flat());
    assertEquals([queue.bytes, position], [0, batches.at(-1)?.nextOffset ?? 0]);
  }));
});

Deno.test("a batch that fits is given as it is, one that does not is cut", () => {
  const queue = new PartitionQueue();
  const [first, second] = batchesOf([[10, 10], [10, 10, 10]]) as [RecordBatch, RecordBatch];
  queue.push([first, second]);
  const whole = queue.take(12, 25, 25);
  assert(whole.batches[0] === first && whole.batches.length === 1);
  assertEquals(queue.take(22, 25, 25).records, 2);
  assertEquals(queue.take(22, 25, 25).records, 1);
});

Deno.test("a first record beyond its bound stays, and a cleared queue has nothing", () => {
  const queue = new PartitionQueue();
  queue.push(batchesOf([[30, 10]]));
  assertEquals(queue.take(20, 20, 29), { batches: [], bytes: 0, records: 0 });
  assertEquals(queue.take(20, 20, 30).bytes, 30);
  assertEquals(queue.bytes, 10);
  queue.clear();
  assertEquals([queue.isEmpty, queue.bytes], [true, 0]);
  assertEquals(queue.take(100, 100, 100).batches, []);
});
