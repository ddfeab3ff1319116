import { assert, assertEquals, assertRejects } from "@std/assert";
import type { ShardMessage } from "../../actors/protocol.ts";
import { shardOf } from "../../actors/shard.ts";
import type { PartitionBarrier } from "../../schema/epoch.ts";
import { SourceError } from "../../schema/errors.ts";
import { keyAt } from "../../sources/source.ts";
import { turns } from "../support/fake_clock.ts";
import { FakeSource } from "../support/fake_source.ts";
import {
  barriersAt,
  everyOffset,
  IngestWorld,
  markOf,
  recordsOf,
  replayOf,
  sourceOf,
  startOf,
} from "../support/ingest_world.ts";
import { MINUTE, SEMANTICS, T0 } from "../support/records.ts";

Deno.test("ingest reports what the source holds, and reads only what it is assigned", async () => {
  const source = sourceOf(4, 5);
  await using w = new IngestWorld(source);
  await w.until("the assignment is told", () => w.has("assigned"));
  const partitions = [0, 1].map((partition) => ({ partition, assignment: partition + 1 }));
  assertEquals(w.reports, [{ type: "assigned", partitions, ranges: await source.ranges() }]);
  w.assign(startOf(1));
  await w.untilRouted(5);
  assertEquals(w.routed().sort(), everyOffset(1, 0, 5));
});

Deno.test("every record goes once to the shard of its key, a partition's in the order of their offsets", async () => {
  const source = sourceOf(40, 25);
  await using w = new IngestWorld(source, { shards: 3 });
  w.assign(startOf(0), startOf(1));
  await w.untilRouted(65);
  assertEquals(w.routed().sort(), [...everyOffset(0, 0, 40), ...everyOffset(1, 0, 25)].sort());
  w.received.forEach((messages, shard) => {
    const last = [-1, -1];
    for (const message of messages) {
      if (message.type !== "records") continue;
      const { partition, offsets, count } = message.batch;
      for (let i = 0; i < count; i++) {
        assertEquals(shardOf(keyAt(message.batch, i), 3), shard);
        assert(offsets[i]! > last[partition]!);
        last[partition] = offsets[i]!;
      }
    }
  });
});

/** Checks that between two barriers a shard got only records that the second one covers. */
function assertBarriersCover(messages: readonly ShardMessage[]): void {
  const posted = new Map<number, PartitionBarrier>();
  const pending: [partition: number, offset: number][] = [];
  for (const message of messages) {
    if (message.type === "records") {
      pending.push(
        ...[...message.batch.offsets].map((offset): [number, number] => [message.batch.partition, offset]),
      );
    }
    if (message.type !== "barrier") continue;
    for (const barrier of message.barriers) {
      assertEquals(barrier.from, posted.get(barrier.partition)?.to ?? 0);
      posted.set(barrier.partition, barrier);
    }
    for (const [partition, offset] of pending.splice(0)) {
      const { from, to } = posted.get(partition)!;
      assert(from <= offset && offset < to, `offset ${offset} is within ${from} to ${to}`);
    }
  }
  assertEquals(pending, []);
}

Deno.test("a barrier follows exactly the records before its positions, in every shard, and none after", async () => {
  const source = sourceOf(0, 0);
  await using w = new IngestWorld(source, { shards: 3 });
  w.assign(startOf(0), startOf(1));
  let total = 0;
  for (let round = 1; round <= 12; round++) {
    source.append(round % 2, recordsOf(round, total));
    total += round;
    await turns(round % 4); // mostly not enough to read it all
    await w.close();
  }
  await w.untilRouted(total);
  await w.close();
  await turns();
  w.received.forEach(assertBarriersCover);
  const barriers = w.received.map((messages) => messages.filter(({ type }) => type === "barrier"));
  assertEquals(barriers[1], barriers[0]);
  assertEquals(barriers[2], barriers[0]);
});

Deno.test("a close without changes posts nothing, but for the snapshots that are asked for", async () => {
  await using w = new IngestWorld(sourceOf(3));
  w.assign(startOf(0));
  await w.untilRouted(3);
  assertEquals((await w.close({ checkpoint: true })).length, 1);
  assertEquals(await w.close(), []);
  assertEquals(await w.close({ checkpoint: true, stale: [0] }), []);
  await turns();
  const posts = w.received[0]!.filter((message) => message.type === "barrier");
  assertEquals(posts.map(({ epoch, barriers, snapshots }) => [epoch, barriers.length, snapshots]), [
    [1, 1, [0]],
    [3, 0, [0]],
  ]);
});

Deno.test("a barrier has the fetch position, not the last record's offset, and the last record's mark", async () => {
  const source = sourceOf(0);
  const records = recordsOf(4);
  source.append(0, records, 10);
  source.append(0, [], 5);
  await using w = new IngestWorld(source);
  w.assign(startOf(0));
  await w.untilRouted(4);
  const [barrier] = await w.close();
  assertEquals([barrier?.from, barrier?.to], [0, 19]);
  assertEquals(barrier?.lastRecord, markOf(records[3]!, 13));
  w.clock.time += MINUTE;
  const [next] = await w.close({ latest: new Map([[0, T0]]) });
  assertEquals([next?.from, next?.to, next?.lastRecord], [19, 19, barrier?.lastRecord]);
});

Deno.test("the last close stops reading: what is appended afterwards is not routed", async () => {
  const source = sourceOf(5);
  await using w = new IngestWorld(source);
  w.assign(startOf(0));
  await w.untilRouted(5);
  await w.close({ stop: true });
  source.append(0, recordsOf(5, 5));
  const { polls } = source;
  await turns(20);
  assertEquals([w.routed().length, source.polls], [5, polls]);
});

Deno.test("a bounded run ends at what the log held when it started", async () => {
  const source = sourceOf(10, 4, 0);
  await using w = new IngestWorld(source, { mode: { untilEnd: true } });
  await w.until("the assignment is told", () => w.has("assigned"));
  source.append(0, recordsOf(7, 10));
  source.append(2, recordsOf(1));
  w.assign(startOf(0), startOf(1), startOf(2));
  await w.until("the end is reached", () => w.has("end_reached"));
  const barriers = await w.close();
  assertEquals(barriers.map(({ partition, to }) => [partition, to]), [[0, 10], [1, 4]]);
  await turns(20);
  assertEquals(w.routed().sort(), [...everyOffset(0, 0, 10), ...everyOffset(1, 0, 4)].sort());
  assertEquals(w.reports.filter(({ type }) => type === "end_reached").length, 1);
});

Deno.test("in a bounded run idleness moves no watermark", async () => {
  await using w = new IngestWorld(sourceOf(3), { mode: { untilEnd: true } });
  w.assign(startOf(0));
  await w.until("the end is reached", () => w.has("end_reached"));
  const latest = new Map([[0, T0]]);
  assertEquals((await w.close({ latest }))[0]?.watermark, T0 - SEMANTICS.watermarkDelayMs);
  assertEquals(await w.close({ latest }), []);
  w.clock.time += 90 * MINUTE;
  assertEquals(await w.close({ latest }), []);
});

Deno.test("an epoch at its size stops reading until it is closed", async () => {
  const source = new FakeSource(1, 1, 1);
  source.append(0, recordsOf(9, 0, 400));
  await using w = new IngestWorld(source, { config: { epochBytesMax: 1500 } });
  w.assign(startOf(0));
  await w.until("the epoch is full", () => w.has("full"));
  await turns(20);
  const routed = w.routed().length;
  assert(routed > 1 && routed < 9, `${routed} of 9 records are routed`);
  const [barrier] = await w.close();
  assertEquals(barrier?.to, routed);
  await w.until("the next is full", () => w.reports.filter(({ type }) => type === "full").length === 2);
  assertEquals(w.routed().length, 2 * routed);
});

Deno.test("an idle partition's clock runs, but not on what was known before reading had to wait", async () => {
  const source = new FakeSource(2, 1, 1);
  source.append(1, recordsOf(1));
  await using w = new IngestWorld(source, { config: { epochBytesMax: 600 } });
  w.assign(startOf(0), startOf(1));
  await w.untilRouted(1);
  await w.close();
  const latest = new Map([[1, T0]]);
  const delayed = T0 - SEMANTICS.watermarkDelayMs;
  const quiet = async () => {
    const { polls } = source;
    await w.until("the source was asked again", () => source.polls > polls + 2);
    return (await w.close({ latest })).find(({ partition }) => partition === 1);
  };
  const idle = await quiet();
  assertEquals([idle?.idleSince, idle?.watermark], [w.clock.time, delayed]);
  w.clock.time += 3 * MINUTE;
  assertEquals((await quiet())?.watermark, delayed + 3 * MINUTE);
  source.append(0, recordsOf(9, 0, 400));
  await w.until("the epoch is full", () => w.has("full"));
  source.append(1, recordsOf(1, 1));
  w.clock.time += 20 * MINUTE;
  const waited = (await w.close({ latest })).find(({ partition }) => partition === 1);
  assertEquals([waited?.idleSince, waited?.watermark], [null, delayed + 3 * MINUTE]);
});

/** What one shard got, in short: records by offset, barriers by number, settings by their timeout. */
function story(messages: readonly ShardMessage[]): string[] {
  return messages.flatMap((message) => {
    switch (message.type) {
      case "records":
        return [...message.batch.offsets].map(String);
      case "replayed":
        return [`barrier ${message.barrier.number}`];
      case "semantics":
        return [`timeout ${message.semantics.sessionTimeoutMs}`];
      default:
        return [message.type];
    }
  });
}

for (const [batchRecords, pollBatches] of [[1, 1], [3, 2], [4, 1], [100, 1], [2, 100]] as const) {
  Deno.test(`a replay stops at each barrier and goes on live, with ${pollBatches} batches of ${batchRecords} a poll`, async () => {
    const source = new FakeSource(1, batchRecords, pollBatches);
    const records = recordsOf(15);
    source.append(0, records);
    await using w = new IngestWorld(source, { shards: 1 });
    const replay = replayOf(barriersAt(records, 4, 4, 5, 12));
    w.assign(startOf(0, { replay }));
    await w.untilRouted(15);
    assertEquals(story(w.received[0]!), [
      ...["restore", "timeout 1", "0", "1", "2", "3", "barrier 1", "timeout 2", "barrier 2"],
      ...["timeout 3", "4", "barrier 3", "timeout 4", "5", "6", "7", "8", "9", "10", "11", "barrier 4"],
      ...[`timeout ${SEMANTICS.sessionTimeoutMs}`, "live", "12", "13", "14"],
    ]);
    const [barrier] = await w.close();
    assertEquals([barrier?.number, barrier?.from, barrier?.to], [5, 12, 15]);
  });
}

Deno.test("a replay starts from its checkpoint, and hands it to every shard", async () => {
  const records = recordsOf(12);
  const [first, second, third] = barriersAt(records, 4, 9, 10);
  await using w = new IngestWorld(sourceOf(12));
  w.assign(startOf(0, {
    checkpoint: { ...first!, watermark: T0 + 5 },
    occurrences: Uint8Array.of(1, 2),
    latestEventTime: T0 + 7,
    offset: 4,
    replay: replayOf([second!, third!]),
  }));
  await w.untilRouted(8);
  assertEquals(w.routed().sort(), everyOffset(0, 4, 12).sort());
  for (const messages of w.received) {
    assertEquals(messages[0], {
      type: "restore",
      partition: 0,
      occurrences: Uint8Array.of(1, 2),
      latestEventTime: T0 + 7,
      watermark: T0 + 5,
      semantics: { ...SEMANTICS, sessionTimeoutMs: 2 },
    });
  }
  assertEquals((await w.close())[0]?.number, 4);
});

Deno.test("without a replay a partition goes on at its checkpoint, and an unchanged one posts nothing", async () => {
  const records = recordsOf(6);
  const [checkpoint] = barriersAt(records, 6);
  await using w = new IngestWorld(sourceOf(6), { mode: { untilEnd: true } });
  w.assign(startOf(0, { checkpoint, offset: 6 }));
  await w.until("the end is reached", () => w.has("end_reached"));
  assertEquals(w.routed(), []);
  assertEquals(await w.close(), []);
});

Deno.test("several partitions are replayed before any is live", async () => {
  const records = recordsOf(9);
  await using w = new IngestWorld(sourceOf(9, 9), { shards: 1 });
  const barriers = barriersAt(records, 3, 7);
  const replays = [0, 1].map((partition) =>
    startOf(partition, { replay: replayOf(barriers.map((barrier) => ({ ...barrier, partition }))) })
  );
  w.assign(...replays);
  await w.untilRouted(18);
  const types = story(w.received[0]!);
  const live = types.indexOf("live");
  assertEquals(types.filter((word) => word.startsWith("barrier")).length, 4);
  assertEquals(types.slice(0, live).filter((word) => /^\d+$/.test(word)).length, 14);
  assertEquals(w.routed().sort(), [...everyOffset(0, 0, 9), ...everyOffset(1, 0, 9)].sort());
});

Deno.test("a topic whose record is another than the one that was read is refused", async () => {
  const other = recordsOf(6, 1);
  await using w = new IngestWorld(sourceOf(6));
  w.assign(startOf(0, { checkpoint: barriersAt(other, 5)[0]!, offset: 5 }));
  await assertRejects(() => w.finished, SourceError, "the record at offset 4 of partition 0 is not the one");
});

Deno.test("where retention removed the record by which the topic is known, ingest says so and goes on", async () => {
  const records = recordsOf(6);
  const source = sourceOf(6);
  source.trim(0, 5);
  await using w = new IngestWorld(source);
  w.assign(startOf(0, { checkpoint: barriersAt(records, 5)[0]!, offset: 5 }));
  await w.untilRouted(1);
  assertEquals(w.routed(), ["0:5"]);
  assertEquals(w.notices.length, 1);
  assert(w.notices[0]!.startsWith("Retention has removed the record at offset 4 of partition 0"));
});

Deno.test("a replay whose records are gone, or were never there, stops with a sentence", async () => {
  const records = recordsOf(9);
  const trimmed = sourceOf(9);
  trimmed.trim(0, 3);
  await using removed = new IngestWorld(trimmed);
  removed.assign(startOf(0, { replay: replayOf(barriersAt(records, 5)) }));
  await assertRejects(() => removed.finished, SourceError, "outside 3 to 9");
  await using short = new IngestWorld(sourceOf(4));
  short.assign(startOf(0, { replay: replayOf(barriersAt(records, 9)) }));
  await assertRejects(() => short.finished, SourceError, "the records from offset 4 to 9 are needed");
});

Deno.test("a topic that is not keyed by session id is refused before anything is read, unless it is trusted", async () => {
  const byUser = () => {
    const source = new FakeSource(1, 100);
    source.append(0, recordsOf(20).map(({ value }) => ({ key: Uint8Array.of(9), value })));
    return source;
  };
  await using refused = new IngestWorld(byUser());
  refused.assign(startOf(0));
  await assertRejects(() => refused.finished, SourceError, "KAFKA_KEY=trust");
  assertEquals(refused.routed(), []);
  await using trusting = new IngestWorld(byUser(), { config: { keyCheck: "trust" } });
  trusting.assign(startOf(0));
  await trusting.untilRouted(20);
});

Deno.test("what a pipeline has begun to read is not looked at again", async () => {
  const byUser = recordsOf(20).map(({ value }) => ({ key: Uint8Array.of(9), value }));
  const source = new FakeSource(1, 100);
  source.append(0, byUser);
  const [checkpoint] = barriersAt(byUser, 5);
  await using w = new IngestWorld(source);
  w.assign(startOf(0, { checkpoint, offset: 5 }));
  await w.untilRouted(15);
});

Deno.test("committed positions reach the source, and a shutdown closes it", async () => {
  const source = sourceOf(2);
  await using w = new IngestWorld(source);
  w.assign(startOf(0));
  await w.untilRouted(2);
  w.send({ type: "committed", epoch: 1, positions: new Map([[0, 2]]) });
  w.send({ type: "shutdown" });
  await w.finished;
  await turns();
  assertEquals(source.committed, [new Map([[0, 2]])]);
  assertEquals([source.closed, w.has("stopped")], [true, true]);
});
