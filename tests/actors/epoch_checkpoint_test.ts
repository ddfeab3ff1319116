/** When epochs are checkpoints, and of what. */
import { assertEquals } from "@std/assert";
import type { EpochEvent } from "../../actors/epoch_state.ts";
import { erasureOf } from "../../schema/erasure.ts";
import { EPOCHS_PER_CHECKPOINT } from "../../schema/limits.ts";
import { EpochWorld } from "../support/epoch_world.ts";
import { T0 } from "../support/records.ts";

const TICK: EpochEvent = { type: "tick", at: 0 };
const DRAIN: EpochEvent = { type: "drain" };

/** A bounded world, so that idleness posts nothing between records. */
function world(options: Partial<ConstructorParameters<typeof EpochWorld>[0]> = {}): EpochWorld {
  return new EpochWorld({ partitions: 2, shards: 2, bounded: true, ...options });
}

function arriveOne(world: EpochWorld, partition = 0): void {
  world.arrive(partition, 0, "event", T0);
}

Deno.test("every fifth epoch is a checkpoint, of every partition with a barrier since its last", () => {
  const w = world({ partitions: 3 });
  for (let i = 1; i <= 2 * EPOCHS_PER_CHECKPOINT; i++) {
    if (i === 2) arriveOne(w, 1);
    arriveOne(w, 0);
    w.send(TICK);
    w.finish();
  }
  assertEquals(w.closes.map(({ checkpoint }) => checkpoint).flatMap((yes, i) => yes ? [i + 1] : []), [5, 10]);
  const partitions = w.checkpoints.map((snapshots) =>
    snapshots.map(({ barrier }) => barrier.partition).sort()
  );
  assertEquals(partitions, [[0, 1], [0]]);
});

Deno.test("a long replay makes the next epoch a checkpoint: a process that is killed again and again writes them too", () => {
  const w = world({ partitions: 1 });
  w.revoke(0);
  for (let i = 1; i < EPOCHS_PER_CHECKPOINT; i++) w.moveOn(0);
  w.give(0);
  w.finish();
  assertEquals(w.state.barriers.get(0)!.number, EPOCHS_PER_CHECKPOINT - 1);
  arriveOne(w);
  w.send(TICK);
  w.finish();
  assertEquals(w.closes.map(({ checkpoint }) => checkpoint), [true]);
  assertEquals(w.checkpoints.map(([snapshot]) => snapshot!.barrier.number), [EPOCHS_PER_CHECKPOINT]);
});

Deno.test("a checkpoint that comes due in a pause is written once, without a commit, and counts", () => {
  const w = world({ partitions: 1 });
  const tick = () => {
    w.send(TICK);
    w.finish();
    return [w.commits.length, w.checkpoints.length];
  };
  for (let i = 1; i < EPOCHS_PER_CHECKPOINT; i++) {
    w.arrive(0, 0, "dead", T0); // moves no watermark
    tick();
  }
  assertEquals(tick(), [EPOCHS_PER_CHECKPOINT - 1, 1]);
  assertEquals(tick(), [EPOCHS_PER_CHECKPOINT - 1, 1]);
  w.arrive(0, 0, "dead", T0);
  assertEquals(tick(), [EPOCHS_PER_CHECKPOINT, 1]);
});

Deno.test("a checkpoint stands at its own epoch's barrier, also where the next one is posted before it is sealed", () => {
  const w = world({ partitions: 1 });
  for (let i = 1; i < EPOCHS_PER_CHECKPOINT; i++) {
    arriveOne(w);
    w.send(TICK);
    w.finish();
  }
  for (let i = 0; i < 2; i++) {
    arriveOne(w);
    w.send(TICK);
    w.command();
    w.send(w.fromIngest.shift()!);
  }
  assertEquals(w.state.barriers.get(0)!.number, EPOCHS_PER_CHECKPOINT + 1);
  w.finish();
  assertEquals(w.checkpoints.map(([snapshot]) => snapshot!.barrier.number), [EPOCHS_PER_CHECKPOINT]);
});

Deno.test("partitions whose newest barrier has no checkpoint are snapshot without a barrier of their own", () => {
  const w = world({ partitions: 1 });
  w.arrive(0, 0, "dead", T0);
  w.send(TICK);
  w.finish();
  w.send(DRAIN);
  assertEquals(w.closes.at(-1)!.stale, [0]);
  w.finish();
  assertEquals(w.commits.length, 1, "the drain commits nothing");
  assertEquals(w.checkpoints.map((snapshots) => snapshots.map(({ barrier }) => barrier.number)), [[1]]);
  assertEquals(w.settled, 1);
});

Deno.test("a snapshot alone waits until the epoch before it, at whose barrier it stands, is committed", () => {
  const w = world({ partitions: 1 });
  w.arrive(0, 0, "dead", T0);
  w.send(TICK);
  w.command();
  w.send(w.fromIngest.shift()!);
  const seal = () => w.fromShards.forEach((queue) => queue.splice(0).forEach((event) => w.send(event)));
  w.send(DRAIN);
  assertEquals(w.commands.length, 0, "the last close waits for what the seals tell");
  seal();
  w.command();
  w.send(w.fromIngest.shift()!);
  seal();
  assertEquals([w.commits.length, w.checkpoints.length], [0, 0]);
  w.finish();
  assertEquals([w.commits.length, w.checkpoints.length, w.settled], [1, 1, 1]);
});

Deno.test("an erasure goes with every close while it is open, and makes the first of them a checkpoint", () => {
  const w = world({ partitions: 1 });
  const erasure = erasureOf({ id: "request", kind: "user_id", salt: "salt" }, "7");
  w.send({ type: "erasures", erasures: [erasure] });
  for (let i = 0; i < 2; i++) {
    arriveOne(w);
    w.send(TICK);
    w.finish();
  }
  w.send({ type: "erasures", erasures: [] });
  arriveOne(w);
  w.send(TICK);
  w.finish();
  assertEquals(w.closes.map(({ checkpoint }) => checkpoint), [true, false, false]);
  assertEquals(w.closes.map(({ erase }) => erase), [[erasure], [erasure], undefined]);
});
