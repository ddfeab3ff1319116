/** Message formats 0 and 1, as kafkajs's encoder writes them. */
import { assert, assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { CompressionTypes } from "kafkajs";
import encodeMessageSet from "kafkajs/src/protocol/messageSet/index.js";
import { loadCodecs } from "../../sources/kafka_codecs.ts";
import { decodeOldMessages, holdsOldMessages } from "../../sources/kafka_old_messages.ts";
import { fetchedUpTo } from "../../sources/kafka_record_batches.ts";
import { textsOf } from "./log_support.ts";

interface Entry {
  readonly key: string | null;
  readonly value: string | null;
  readonly timestamp?: number;
  readonly compression?: number;
}

const codecs = await loadCodecs();
const options = (position: number) => ({ topic: "clicks", partition: 2, position, codecs, chunkBytes: 1 });

/** A message set with the offsets from `first` on, which a broker writes in. */
function encode(
  messageVersion: 0 | 1,
  first: number,
  entries: readonly (Entry | { value: Buffer; compression: number })[],
) {
  const { buffer } = (encodeMessageSet as (set: object) => { buffer: Buffer })({
    messageVersion,
    compression: CompressionTypes.None,
    entries,
  });
  const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
  for (let at = 0, offset = first; at < buffer.length; at += 12 + view.getInt32(at + 8)) {
    view.setBigInt64(at, BigInt(offset++));
  }
  return new Uint8Array(buffer);
}

const entries: Entry[] = [
  { key: "a", value: "one", timestamp: 1_000 },
  { key: null, value: "two", timestamp: 2_000 },
  { key: "c", value: null, timestamp: 3_000 },
];

for (const version of [0, 1] as const) {
  Deno.test(`messages of format ${version} are read from the position on, up to one that is cut off`, async () => {
    const whole = encode(version, 40, entries);
    const cutOff = encode(version, 43, entries).subarray(0, 20);
    const bytes = new Uint8Array([...whole, ...cutOff]);
    assert(holdsOldMessages({ bytes, aborted: [] }));
    assertEquals(fetchedUpTo(bytes, 41), 43);
    const { batches, nextOffset } = await decodeOldMessages({ bytes, aborted: [] }, options(41));
    assertEquals(nextOffset, 43);
    assertEquals(batches.length, 1);
    assertEquals(textsOf(batches[0]!), [[null, "two"], ["c", null]]);
    assertEquals([...batches[0]!.offsets], [41, 42]);
    assertEquals([...batches[0]!.timestamps], version === 0 ? [-1, -1] : [2_000, 3_000]);
    assertEquals([batches[0]!.partition, batches[0]!.nextOffset], [2, 43]);
    const beyond = await decodeOldMessages({ bytes, aborted: [] }, options(50));
    assertEquals(beyond, { batches: [], nextOffset: 50 });
  });
}

Deno.test("a compressed message of format 1 gives the messages in it, with their own offsets", async () => {
  const inner = encode(1, 0, entries);
  const { gzipSync } = await import("node:zlib");
  const bytes = encode(1, 42, [
    { key: null, value: gzipSync(inner), compression: CompressionTypes.GZIP } as never,
  ]);
  // The encoder knows no compressed messages: the codec goes into the attributes, which no one checks here.
  bytes[17] = CompressionTypes.GZIP;
  assertEquals(fetchedUpTo(bytes, 40), 43);
  const { batches, nextOffset } = await decodeOldMessages({ bytes, aborted: [] }, options(41));
  assertEquals(nextOffset, 43);
  assertEquals([...batches[0]!.offsets], [41, 42]);
  assertEquals(textsOf(batches[0]!), [[null, "two"], ["c", null]]);
});
