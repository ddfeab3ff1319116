import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  decodeStoredBatch,
  encodeStoredBatch,
  recordBatchOf,
  sliceRecordBatch,
} from "../../sources/record_batch.ts";
import { keyAt, type ProducedRecord, type RecordBatch, valueAt } from "../../sources/source.ts";

const field = fc.option(fc.uint8Array({ maxLength: 40 }), { nil: null });
const records: fc.Arbitrary<ProducedRecord[]> = fc.array(
  fc.record({ key: field, value: field }, { noNullPrototype: true }),
  {
    minLength: 1,
    maxLength: 20,
  },
);

const recordsOf = (batch: RecordBatch): ProducedRecord[] =>
  Array.from({ length: batch.count }, (_, i) => {
    const [key, value] = [keyAt(batch, i), valueAt(batch, i)];
    return { key: key && key.slice(), value: value && value.slice() };
  });

Deno.test("a batch holds the records it was built from, with contiguous offsets and one timestamp", () => {
  fc.assert(fc.property(records, (given) => {
    const batch = recordBatchOf(3, 1000, 1.7e12, given);
    assertEquals(recordsOf(batch), given);
    assertEquals([...batch.offsets], given.map((_, i) => 1000 + i));
    assertEquals([...batch.timestamps], given.map(() => 1.7e12));
    assertEquals(batch.nextOffset, 1000 + given.length);
  }));
});

Deno.test("decoding a stored batch gives the batch and its headers back", () => {
  fc.assert(
    fc.property(records, fc.maxSafeNat(), fc.dictionary(fc.string(), fc.string()), (given, base, header) => {
      const batch = recordBatchOf(7, base % 2 ** 52, 1.7e12, given);
      const headers = given.map((_, i) => i % 2 ? null : { ...header, reason: "late" });
      assertEquals(decodeStoredBatch(encodeStoredBatch(batch)), { batch, headers: null });
      assertEquals(decodeStoredBatch(encodeStoredBatch(batch, headers)), { batch, headers });
    }),
  );
});

Deno.test("a stored batch with any one byte changed, cut off or lengthened is recognized as damaged", () => {
  const stored = encodeStoredBatch(
    recordBatchOf(1, 5, 9, [
      { key: new Uint8Array([1]), value: new Uint8Array([2, 3]) },
      { key: null, value: null },
    ]),
    [{ a: "b" }, null],
  );
  for (let at = 0; at < stored.length; at++) {
    const changed = stored.slice();
    changed[at]! ^= 0x40;
    assertEquals(decodeStoredBatch(changed), null, `byte ${at}`);
    assertEquals(decodeStoredBatch(stored.subarray(0, at)), null, `length ${at}`);
  }
  assertEquals(decodeStoredBatch(new Uint8Array([...stored, 0])), null);
});

Deno.test("a slice has the records of its range, in buffers of its own", () => {
  fc.assert(fc.property(records, fc.nat(), fc.nat(), (given, a, b) => {
    const from = a % given.length;
    const to = from + 1 + b % (given.length - from);
    const batch = recordBatchOf(0, 50, 1, given);
    const slice = sliceRecordBatch(batch, from, to);
    assertEquals(slice, recordBatchOf(0, 50 + from, 1, given.slice(from, to)));
    assertEquals(slice.values.buffer === batch.values.buffer, false);
  }));
});
