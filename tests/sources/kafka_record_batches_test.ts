/** Decoding against kafkajs's encoder, which shares nothing with the decoder. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { CompressionTypes } from "kafkajs";
import encodeRecord from "kafkajs/src/protocol/recordBatch/record/v0/index.js";
import { RecordBatch as encodeBatch } from "kafkajs/src/protocol/recordBatch/v0/index.js";
import { SourceError } from "../../schema/errors.ts";
import { loadCodecs } from "../../sources/kafka_codecs.ts";
import { decodeFetchedRecords, type DecodeOptions, fetchedUpTo } from "../../sources/kafka_record_batches.ts";
import { keyAt, valueAt } from "../../sources/source.ts";

interface GivenRecord {
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  /** Offsets that are missing before it. */
  readonly gap: number;
  readonly delay: number;
  readonly headers: Record<string, string>;
}

interface GivenBatch {
  readonly records: readonly GivenRecord[];
  /** Offsets that are missing at the batch's end. */
  readonly gap: number;
  readonly gzip: boolean;
}

const FIRST_TIMESTAMP = 1_700_000_000_000;
const codecs = await loadCodecs();
const field = fc.option(fc.uint8Array({ maxLength: 30 }), { nil: null });
const records = fc.array(
  fc.record({
    key: field,
    value: field,
    gap: fc.nat(3),
    delay: fc.integer({ min: -(2 ** 40), max: 2 ** 40 }),
    headers: fc.dictionary(fc.stringMatching(/^[a-z]{1,5}$/), fc.string({ maxLength: 5 }), { maxKeys: 2 }),
  }),
  { maxLength: 12 },
);
const batches = fc.array(fc.record({ records, gap: fc.nat(3), gzip: fc.boolean() }), { maxLength: 6 });

const options = (position: number, chunkBytes = 1_000_000): DecodeOptions => ({
  topic: "clicks",
  partition: 3,
  position,
  codecs,
  chunkBytes,
});

/** A record batch as a broker stores it. */
async function encode(
  { records, gap, gzip }: GivenBatch,
  firstOffset: number,
  attributes: { transactional?: boolean; producerId?: number } = {},
): Promise<{ bytes: Uint8Array; offsets: number[]; next: number }> {
  const offsets: number[] = [];
  let next = firstOffset;
  for (const { gap } of records) offsets.push((next += gap + 1) - 1);
  next += gap;
  if (next === firstOffset) next++; // also a batch that compaction emptied has an offset
  const buffer = (bytes: Uint8Array | null) => bytes && Buffer.from(bytes);
  const { buffer: bytes } = await encodeBatch({
    compression: gzip ? CompressionTypes.GZIP : CompressionTypes.None,
    firstOffset,
    firstTimestamp: FIRST_TIMESTAMP,
    maxTimestamp: FIRST_TIMESTAMP,
    lastOffsetDelta: next - 1 - firstOffset,
    ...attributes,
    records: records.map(({ key, value, delay, headers }, i) =>
      encodeRecord({
        offsetDelta: offsets[i]! - firstOffset,
        timestampDelta: delay,
        key: buffer(key),
        value: buffer(value),
        headers,
      })
    ),
  });
  return { bytes: new Uint8Array(bytes), offsets, next };
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

Deno.test("what another encoder wrote comes back, from any position, in chunks of any size, whatever is cut off at the end", async () => {
  await fc.assert(
    fc.asyncProperty(
      batches,
      fc.nat(60),
      fc.nat(200),
      fc.nat(80),
      async (given, position, chunkBytes, cut) => {
        const parts: Uint8Array[] = [];
        const expected: unknown[] = [];
        let next = 0;
        for (const batch of given) {
          const encoded = await encode(batch, next);
          parts.push(encoded.bytes);
          batch.records.forEach(({ key, value, delay }, i) => {
            const offset = encoded.offsets[i]!;
            if (offset >= position) expected.push([offset, FIRST_TIMESTAMP + delay, key, value]);
          });
          next = encoded.next;
        }
        const cutOff = (await encode({ records: [], gap: 4, gzip: false }, next)).bytes;
        parts.push(cutOff.subarray(0, Math.min(cut, cutOff.length - 1)));
        const decoded = decodeFetchedRecords(
          { bytes: join(parts), aborted: [] },
          options(position, chunkBytes),
        );
        const found = decoded.batches.flatMap((batch) =>
          Array.from({ length: batch.count }, (_, i) => {
            const [key, value] = [keyAt(batch, i), valueAt(batch, i)];
            return [batch.offsets[i]!, batch.timestamps[i]!, key && key.slice(), value && value.slice()];
          })
        );
        assertEquals(found, expected);
        assertEquals(decoded.nextOffset, Math.max(position, next));
        assertEquals(fetchedUpTo(join(parts), position), decoded.nextOffset);
        assertEquals(decoded.batches.at(-1)?.nextOffset ?? position, decoded.nextOffset);
        for (const { partition } of decoded.batches) assertEquals(partition, 3);
      },
    ),
    { numRuns: 300 },
  );
});

const one = (value: string): GivenBatch => ({
  records: [{ key: null, value: new TextEncoder().encode(value), gap: 0, delay: 0, headers: {} }],
  gap: 0,
  gzip: false,
});

Deno.test("records of an aborted transaction are left out, those of the same producer before and after it are not", async () => {
  const sent = ["before", "aborted", "other", "after"];
  const producers = [7, 7, 8, 7];
  const parts: Uint8Array[] = [];
  for (const [offset, value] of sent.entries()) {
    // The producer's abort marker stands at offset 3, before its next transaction.
    if (offset === 3) parts.push(await controlBatch(3, 7));
    const at = offset < 3 ? offset : 4;
    parts.push((await encode(one(value), at, { transactional: true, producerId: producers[offset]! })).bytes);
  }
  const aborted = [{ producerId: 7n, firstOffset: 1 }];
  const { batches, nextOffset } = decodeFetchedRecords({ bytes: join(parts), aborted }, options(0));
  const values = batches.flatMap((batch) =>
    Array.from({ length: batch.count }, (_, i) => new TextDecoder().decode(valueAt(batch, i)!))
  );
  assertEquals([values, nextOffset], [["before", "other", "after"], 5]);
});

/** An abort marker: a control batch with a key of version 0 and type 0. */
async function controlBatch(offset: number, producerId: number): Promise<Uint8Array> {
  const marker = { ...one("").records[0]!, key: Uint8Array.of(0, 0, 0, 0) };
  const { bytes } = await encode({ records: [marker], gap: 0, gzip: false }, offset, {
    transactional: true,
    producerId,
  });
  return withAttributes(bytes, (attributes) => attributes | 0x20);
}

/** Changes the attributes and sets the checksum right again. */
async function withAttributes(
  bytes: Uint8Array,
  change: (attributes: number) => number,
): Promise<Uint8Array> {
  const { default: crc32c } = await import("kafkajs/src/protocol/recordBatch/crc32C/index.js");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  view.setInt16(21, change(view.getInt16(21)));
  view.setUint32(17, crc32c(bytes.subarray(21)));
  return bytes;
}

Deno.test("a batch stamped by the broker gives all its records the time of the append", async () => {
  const batch = { ...one("v"), records: [{ ...one("v").records[0]!, delay: -5_000 }] };
  const bytes = await withAttributes((await encode(batch, 0)).bytes, (attributes) => attributes | 0x08);
  const decoded = decodeFetchedRecords({ bytes, aborted: [] }, options(0));
  assertEquals([...decoded.batches[0]!.timestamps], [FIRST_TIMESTAMP]);
});

Deno.test("any damaged byte of a batch's records is refused, and so is a format that is not known", async () => {
  const { bytes } = await encode(one("what was sent"), 40);
  const refusal = (damaged: Uint8Array) =>
    (assertThrows(
      () => decodeFetchedRecords({ bytes: damaged, aborted: [] }, options(40)),
      SourceError,
    ) as Error)
      .message;
  for (let at = 21; at < bytes.length; at++) {
    const damaged = bytes.slice();
    damaged[at]! ^= 1;
    assert(
      refusal(damaged).includes("partition 3 of topic 'clicks' at offset 40: the record batch's checksum"),
    );
  }
  const unknown = bytes.slice();
  unknown[16] = 3;
  assert(refusal(unknown).includes("format 3"));
});

Deno.test("what comes before a message of an old format is read, and that and what follows is for the next fetch", async () => {
  const [first, second] = [await encode(one("first"), 7), await encode(one("second"), 8)];
  const old = second.bytes.slice();
  old[16] = 1;
  const bytes = join([first.bytes, old]);
  assertEquals(fetchedUpTo(bytes, 7), 8);
  const { batches, nextOffset } = decodeFetchedRecords({ bytes, aborted: [] }, options(7));
  assertEquals([batches.length, nextOffset], [1, 8]);
});
