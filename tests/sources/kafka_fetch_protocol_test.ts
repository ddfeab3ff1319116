/** Fetch against kafkajs's own encoders and decoders of each version, which share nothing with ours. */
import { assertEquals, assertThrows } from "@std/assert";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import fetchProtocol from "kafkajs/src/protocol/requests/fetch/index.js";
import { fetchVersion } from "../../sources/kafka_fetch.ts";
import {
  decodeFetchResponse,
  encodeFetchRequest,
  FETCH_API_KEY,
  type FetchedPartition,
  type FetchRequest,
} from "../../sources/kafka_fetch_protocol.ts";
import { SourceError } from "../../schema/errors.ts";
import { encodeAnswer, type ProtocolWriter } from "../support/kafka_answers.ts";

const VERSIONS = [4, 5, 6, 7, 8, 9, 10, 11];

/** kafkajs's protocol of a version. */
function kafkajsFetch(version: number, request: object) {
  const { protocol } = fetchProtocol as {
    protocol: (options: { version: number }) => (request: object) => {
      request: { encode: () => Promise<ProtocolWriter> };
      response: { decode: (body: Buffer) => Promise<unknown> };
    };
  };
  return protocol({ version })(request);
}

const request = fc.record({
  topic: fc.string({ unit: "binary", minLength: 1, maxLength: 20 }).filter((topic) => topic.isWellFormed()),
  partitions: fc.uniqueArray(
    fc.record({ partition: fc.nat(10_000), offset: fc.maxSafeNat() }),
    { maxLength: 8, selector: ({ partition }) => partition },
  ),
  maxWaitMs: fc.nat(10_000),
  maxBytes: fc.nat(),
  partitionBytes: fc.nat(),
});

Deno.test("a request is what kafkajs would send, in each version", async () => {
  await fc.assert(
    fc.asyncProperty(request, fc.constantFrom(...VERSIONS), async (given: FetchRequest, version) => {
      const { maxWaitMs, maxBytes, partitionBytes, topic, partitions } = given;
      const theirs = kafkajsFetch(version, {
        maxWaitTime: maxWaitMs,
        minBytes: 1,
        maxBytes,
        topics: [{
          topic,
          partitions: partitions.map(({ partition, offset }) => ({
            partition,
            fetchOffset: String(offset),
            maxBytes: partitionBytes,
          })),
        }],
      });
      const { buffer } = await theirs.request.encode();
      assertEquals([...encodeFetchRequest(version, given)], [...buffer]);
    }),
  );
});

const answer = fc.record({
  throttleMs: fc.nat(10_000),
  errorCode: fc.integer({ min: -1, max: 100 }),
  partitions: fc.array(
    fc.record({
      partition: fc.nat(10_000),
      errorCode: fc.integer({ min: -1, max: 100 }),
      highWatermark: fc.integer({ min: -1, max: 2 ** 31 - 1 }),
      lastStable: fc.integer({ min: -1, max: 2 ** 31 - 1 }),
      aborted: fc.option(
        fc.array(fc.record({ producerId: fc.nat(), firstOffset: fc.nat() }), { maxLength: 3 }),
      ),
      bytes: fc.option(fc.uint8Array({ maxLength: 40 })),
    }),
    { maxLength: 5 },
  ),
});

Deno.test("an answer comes back field by field, in each version, and one that is cut off is refused", () => {
  fc.assert(fc.property(answer, fc.constantFrom(...VERSIONS), fc.nat(), (given, version, cut) => {
    const body = encodeAnswer(version, given);
    const expected = given.partitions.map((one): FetchedPartition => ({
      partition: one.partition,
      errorCode: one.errorCode,
      end: one.lastStable < 0 ? one.highWatermark : Math.min(one.highWatermark, one.lastStable),
      aborted: (one.aborted ?? []).map(({ producerId, firstOffset }) => ({
        producerId: BigInt(producerId),
        firstOffset,
      })),
      bytes: one.bytes ?? new Uint8Array(0),
    }));
    const decoded = decodeFetchResponse(version, body);
    assertEquals(
      [decoded.throttleMs, decoded.errorCode],
      [given.throttleMs, version >= 7 ? given.errorCode : 0],
    );
    assertEquals(decoded.partitions.map((one) => ({ ...one, bytes: one.bytes.slice() })), expected);
    assertThrows(() => decodeFetchResponse(version, body.subarray(0, cut % body.length)), RangeError);
  }));
});

Deno.test("what an answer without records says agrees with kafkajs's decoder", async () => {
  for (const version of VERSIONS) {
    const partition = { partition: 3, errorCode: 6, highWatermark: 90, lastStable: 80, bytes: null };
    const aborted = [{ producerId: 7, firstOffset: 70 }];
    const body = encodeAnswer(version, {
      throttleMs: 12,
      errorCode: 0,
      partitions: [{ ...partition, aborted }],
    });
    const theirs = await kafkajsFetch(version, { maxWaitTime: 1, topics: [] }).response.decode(
      Buffer.from(body),
    ) as {
      responses: { partitions: { partition: number; errorCode: number; lastStableOffset: string }[] }[];
    };
    const [ours] = decodeFetchResponse(version, body).partitions;
    const [one] = theirs.responses[0]!.partitions;
    assertEquals(
      [ours!.partition, ours!.errorCode, ours!.end],
      [one!.partition, one!.errorCode, Number(one!.lastStableOffset)],
    );
  }
});

Deno.test("the version is the newest that both sides know, and without one the brokers' are named", () => {
  const broker = (minVersion: number, maxVersion: number) => ({
    versions: { [FETCH_API_KEY]: { minVersion, maxVersion } },
  });
  assertEquals(fetchVersion(broker(0, 4)), 4);
  assertEquals(fetchVersion(broker(0, 9)), 9);
  assertEquals(fetchVersion(broker(4, 17)), 11);
  assertThrows(() => fetchVersion(broker(0, 3)), SourceError, "knows 0 to 3");
  assertThrows(() => fetchVersion(broker(12, 20)), SourceError, "knows 12 to 20");
  assertThrows(() => fetchVersion({ versions: {} }), SourceError);
});
