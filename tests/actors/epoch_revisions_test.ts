/** When the epochs bring out revisions: seldom while a pipeline runs, and all of them at every end. */
import { assertEquals } from "@std/assert";
import type { EpochEvent } from "../../actors/epoch_state.ts";
import { EpochWorld } from "../support/epoch_world.ts";
import { T0 } from "../support/records.ts";

const tick = (at: number): EpochEvent => ({ type: "tick", at });

function world(revisionIntervalMs: number): EpochWorld {
  return new EpochWorld({ partitions: 3, shards: 2, bounded: true, revisionIntervalMs });
}

/** One epoch, from its close to its commit; the partitions that revised. */
function epoch(w: EpochWorld, at: number): readonly number[] {
  w.send(tick(at));
  w.finish();
  return w.closes.at(-1)!.revise;
}

Deno.test("revisions leave with the epoch after their events', in the partitions that have any, without other news", () => {
  const w = world(1_000);
  w.arrive(0, 0, "event", T0);
  w.arrive(2, 1, "late", T0);
  assertEquals(epoch(w, 5), []);
  assertEquals([w.pending, w.log.get(2)!.ledger.held], [1, 1]);
  assertEquals(epoch(w, 6), [2]);
  const { barrier, ledger } = w.log.get(2)!;
  assertEquals([barrier.revise, ledger.held, ledger.inSessions, w.pending], [true, 0, 1, 0]);
  assertEquals(w.log.get(0)!.barrier.revise, false);
});

Deno.test("between two epochs with revisions lies the interval at the least", () => {
  const w = world(1_000);
  const revised: number[] = [];
  for (let at = 0; at <= 3_000; at += 250) {
    w.arrive(0, 0, "late", T0);
    if (epoch(w, at).length > 0) revised.push(at);
  }
  assertEquals(revised, [250, 1_250, 2_250]);
});

Deno.test("without an interval every epoch revises what its predecessors left pending", () => {
  const w = world(0);
  w.arrive(0, 0, "late", T0);
  w.arrive(1, 1, "late", T0);
  assertEquals([epoch(w, 0), epoch(w, 0), epoch(w, 0)], [[], [0, 1], []]);
});

Deno.test("a drain brings out every revision: those that are known, and those of the records it reads last", () => {
  const w = world(1e9);
  w.arrive(0, 0, "late", T0);
  epoch(w, 0);
  epoch(w, 0);
  w.arrive(0, 1, "late", T0);
  epoch(w, 1);
  w.arrive(1, 0, "late", T0);
  w.send({ type: "drain" });
  w.finish();
  assertEquals([w.settled, w.pending, w.closes.at(-1)!.revise], [1, 0, [0]]);
  assertEquals([0, 1].map((partition) => w.log.get(partition)!.barrier.revise), [true, true]);
});

Deno.test("a drain learns of a revision from a seal that is still on its way", () => {
  const w = world(1e9);
  w.arrive(0, 0, "late", T0);
  w.send(tick(0));
  w.command();
  w.send(w.fromIngest.shift()!);
  w.send({ type: "drain" });
  assertEquals(w.closes.length, 1);
  w.finish();
  assertEquals([w.closes.length, w.closes.at(-1)!.revise, w.settled], [2, [0], 1]);
});

Deno.test("what restored shards hold pending is revised in the first epoch", () => {
  const w = world(1e9);
  w.state.pendingRevisions.set(1, 3);
  assertEquals(epoch(w, 0), [1]);
  assertEquals(w.log.get(1)!.barrier.revise, true);
});
