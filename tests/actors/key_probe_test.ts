import { assertRejects } from "@std/assert";
import { probeKeys } from "../../actors/key_probe.ts";
import { SourceError } from "../../schema/errors.ts";
import type { ProducedRecord } from "../../sources/source.ts";
import { FakeSource } from "../support/fake_source.ts";
import { eventBytes } from "../support/records.ts";

const encoder = new TextEncoder();

const keyed = (key: string | null): ProducedRecord => ({
  key: key === null ? null : encoder.encode(key),
  value: eventBytes(),
});
const GOOD = keyed("s1");
const BY_USER = keyed("user-7");
const BROKEN: ProducedRecord = { key: encoder.encode("any"), value: encoder.encode("not JSON") };

const times = (count: number, record: ProducedRecord) => Array.from({ length: count }, () => record);

/** Probes a topic whose partitions hold these records. */
async function probe(...partitions: readonly ProducedRecord[][]): Promise<void> {
  const source = new FakeSource(partitions.length, 1000);
  partitions.forEach((records, partition) => source.append(partition, records));
  await probeKeys(source, await source.ranges());
}

const refuses = (...partitions: readonly ProducedRecord[][]) =>
  assertRejects(() => probe(...partitions), SourceError, "KAFKA_KEY=trust");

Deno.test("a topic keyed by session id is read, and so is an empty one", async () => {
  await probe(times(50, GOOD), [], times(3, GOOD));
  await probe([], []);
});

Deno.test("a topic keyed by something else is refused, with what was found and what to do", async () => {
  await assertRejects(
    () => probe(times(12, BY_USER), [GOOD]),
    SourceError,
    "Cannot read topic 'web_clicks': a record's key must be its session_id, and of 13 events sampled 12 have " +
      "another key or none",
  );
});

Deno.test("a topic without keys is refused", async () => {
  await refuses(times(10, keyed(null)));
});

Deno.test("half of the keys being wrong is too few to refuse, one more is enough", async () => {
  await probe([...times(10, GOOD), ...times(10, BY_USER)]);
  await refuses([...times(10, GOOD), ...times(11, BY_USER)]);
});

Deno.test("fewer than ten usable events prove nothing, broken ones do not count", async () => {
  await probe(times(9, BY_USER));
  await probe([...times(9, BY_USER), ...times(50, BROKEN)]);
  await refuses([...times(10, BY_USER), ...times(50, BROKEN)]);
});

Deno.test("the newest hundred records of each partition decide", async () => {
  await probe([...times(900, BY_USER), ...times(100, GOOD)]);
  await refuses([...times(900, GOOD), ...times(100, BY_USER)]);
  await refuses(times(60, GOOD), times(100, BY_USER));
});

Deno.test("what retention has removed is not asked for", async () => {
  const source = new FakeSource(1);
  source.append(0, times(5, GOOD));
  source.trim(0, 4);
  await probeKeys(source, await source.ranges());
});
