/** What every source must do, run over the embedded log and over Kafka. */
import { assert, assertEquals, assertLessOrEqual, assertMatch, assertRejects } from "@std/assert";
import { SourceError } from "../../schema/errors.ts";
import type { ProducedRecord, Producer, RecordPosition, Source } from "../../sources/source.ts";
import { keyFor, record, textsOf } from "./log_support.ts";

/** A topic of three partitions, empty, with its reader and its producer. */
export interface SourceWorld extends AsyncDisposable {
  readonly source: Source;
  readonly producer: Producer;
  /** Removes the records below `offset`, where a send began, as retention would. */
  removeBefore(partition: number, offset: number): Promise<void>;
}

export const PARTITIONS = 3;
const KEYS = [0, 1, 2].map((partition) => keyFor(partition, PARTITIONS));
/** Longer than anything takes; a poll returns as soon as it can. */
const WAIT_MS = 10_000;
/** Polls after which a test fails instead of going on for ever. */
const POLLS_MAX = 10_000;

type Texts = [key: string | null, value: string | null];

/** What the first poll says that the reader was given. */
async function firstAssigned(source: Source): Promise<readonly number[]> {
  const { assigned, revoked } = await source.poll(1, WAIT_MS);
  assertEquals(revoked, []);
  return assigned;
}

/** Polls until every active partition is at its end; `partition:offset` → key and value. */
async function readToEnd(source: Source, active: number, maxBytes = 100_000): Promise<Map<string, Texts>> {
  const read = new Map<string, Texts>();
  for (let polls = 0;; polls++) {
    assert(polls < POLLS_MAX, `read ${read.size} records, and the end never came`);
    const { batches, atEnd } = await source.poll(maxBytes, 100);
    for (const batch of batches) {
      textsOf(batch).forEach((texts, i) => {
        const place = `${batch.partition}:${batch.offsets[i]}`;
        assert(!read.has(place), `${place} came twice`);
        read.set(place, texts);
      });
    }
    if (batches.length === 0 && atEnd.length === active) return read;
  }
}

async function seekAll(source: Source): Promise<void> {
  for (let partition = 0; partition < PARTITIONS; partition++) await source.seek(partition, 0);
}

function byPlace(records: readonly Texts[], positions: readonly RecordPosition[]): Map<string, Texts> {
  return new Map(records.map((texts, i) => [`${positions[i]!.partition}:${positions[i]!.offset}`, texts]));
}

function assertSameRecords(actual: Map<string, Texts>, expected: Map<string, Texts>): void {
  assertEquals([...actual].sort(), [...expected].sort());
}

const recordsOf = (texts: readonly Texts[]): ProducedRecord[] =>
  texts.map(([key, value]) => record(key, value));
const numbered = (count: number, key: string): Texts[] =>
  Array.from({ length: count }, (_, i) => [key, `${i}`]);

/** Registers the contract's tests for the source that `make` makes. */
export function sourceContract(name: string, make: () => Promise<SourceWorld>): void {
  const test = (sentence: string, run: (world: SourceWorld) => Promise<void>) =>
    Deno.test(`${name}: ${sentence}`, async () => {
      await using world = await make();
      assertEquals([...await firstAssigned(world.source)].sort(), [0, 1, 2]);
      await run(world);
    });

  test("what was produced comes back where it landed, keys, values, nulls and empties alike", async (world) => {
    const { source, producer } = world;
    const sends: Texts[][] = Array.from(
      { length: 5 },
      (_, send) =>
        Array.from({ length: 40 }, (_, i): Texts => [
          i % 7 === 0 ? null : i % 11 === 0 ? "" : `key ${i % 13}`,
          i % 5 === 0 ? null : i % 6 === 0 ? "" : `${send}: ${i} ${"é".repeat(i)}`,
        ]),
    );
    const expected = new Map<string, Texts>();
    const next = new Array<number>(PARTITIONS).fill(0);
    for (const texts of sends) {
      const positions = await producer.send(recordsOf(texts));
      for (const { partition, offset } of positions) assertEquals(offset, next[partition]!++);
      for (const [place, text] of byPlace(texts, positions)) expected.set(place, text);
    }
    await seekAll(source);
    assertSameRecords(await readToEnd(source, PARTITIONS), expected);
    assertEquals(
      await source.ranges(),
      next.map((end, partition) => ({ partition, start: 0, end })),
    );
  });

  test("a partition's records come in the order of their offsets, through polls of any size", async (world) => {
    const { source, producer } = world;
    await producer.send(recordsOf(numbered(300, KEYS[1]!)));
    await source.seek(1, 0);
    const values: (string | null)[] = [];
    let position = 0;
    for (let maxBytes = 1; values.length < 300; maxBytes = maxBytes * 3 % 1000) {
      for (const batch of (await source.poll(maxBytes, WAIT_MS)).batches) {
        assertEquals([...batch.offsets], Array.from({ length: batch.count }, (_, i) => position + i));
        position = batch.nextOffset;
        values.push(...textsOf(batch).map(([, value]) => value));
      }
    }
    assertEquals(values, Array.from({ length: 300 }, (_, i) => `${i}`));
  });

  test("seeking drops what was fetched and goes on exactly there, forward and back", async (world) => {
    const { source, producer } = world;
    await producer.send(recordsOf(numbered(200, KEYS[0]!)));
    await source.seek(0, 0);
    for (const start of [150, 20, 0, 77, 199]) {
      assertEquals((await source.poll(30, WAIT_MS)).batches.length > 0, true);
      await source.seek(0, start);
      const { batches } = await source.poll(30, WAIT_MS);
      assertEquals(batches[0]!.offsets[0], start);
      assertEquals(textsOf(batches[0]!)[0], [KEYS[0]!, `${start}`]);
    }
  });

  test("a paused partition brings nothing and is not at its end; resumed, it goes on without loss", async (world) => {
    const { source, producer } = world;
    await producer.send(recordsOf([...numbered(50, KEYS[0]!), ...numbered(50, KEYS[1]!)]));
    await seekAll(source);
    source.pause(0);
    const others = await readToEnd(source, PARTITIONS - 1);
    assertEquals(others.size, 50);
    assert([...others.keys()].every((place) => place.startsWith("1:")));
    source.resume(0);
    const rest = await readToEnd(source, PARTITIONS, 60);
    assertEquals([...rest.keys()].sort(), Array.from({ length: 50 }, (_, i) => `0:${i}`).sort());
  });

  test("a partition is at its end when all of it was read, and again after what is added later", async (world) => {
    const { source, producer } = world;
    await source.seek(2, 0);
    assertEquals((await readToEnd(source, 1)).size, 0);
    for (let round = 0; round < 3; round++) {
      await producer.send(recordsOf(numbered(10, KEYS[2]!)));
      let count = 0;
      while (count < 10) {
        const { batches, atEnd } = await source.poll(20, WAIT_MS);
        for (const batch of batches) count += batch.count;
        if (atEnd.length > 0) assertEquals([count, atEnd], [10, [2]]);
      }
      assertEquals((await readToEnd(source, 1)).size, 0);
    }
  });

  test("recordAt gives one record, or null where there is none, and moves no position", async (world) => {
    const { source, producer } = world;
    await producer.send(recordsOf(numbered(100, KEYS[1]!)));
    await source.seek(1, 0);
    const first = await source.poll(10, WAIT_MS);
    const read = first.batches.reduce((sum, { count }) => sum + count, 0);
    for (const offset of [0, 57, 99]) {
      const found = await source.recordAt(1, offset);
      assertEquals(found && [...found.offsets], [offset]);
      assertEquals(found && textsOf(found), [[KEYS[1]!, `${offset}`]]);
    }
    assertEquals(await source.recordAt(1, 100), null);
    assertEquals(await source.recordAt(0, 0), null);
    assertEquals((await readToEnd(source, 1)).size, 100 - read);
  });

  test("a seek below the start or beyond the end is refused with both numbers, and nothing is reset", async (world) => {
    const { source, producer } = world;
    await producer.send(recordsOf(numbered(5, KEYS[0]!)));
    const beyond = await assertRejects(() => source.seek(0, 6), SourceError, "at offset 6, but the log");
    assertMatch((beyond as SourceError).message, /ends at 5\b/);
    await producer.send(recordsOf(numbered(5, KEYS[0]!)));
    await world.removeBefore(0, 5);
    assertEquals((await source.ranges())[0], { partition: 0, start: 5, end: 10 });
    const below = await assertRejects(() => source.seek(0, 4), SourceError, "at offset 4, but the log");
    assertMatch((below as SourceError).message, /begins at 5\b/);
    assertEquals(await source.recordAt(0, 4), null);
    await source.seek(0, 5);
    assertEquals((await readToEnd(source, 1)).size, 5);
  });

  test("a position that retention overtakes stops the reader with both numbers", async (world) => {
    const { source, producer } = world;
    await producer.send(recordsOf(numbered(5, KEYS[0]!)));
    await source.seek(0, 5);
    assertEquals((await readToEnd(source, 1)).size, 0);
    source.pause(0);
    await source.poll(1_000, 500); // what was asked for before the pause has come by now
    for (let i = 0; i < 2; i++) await producer.send(recordsOf(numbered(5, KEYS[0]!)));
    await world.removeBefore(0, 10);
    await source.seek(1, 0); // something is still read
    source.resume(0);
    await assertRejects(
      async () => {
        // What was fetched before it was removed may still come, what follows must not.
        for (let reads = 0; reads < 100; reads++) {
          for (const { offsets } of (await source.poll(1_000, 100)).batches) {
            assert(offsets[0]! < 10, `jumped to ${offsets[0]}`);
          }
        }
      },
      SourceError,
      "retention removed",
    );
  });

  test("a poll is bounded in bytes, and a record larger than the bound comes alone", async (world) => {
    const { source, producer } = world;
    const sizes = [10, 900_000, 10, 300_000, 10, 10];
    await producer.send(recordsOf(sizes.map((size, i) => [KEYS[2]!, noise(size, i)])));
    await source.seek(2, 0);
    const seen: number[][] = [];
    while (seen.flat().length < sizes.length) {
      const { batches } = await source.poll(2_000, WAIT_MS);
      seen.push(batches.flatMap((batch) => textsOf(batch).map(([, value]) => value!.length)));
    }
    assertEquals(seen.flat(), sizes);
    for (const poll of seen) if (poll.length > 1) assertLessOrEqual(poll.reduce((a, b) => a + b), 2_000);
  });

  test("no partition starves while another one has much", async (world) => {
    const { source, producer } = world;
    await producer.send(recordsOf([0, 1, 2].flatMap((i) => numbered(400, KEYS[i]!))));
    await seekAll(source);
    const counts = [0, 0, 0];
    for (let polls = 0; Math.min(...counts) < 100; polls++) {
      assert(polls < 1_000, `read ${counts}`);
      for (const { partition, count } of (await source.poll(100, WAIT_MS)).batches) {
        counts[partition]! += count;
      }
    }
    assertLessOrEqual(Math.max(...counts), 400);
  });

  test("committed offsets are for lag tools: reading does not look at them", async (world) => {
    const { source, producer } = world;
    await producer.send(recordsOf(numbered(40, KEYS[1]!)));
    await source.seek(1, 0);
    const { batches } = await source.poll(30, WAIT_MS);
    const read = batches.reduce((sum, { count }) => sum + count, 0);
    await source.commitOffsets(new Map([[1, 3]]));
    const rest = await readToEnd(source, 1);
    assertEquals(rest.size, 40 - read);
    assertEquals([...rest.keys()][0], `1:${read}`);
  });

  test("closing ends a poll that waits, and closing again does no harm", async (world) => {
    await world.source.seek(0, 0);
    const poll = world.source.poll(1_000, 600_000);
    await world.source.close();
    assertEquals(await poll, { batches: [], atEnd: [], revoked: [], assigned: [] });
    await world.source.close();
  });
}

/** Printable text that does not compress well. */
function noise(length: number, seed: number): string {
  let state = seed + 1;
  return Array.from({ length }, () => {
    state = Math.imul(state, 1_103_515_245) + 12_345 & 0x7fffffff;
    return String.fromCharCode(33 + (state >> 16) % 90);
  }).join("");
}
