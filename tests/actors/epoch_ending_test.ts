/** How epochs come to an end: by a drain, or at the end of a bounded run. */
import { assert, assertEquals } from "@std/assert";
import { transition } from "../../actors/epoch.ts";
import type { EpochEvent } from "../../actors/epoch_state.ts";
import { EpochWorld } from "../support/epoch_world.ts";
import { MINUTE, SEMANTICS, T0 } from "../support/records.ts";

const TICK: EpochEvent = { type: "tick", at: 0 };
const DRAIN: EpochEvent = { type: "drain" };
const END: EpochEvent = { type: "end_reached" };
const FULL: EpochEvent = { type: "full", at: 0 };

/** A bounded world, so that idleness posts nothing between records. */
function world(options: Partial<ConstructorParameters<typeof EpochWorld>[0]> = {}): EpochWorld {
  return new EpochWorld({ partitions: 2, shards: 2, bounded: true, ...options });
}

function arriveOne(world: EpochWorld, partition = 0): void {
  world.arrive(partition, 0, "event", T0);
}

Deno.test("a drain of a pipeline that has done nothing settles at once", () => {
  const w = world();
  w.send(DRAIN);
  w.finish();
  assertEquals([w.closes.map(({ stop }) => stop), w.commits.length, w.settled], [[true], 0, 1]);
});

Deno.test("a drain stops reading with its close, keeps sessions open, and writes a checkpoint", () => {
  const w = world();
  for (let i = 0; i < 5; i++) arriveOne(w);
  w.send(DRAIN);
  assertEquals(w.closes.map(({ stop, closeOpen, checkpoint }) => [stop, closeOpen, checkpoint]), [[
    true,
    false,
    true,
  ]]);
  w.finish();
  assertEquals(w.commits.map(({ closedBy }) => closedBy), ["drain"]);
  assertEquals(w.checkpoints.length, 1);
  assertEquals(w.settled, 1);
});

for (let steps = 0; steps < 20; steps++) {
  Deno.test(`a drain after ${steps} steps of two epochs settles once, and everything read is committed`, () => {
    const w = world();
    const script = [
      () => arriveOne(w),
      () => w.send(TICK),
      () => arriveOne(w, 1),
      () => w.send(TICK),
    ];
    for (let i = 0; i < steps; i++) {
      const scripted = i % 3 === 0 ? script.shift() : undefined;
      (scripted ?? w.answers()[0])?.();
    }
    w.send(DRAIN);
    w.send(DRAIN);
    w.send(TICK);
    w.finish();
    assertEquals(w.settled, 1);
    const committed = [...w.log.values()].reduce((sum, { ledger }) => sum + ledger.consumed, 0);
    assertEquals(committed, w.consumed);
    for (const event of [TICK, FULL, END, DRAIN]) assertEquals(transition(w.state, event), []);
  });
}

Deno.test("a bounded run repeats barriers until nothing changes, and ends by itself", () => {
  const w = world({ partitions: 3 });
  w.arrive(0, 0, "event", T0);
  w.arrive(1, 1, "event", T0 + MINUTE);
  w.send(END);
  w.finish();
  assertEquals(w.settled, 1);
  for (const [partition, latest] of [[0, T0], [1, T0 + MINUTE]] as const) {
    const { watermark } = w.log.get(partition)!.barrier;
    assertEquals(watermark, latest - SEMANTICS.watermarkDelayMs);
  }
  assertEquals(w.commits.map(({ closedBy }) => closedBy), ["end", "end"]);
  assertEquals(w.log.get(0)!.ledger.held + w.log.get(1)!.ledger.held, 2, "what is open stays open");
});

Deno.test("a bounded run that closes what is open does so in its last barrier", () => {
  const w = world({ closeOpenAtEnd: true });
  for (let i = 0; i < 9; i++) w.arrive(i % 2, 0, "event", T0);
  w.send(END);
  w.finish();
  assertEquals(w.settled, 1);
  assertEquals(w.closes.map(({ closeOpen }) => closeOpen).lastIndexOf(false), w.closes.length - 2);
  for (const { ledger } of w.log.values()) assertEquals(ledger.held, 0);
});

Deno.test("Ctrl-C during a bounded run's end leaves open what is open", () => {
  const w = world({ closeOpenAtEnd: true });
  for (let i = 0; i < 9; i++) arriveOne(w);
  w.send(END);
  w.command();
  w.send(DRAIN);
  w.finish();
  assertEquals(w.settled, 1);
  assert(w.closes.every(({ closeOpen }) => !closeOpen));
  assert(w.log.get(0)!.ledger.held > 0);
});
