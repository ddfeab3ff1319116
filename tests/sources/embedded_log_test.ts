import { assert, assertEquals, assertLessOrEqual, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { SourceError } from "../../schema/errors.ts";
import { partitionOfKey } from "../../sources/murmur2.ts";
import { keyFor, openLog, readAll, record, seekAll, textsOf, withLog } from "./log_support.ts";

Deno.test("what is produced is read back from each key's partition, in order, at contiguous offsets", async () => {
  const sends = fc.array(
    fc.array(fc.tuple(fc.option(fc.string({ maxLength: 5 })), fc.option(fc.string())), { maxLength: 20 }),
    { maxLength: 8 },
  );
  await fc.assert(
    fc.asyncProperty(sends, fc.integer({ min: 1, max: 300 }), async (batches, maxBytes) => {
      await withLog(async (log) => {
        const producer = log.producer("clicks", { partitions: 3 });
        const expected = new Map<string, [string | null, string | null]>();
        const ends = [0, 0, 0];
        for (const batch of batches) {
          const records = batch.map(([key, value]) => record(key, value));
          const positions = await producer.send(records);
          assertEquals(positions.length, batch.length);
          batch.forEach(([key, value], i) => {
            const { partition, offset } = positions[i]!;
            if (key !== null) assertEquals(partition, partitionOfKey(records[i]!.key!, 3));
            assertEquals(offset, ends[partition]!++);
            const asRead = (text: string | null) => text === null ? null : text.toWellFormed();
            expected.set(`${partition}:${offset}`, [asRead(key), asRead(value)]);
          });
        }
        const source = log.source("clicks");
        await seekAll(source);
        const read = await readAll(source, maxBytes);
        assertEquals(new Map([...read].sort()), new Map([...expected].sort()));
      });
    }),
    { numRuns: 25 },
  );
});

Deno.test("records and offsets outlive the process, and another process sees them at once", async () => {
  await withLog(async (log, _clock, path) => {
    await log.producer("clicks", { partitions: 2 }).send([record("a", "1"), record("a", "2")]);
    const other = openLog(path);
    try {
      const source = other.source("clicks");
      await seekAll(source);
      assertEquals([...(await readAll(source)).values()], [["a", "1"], ["a", "2"]]);
      await log.producer("clicks").send([record("a", "3")]);
      assertEquals([...(await readAll(source)).values()], [["a", "3"]]);
    } finally {
      other.close();
    }
  });
});

Deno.test("a timestamp is the time of the append, and a clock set back does not move it back", async () => {
  await withLog(async (log, clock) => {
    const producer = log.producer("clicks", { partitions: 1 });
    await producer.send([record("a", "1")]);
    clock.now -= 5_000;
    await producer.send([record("a", "2")]);
    clock.now += 7_000;
    await producer.send([record("a", "3")]);
    const source = log.source("clicks");
    await seekAll(source);
    const { batches } = await source.poll(1000, 0);
    const times = batches.flatMap((batch) => [...batch.timestamps]);
    assertEquals(times, [1_700_000_000_000, 1_700_000_000_000, 1_700_000_002_000]);
  });
});

Deno.test("a poll is bounded in bytes, serves every partition, and lets a record larger than the bound come alone", async () => {
  await withLog(async (log) => {
    const producer = log.producer("clicks", { partitions: 4 });
    const keys = [0, 1, 2, 3].map((partition) => keyFor(partition, 4));
    for (let i = 0; i < 50; i++) await producer.send(keys.map((key) => record(key, "x".repeat(98))));
    const source = log.source("clicks");
    await seekAll(source);
    const { batches } = await source.poll(4_000, 0);
    const byPartition = Map.groupBy(batches, ({ partition }) => partition);
    assertEquals([...byPartition.keys()].sort(), [0, 1, 2, 3]);
    let bytes = 0;
    for (const batch of batches) bytes += batch.keys.length + batch.values.length;
    assertLessOrEqual(bytes, 4_000);
    for (const own of byPartition.values()) assert(own.reduce((sum, { count }) => sum + count, 0) >= 9);

    const big = "y".repeat(10_000);
    await producer.send([record(keys[2]!, "z"), record(keys[2]!, big), record(keys[2]!, "z")]);
    await readAll(source, 50_000);
    await source.seek(2, 51);
    const alone = await source.poll(500, 0);
    assertEquals(alone.batches.flatMap(textsOf), [[keys[2]!, big]]);
  });
});

Deno.test("a partition with one record larger than what others leave is not starved", async () => {
  await withLog(async (log) => {
    const producer = log.producer("clicks", { partitions: 2 });
    await producer.send([record(keyFor(1, 2), "b".repeat(900))]);
    for (let i = 0; i < 200; i++) await producer.send([record(keyFor(0, 2), "a".repeat(100))]);
    const source = log.source("clicks");
    await seekAll(source);
    const seen: number[] = [];
    for (let i = 0; i < 2; i++) {
      seen.push(...(await source.poll(1_000, 0)).batches.map(({ partition }) => partition));
    }
    assert(seen.includes(0) && seen.includes(1), String(seen));
  });
});

Deno.test("a poll reports the partitions whose end it reached, and leaves out those paused or without a position", async () => {
  await withLog(async (log) => {
    const producer = log.producer("clicks", { partitions: 3 });
    await producer.send([record(keyFor(0, 3), "1"), record(keyFor(1, 3), "2")]);
    const source = log.source("clicks");
    await source.seek(0, 0);
    await source.seek(1, 0);
    source.pause(1);
    const first = await source.poll(1_000, 0);
    assertEquals(first.batches.map(({ partition }) => partition), [0]);
    assertEquals(first.atEnd, [0]);
    source.resume(1);
    const second = await source.poll(1_000, 0);
    assertEquals(second.batches.map(({ partition }) => partition), [1]);
    assertEquals(second.atEnd, [0, 1]);
  });
});

Deno.test("an idle poll waits as long as it was told, and returns as soon as there is something", async () => {
  let slept = 0;
  let arrive = () => Promise.resolve();
  const sleep = (ms: number) => {
    slept += ms;
    return slept >= 300 ? arrive() : Promise.resolve();
  };
  await withLog(async (log) => {
    const source = log.source("clicks", { partitions: 1 });
    await source.poll(1, 0);
    await source.seek(0, 0);
    assertEquals((await source.poll(1_000, 230)).batches.length, 0);
    assertEquals(slept, 230);
    const producer = log.producer("clicks");
    arrive = async () => {
      arrive = () => Promise.resolve();
      await producer.send([record("a", "1")]);
    };
    assertEquals((await source.poll(1_000, 60_000)).batches.length, 1);
    assertLessOrEqual(slept, 400);
  }, { sleep });
});

Deno.test("closing a source ends its poll", async () => {
  await withLog(async (log) => {
    const source = log.source("clicks", { partitions: 1 });
    await source.poll(1, 0);
    await source.seek(0, 0);
    const poll = source.poll(1_000, Infinity);
    await source.close();
    assertEquals(await poll, { batches: [], atEnd: [], revoked: [], assigned: [] });
  });
});

Deno.test("the log closes with the last of its sources and producers", async () => {
  await withLog(async (log, _clock, path) => {
    const [source, producer] = [log.source("clicks", { partitions: 1 }), log.producer("clicks")];
    await source.close();
    await source.close();
    assertEquals((await producer.send([record("a", "1")])).length, 1);
    await producer.close();
    assertEquals(log.db.isOpen, false);
    // The last connection leaves the file whole, without a write-ahead log beside it.
    assertThrows(() => Deno.statSync(`${path}-wal`), Deno.errors.NotFound);
  });
});

Deno.test("seeking below the start or beyond the end is refused with both numbers", async () => {
  await withLog(async (log, clock) => {
    const producer = log.producer("clicks", { partitions: 1 });
    for (const value of ["1", "2", "3"]) await producer.send([record("a", value)]);
    const source = log.source("clicks");
    await assertRejects(() => source.seek(0, 4), SourceError, "at offset 4, but the log");
    await assertRejects(() => source.seek(0, 4), SourceError, "ends at 3");
    await source.seek(0, 0);
    clock.now += 10_000;
    await producer.send([record("a", "4")]);
    assertEquals(log.retain("clicks", { ageMs: 5_000 }), 3);
    await assertRejects(() => source.seek(0, 2), SourceError, "begins at 3");
    await assertRejects(() => source.poll(1_000, 0), SourceError, "retention removed 3 records");
    await source.seek(0, 3);
    assertEquals([...(await readAll(source)).values()], [["a", "4"]]);
  });
});

Deno.test("retention removes whole batches from the start, by age or by bytes, and the offsets go on", async () => {
  await withLog(async (log, clock) => {
    const producer = log.producer("clicks", { partitions: 1 });
    for (let i = 0; i < 4; i++) {
      await producer.send([record("a", "v".repeat(1_000)), record("a", "w".repeat(1_000))]);
      clock.now += 1_000;
    }
    const source = log.source("clicks");
    assertEquals(log.retain("clicks", { ageMs: 3_500 }), 2);
    assertEquals(await source.ranges(), [{ partition: 0, start: 2, end: 8 }]);
    assertEquals(log.retain("clicks", { partitionBytes: 4_500 }), 2);
    assertEquals(await source.ranges(), [{ partition: 0, start: 4, end: 8 }]);
    assertEquals(log.retain("clicks", { ageMs: 0 }), 4);
    assertEquals(await source.ranges(), [{ partition: 0, start: 8, end: 8 }]);
    assertEquals(await source.recordAt(0, 7), null);
    assertEquals(await producer.send([record("a", "x")]), [{ partition: 0, offset: 8 }]);
  });
});

Deno.test("a log opened with a retention applies it as it is produced to", async () => {
  await withLog(async (log, clock) => {
    const producer = log.producer("clicks", { partitions: 1 });
    await producer.send([record("a", "1")]);
    clock.now += 120_000;
    await producer.send([record("a", "2")]);
    assertEquals(await log.source("clicks").ranges(), [{ partition: 0, start: 1, end: 2 }]);
  }, { retention: { ageMs: 100_000 } });
});

Deno.test("recordAt gives one record and moves no position; headers come back with their record", async () => {
  await withLog(async (log) => {
    const producer = log.producer("clicks.dlq", { partitions: 1 });
    const headers = { reason: "too_large", topic: "clicks", partition: "3", offset: "12" };
    await producer.send([record("a", "1"), { ...record("clicks-3-12", "bad"), headers }]);
    const source = log.source("clicks.dlq");
    await source.seek(0, 0);
    const found = await source.recordAt(0, 1);
    assertEquals(found && textsOf(found), [["clicks-3-12", "bad"]]);
    assertEquals(found && [...found.offsets], [1]);
    assertEquals(await source.headersAt(0, 1), headers);
    assertEquals(await source.headersAt(0, 0), null);
    assertEquals(await source.recordAt(0, 2), null);
    assertEquals((await readAll(source)).size, 2);
  });
});

Deno.test("committed offsets are kept by group and partition", async () => {
  await withLog(async (log) => {
    const source = log.source("clicks", { partitions: 2, group: "one" });
    await source.commitOffsets(new Map([[0, 5], [1, 7]]));
    await source.commitOffsets(new Map([[1, 9]]));
    assertEquals(await source.committedOffsets(), new Map([[0, 5], [1, 9]]));
    assertEquals(await log.source("clicks", { group: "two" }).committedOffsets(), new Map());
  });
});

Deno.test("committing offsets waits for nobody who writes, and the next commit makes up for it", async () => {
  await withLog(async (log, _clock, path) => {
    const source = log.source("clicks", { partitions: 2, group: "one" });
    const other = openLog(path);
    other.db.exec("BEGIN IMMEDIATE");
    await source.commitOffsets(new Map([[0, 5]]));
    other.db.exec("ROLLBACK");
    assertEquals(await source.committedOffsets(), new Map());
    await source.commitOffsets(new Map([[1, 9]]));
    assertEquals(await source.committedOffsets(), new Map([[0, 5], [1, 9]]));
    other.close();
  });
});

Deno.test("a topic has 8 partitions unless told otherwise; it may grow, from offset 0, and never shrinks", async () => {
  await withLog(async (log) => {
    const producer = log.producer("clicks");
    assertEquals((await log.source("clicks").ranges()).length, 8);
    await producer.send([record("a", "1")]);
    assertThrows(() => log.source("clicks", { partitions: 4 }), SourceError, "has 8 partitions");
    const ranges = await log.source("clicks", { partitions: 10 }).ranges();
    assertEquals(ranges.slice(8), [{ partition: 8, start: 0, end: 0 }, { partition: 9, start: 0, end: 0 }]);
    const key = keyFor(9, 10);
    assertEquals(await producer.send([record(key, "2")]), [{ partition: 9, offset: 0 }]);
    assertThrows(() => log.ensureTopic("other", 0), SourceError, "1 to 1024 partitions: 0");
  });
});

Deno.test("keyless records of one send go to one partition, another one the next time", async () => {
  await withLog(async (log) => {
    const producer = log.producer("clicks", { partitions: 4 });
    const partitions: number[][] = [];
    for (let i = 0; i < 4; i++) {
      const positions = await producer.send([record(null, "1"), record(null, "2")]);
      partitions.push(positions.map(({ partition }) => partition));
    }
    assertEquals(partitions, [[0, 0], [1, 1], [2, 2], [3, 3]]);
  });
});
