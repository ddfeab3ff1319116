import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { transition } from "../../actors/epoch.ts";
import { type EpochEvent, initialEpochs, type Seal } from "../../actors/epoch_state.ts";
import { AssertionError } from "../../schema/errors.ts";
import { EpochWorld } from "../support/epoch_world.ts";
import { barrierOf, MINUTE, SEMANTICS, T0 } from "../support/records.ts";

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

Deno.test("an epoch goes from tick to commit, and says what closed it and how many records it took", () => {
  const w = world({ lastEpoch: 41 });
  w.arrive(0, 0, "event", T0);
  w.arrive(0, 1, "dead", T0);
  w.send(TICK);
  w.finish();
  assertEquals(w.commits.map(({ number, closedBy, records }) => [number, closedBy, records]), [[
    42,
    "interval",
    2,
  ]]);
  assertEquals(w.log.get(0)?.ledger, { consumed: 2, inSessions: 0, duplicates: 0, deadLetters: 1, held: 1 });
});

Deno.test("at most two epochs are in flight; a third close waits for a commit", () => {
  const w = world();
  for (let i = 0; i < 4; i++) {
    arriveOne(w);
    w.send(TICK);
    while (w.commands.length > 0) w.command();
    while (w.fromIngest.length > 0) w.send(w.fromIngest.shift()!);
  }
  assertEquals(w.closes.length, 2);
  assertEquals(w.state.wanted, "interval");
  w.finish();
  assertEquals(w.commits.map(({ number }) => number), [1, 2, 3]);
});

Deno.test("while a close is under way, no other is asked for", () => {
  const w = world();
  w.send(TICK);
  w.send(TICK);
  w.send(FULL);
  assertEquals(w.closes.length, 1);
});

Deno.test("commits keep the order of barriers, also where the later epoch is uploaded first", () => {
  const w = world();
  for (let i = 0; i < 2; i++) {
    arriveOne(w);
    w.send(TICK);
    w.command();
    w.send(w.fromIngest.shift()!);
  }
  for (const queue of w.fromShards) while (queue.length > 0) w.send(queue.shift()!);
  assertEquals(w.fromLake.map((event) => event.type === "staged" && event.epoch), [1, 2]);
  w.send({ type: "staged", epoch: 2, attempt: 2 });
  assertEquals(w.commits.length, 0);
  w.send({ type: "staged", epoch: 1, attempt: 1 });
  assertEquals(w.commits.map(({ number }) => number), [1]);
  w.send({ type: "committed", epoch: 1 });
  assertEquals(w.commits.map(({ number }) => number), [1, 2]);
});

Deno.test("seals that overtake ingest's word of the barriers wait for it", () => {
  const w = world();
  arriveOne(w);
  w.send(TICK);
  w.command();
  for (const queue of w.fromShards) assertEquals(w.send(queue.shift()!), []);
  assertEquals(w.send(w.fromIngest.shift()!).map(({ type }) => type), ["stage"]);
  w.finish();
  assertEquals(w.commits.length, 1);
});

Deno.test("an epoch is staged only when all shards have sealed it", () => {
  const w = world({ shards: 3 });
  arriveOne(w);
  w.send(TICK);
  w.command();
  w.send(w.fromIngest.shift()!);
  const staged = w.fromShards.map((queue) => w.send(queue.shift()!).length);
  assertEquals(staged, [0, 0, 1]);
});

Deno.test("an epoch that reached its size is closed before its time, and says so", () => {
  const w = world();
  arriveOne(w);
  w.send(FULL);
  w.finish();
  assertEquals(w.commits.map(({ closedBy }) => closedBy), ["size"]);
});

Deno.test("an epoch without changes commits nothing, and its number is used again", () => {
  const w = world();
  for (let i = 0; i < 3; i++) {
    w.send(TICK);
    w.finish();
  }
  assertEquals(w.closes.map(({ epoch }) => epoch), [1, 1, 1]);
  assertEquals(w.commits.length, 0);
  arriveOne(w);
  w.send(TICK);
  w.finish();
  assertEquals(w.commits.map(({ number }) => number), [1]);
});

Deno.test("a close request carries the latest event time over the epochs that all shards have sealed", () => {
  const w = world();
  w.arrive(1, 1, "event", T0 + 5 * MINUTE);
  w.send(TICK);
  assertEquals(w.closes[0]!.latest, new Map());
  w.command();
  w.send(w.fromIngest.shift()!);
  w.send(w.fromShards[0]!.shift()!);
  w.send(TICK);
  assertEquals(w.closes[1]!.latest, new Map(), "one shard has not sealed");
  w.finish();
  w.send(TICK);
  assertEquals(w.closes[2]!.latest, new Map([[1, T0 + 5 * MINUTE]]));
});

/** A shard's word that it sealed partition 0 of epoch 1. */
function sealOf(counts: Partial<Seal["partitions"][number]["counts"]>, fields: Partial<Seal> = {}): Seal {
  const books = { records: 0, duplicates: 0, deadLetters: 0, inSessions: 0, held: 0 };
  const none = { ...books, openSessions: 0, pendingRevisions: 0 };
  const batch = { rows: 0, columns: [] };
  return {
    type: "sealed",
    shard: 0,
    epoch: 1,
    rows: batch,
    revisions: batch,
    deadLetters: batch,
    closingTimes: new Float64Array(),
    partitions: [{ partition: 0, counts: { ...none, ...counts }, latestEventTime: null }],
    snapshots: [],
    ...fields,
  };
}

function closedOnce() {
  const state = initialEpochs({ shards: 1, closeOpenAtEnd: false, revisionIntervalMs: 0, lastEpoch: 0 });
  transition(state, { type: "assigned", partitions: [{ partition: 0, assignment: 1 }] });
  transition(state, TICK);
  transition(state, { type: "closed", epoch: 1, barriers: [barrierOf({ to: 3 })], snapshots: [] });
  return state;
}

Deno.test("counts that do not balance break an invariant: no such epoch is committed", () => {
  const wrong = sealOf({ records: 3, held: 2 });
  assertThrows(
    () => transition(closedOnce(), wrong),
    AssertionError,
    "the ledger of partition 0 balances in epoch 1",
  );
  assertEquals(transition(closedOnce(), sealOf({ records: 3, held: 2, duplicates: 1 })).length, 1);
});

Deno.test("a seal of another epoch, or without a partition that has a barrier, breaks an invariant", () => {
  assertThrows(
    () => transition(closedOnce(), sealOf({}, { epoch: 2 })),
    AssertionError,
    "epoch 2 is in flight",
  );
  assertThrows(
    () => transition(closedOnce(), sealOf({}, { partitions: [] })),
    AssertionError,
    "seals partition 0",
  );
});

Deno.test("an answer out of turn breaks an invariant", () => {
  const state = initialEpochs({ shards: 1, closeOpenAtEnd: false, revisionIntervalMs: 0, lastEpoch: 0 });
  assertThrows(() => transition(state, { type: "committed", epoch: 1 }), AssertionError, "not in flight");
  transition(state, TICK);
  assertThrows(
    () => transition(state, { type: "staged", epoch: 1, attempt: 1 }),
    AssertionError,
    "epoch 1 is staging: closing",
  );
});

/** A barrier of partition 0 and one of partition 1, in an epoch that has come as far as `steps` answers. */
function epochAfter(steps: number): EpochWorld {
  const w = world();
  arriveOne(w, 0);
  arriveOne(w, 1);
  w.send(TICK);
  for (let i = 0; i < steps; i++) w.answers()[0]!();
  return w;
}

for (let steps = 0; steps <= 4; steps++) {
  Deno.test(`a partition that is taken away ${steps} answers into an epoch is left out of its commit`, () => {
    const w = epochAfter(steps);
    w.revoke(1);
    while (w.fromIngest.length > 0) w.send(w.fromIngest.shift()!);
    w.finish();
    assertEquals(w.commits.map(({ barriers }) => barriers.map(({ partition }) => partition)), [[0]]);
    assertEquals([w.commits[0]!.records, w.log.has(1)], [1, false]);
  });
}

Deno.test("an epoch of which one partition was moved on by another instance goes without it, and that is restored", () => {
  const w = world();
  for (const partition of [0, 1]) arriveOne(w, partition);
  w.moveOn(1);
  w.send(TICK);
  w.finish();
  assertEquals(w.commits.map(({ barriers }) => barriers.map(({ partition }) => partition)), [[0]]);
  assertEquals([w.fenced, w.owned.get(1)], [1, 3]);
  arriveOne(w, 1);
  w.send(TICK);
  w.finish();
  assertEquals(w.log.get(1)?.ledger.consumed, 3);
});

Deno.test("an epoch of which every partition was moved on commits nothing, and the next one goes on", () => {
  const w = world({ partitions: 1 });
  arriveOne(w);
  w.moveOn(0);
  w.send(TICK);
  w.finish();
  assertEquals([w.commits.length, w.fenced, w.state.inFlight.length], [0, 1, 0]);
  arriveOne(w);
  w.send(TICK);
  w.finish();
  assertEquals(w.commits.map(({ number }) => number), [1]);
});

Deno.test("a partition that is given back while a commit of it is on its way is planned after that commit", () => {
  const w = world({ partitions: 1 });
  arriveOne(w);
  w.send(TICK);
  while (w.commits.length === 0) w.answers()[0]!();
  w.revoke(0);
  w.give(0);
  while (w.fromIngest.length > 0) w.send(w.fromIngest.shift()!);
  assertEquals([...w.state.unplanned], [0]);
  w.finish();
  assertEquals([w.state.unplanned.size, w.state.ledgers.get(0)?.consumed], [0, 1]);
});

Deno.test("in any order of answers, with partitions that come, go and are moved on, nothing is lost or twice, and a drain settles once", () => {
  const anyWorld = fc.record({
    partitions: fc.integer({ min: 1, max: 3 }),
    shards: fc.integer({ min: 1, max: 3 }),
    closeOpenAtEnd: fc.boolean(),
    bounded: fc.boolean(),
    shared: fc.boolean(),
  });
  const anyEnd = fc.constantFrom(DRAIN, END);
  const anyWish = fc.constantFrom(TICK, TICK, TICK, FULL);
  const anyStep = fc.tuple(fc.nat({ max: 9 }), fc.nat(), anyWish);
  fc.assert(
    fc.property(
      anyWorld,
      fc.array(anyStep, { maxLength: 250, size: "max" }),
      anyEnd,
      (options, steps, end) => {
        const w = new EpochWorld(options);
        for (const [action, choice, wish] of steps) {
          w.clock += choice % (5 * MINUTE);
          const answers = w.answers();
          if (action < 2) {
            const kind = (["event", "event", "duplicate", "dead", "late"] as const)[choice % 5]!;
            w.arrive(choice % options.partitions, choice % options.shards, kind, T0 + choice % (90 * MINUTE));
          } else if (action < 4) w.send(wish);
          else if (action < 5 && options.shared) {
            const partition = choice % options.partitions;
            [() => w.revoke(partition), () => w.give(partition), () => w.moveOn(partition)][choice % 7]?.();
          } else answers[choice % Math.max(answers.length, 1)]?.();
        }
        if (end === END) w.stopped = true; // ingest stops itself at the end
        // Idleness goes on while the clock does, so only a bounded run ends by itself.
        w.send(options.bounded ? end : DRAIN);
        w.finish();
        assertEquals(w.settled, 1);
        const ledgers = [...w.log.values()].map(({ ledger }) => ledger);
        assertEquals(ledgers.reduce((sum, { consumed }) => sum + consumed, 0), w.consumed);
        for (const [partition, { barrier }] of w.log) {
          if (options.shared) continue; // what came last may not have been taken up
          assertEquals(
            w.state.checkpointed.get(partition),
            barrier.number,
            "a drain leaves a checkpoint at the newest barrier",
          );
        }
        if (!options.bounded || end !== END || options.shared) return;
        for (const [partition, { barrier, ledger }] of w.log) {
          const latest = w.latest(partition);
          assertEquals(barrier.eventWatermark, latest === null ? null : latest - SEMANTICS.watermarkDelayMs);
          if (options.closeOpenAtEnd) assertEquals(ledger.held, 0);
        }
      },
    ),
    { numRuns: 300 },
  );
});
