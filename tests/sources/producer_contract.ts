/** What every producer must do, run over the embedded log and over Kafka. */
import { assert, assertEquals } from "@std/assert";
import { partitionOfKey } from "../../sources/murmur2.ts";
import { keyFor, record, textsOf } from "./log_support.ts";
import { PARTITIONS, type SourceWorld } from "./source_contract.ts";

/** Registers the contract's tests for the producer that `make` makes; its source reads what was produced. */
export function producerContract(name: string, make: () => Promise<SourceWorld>): void {
  const test = (sentence: string, run: (world: SourceWorld) => Promise<void>) =>
    Deno.test(`${name}: ${sentence}`, async () => {
      await using world = await make();
      await run(world);
    });

  test("a key's records go where Kafka's default partitioner sends it, in the order of the send", async ({ producer, source }) => {
    const keys = Array.from({ length: 50 }, (_, i) => `reader ${i}`);
    const records = Array.from({ length: 1_000 }, (_, i) => record(keys[i % 50]!, `${i}`));
    const positions = await producer.send(records);
    assertEquals(positions.length, records.length);
    const newest = new Map<number, number>();
    positions.forEach(({ partition, offset }, i) => {
      assertEquals(partition, partitionOfKey(records[i]!.key!, PARTITIONS));
      assertEquals(offset, (newest.get(partition) ?? -1) + 1);
      newest.set(partition, offset);
    });
    for (const { partition, offset } of [positions[17]!, positions[999]!]) {
      const found = await source.recordAt(partition, offset);
      const index = positions.findIndex((one) => one.partition === partition && one.offset === offset);
      assertEquals(found && textsOf(found), [[keys[index % 50]!, `${index}`]]);
    }
  });

  test("a send of many batches' size keeps its order, and overlapping sends follow one another", async ({ producer }) => {
    const key = keyFor(1, PARTITIONS);
    const many = Array.from({ length: 2_000 }, () => record(key, "x".repeat(500)));
    const sends = await Promise.all(
      [many, many, [record(key, "last")]].map((records) => producer.send(records)),
    );
    const offsets = sends.flat().map(({ partition, offset }) => {
      assertEquals(partition, 1);
      return offset;
    });
    assertEquals(offsets, Array.from({ length: 4_001 }, (_, i) => i));
  });

  test("an empty send stores nothing", async ({ producer, source }) => {
    assertEquals(await producer.send([]), []);
    assertEquals((await source.ranges()).map(({ end }) => end), [0, 0, 0]);
  });

  test("keyless records of one send go to one partition, those of the next to another", async ({ producer }) => {
    const partitions = [];
    for (let send = 0; send < 2 * PARTITIONS; send++) {
      const [one, two] = await producer.send([record(null, "1"), record(null, "2")]);
      assertEquals(one!.partition, two!.partition);
      partitions.push(one!.partition);
    }
    assertEquals(partitions.slice(0, PARTITIONS), partitions.slice(PARTITIONS));
    assertEquals(new Set(partitions).size, PARTITIONS);
    assert(partitions.every((partition) => partition < PARTITIONS));
  });
}
