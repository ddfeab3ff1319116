import { assertEquals, assertRejects } from "@std/assert";
import { planRestart } from "../../actors/restart.ts";
import {
  EMPTY_LEDGER,
  type EpochRecord,
  type Ledger,
  type PartitionBarrier,
  SEMANTICS_VERSION,
} from "../../schema/epoch.ts";
import { SinkError, SourceError } from "../../schema/errors.ts";
import type { Checkpoint } from "../../sinks/checkpoint_store.ts";
import type { CommittedEpoch, LakeState } from "../../sinks/sink.ts";
import type { PartitionRange } from "../../sources/source.ts";
import { barrierOf, SEMANTICS } from "../support/records.ts";

const LINES = Uint8Array.of(1, 2, 3);
const consumed = (count: number): Ledger => ({ ...EMPTY_LEDGER, consumed: count, held: count });

/** Barrier `number` of a partition, over the ten records before offset 10 × number. */
const barrier = (partition: number, number: number): PartitionBarrier =>
  barrierOf({ partition, number, from: 10 * number - 10, to: 10 * number });

/** A commit with these barriers, `partition → number`. */
function commit(
  version: number,
  barriers: Readonly<Record<number, number>>,
  fields: Partial<EpochRecord> = {},
) {
  const partitions = Object.entries(barriers).map(([partition, number]) => ({
    barrier: barrier(Number(partition), number),
    ledger: consumed(10 * number),
  }));
  const record: EpochRecord = {
    pipeline: "p",
    topic: "t",
    epoch: version,
    closedBy: "interval",
    semanticsVersion: SEMANTICS_VERSION,
    rows: 0,
    revisions: 0,
    deadLetterFile: null,
    deadLetters: {},
    partitions,
    semantics: SEMANTICS,
    ...fields,
  };
  return { version, record };
}

function checkpoint(partition: number, number: number, deltaVersion: number): Checkpoint {
  const header = {
    semanticsVersion: SEMANTICS_VERSION,
    pipeline: "p",
    topic: "t",
    barrier: barrier(partition, number),
    ledger: consumed(10 * number),
    latestEventTime: 77,
    deltaVersion,
  };
  return { header, occurrences: LINES };
}

interface World {
  readonly commits?: readonly CommittedEpoch[];
  readonly checkpoints?: readonly Checkpoint[];
  readonly ranges?: readonly PartitionRange[];
  /** What the log's `txn`s say, where that is not what the commits say. */
  readonly positions?: LakeState["positions"];
  readonly firstPartitions?: number;
  /** Where the log was seen to stand, where that is not its newest commit. */
  readonly version?: number;
  /** What came to this instance, where that is not everything. */
  readonly assigned?: readonly number[];
}

const range = (partition: number, start = 0, end = 100): PartitionRange => ({ partition, start, end });

async function plan(
  { commits = [], checkpoints = [], ranges = [range(0)], positions, firstPartitions, version, assigned }:
    World,
) {
  const newest = new Map(
    commits.flatMap(({ record }) => record.partitions).map(({ barrier: { partition, to, number } }) => [
      partition,
      { partition, nextOffset: to, barrierNumber: number },
    ]),
  );
  const state: LakeState = {
    tableId: "table",
    version: version ?? commits.at(-1)?.version ?? 0,
    lastEpoch: commits.at(-1)?.record.epoch ?? 0,
    firstPartitions: firstPartitions ?? null,
    positions: positions ?? [...newest.values()],
  };
  const { starts, planned, recent } = await planRestart(
    { epochsAfter: (after) => Promise.resolve(commits.filter(({ version }) => version > after)) },
    state,
    {
      newest: (partition, maxBarrier) =>
        Promise.resolve(
          checkpoints.filter(({ header: { barrier } }) =>
            barrier.partition === partition && barrier.number <= maxBarrier
          ).at(-1) ?? null,
        ),
    },
    ranges,
    (assigned ?? ranges.map(({ partition }) => partition)).map((partition) => ({ partition, assignment: 7 })),
  );
  const known = <T>(of: (plan: typeof planned[number]) => T | null) =>
    new Map(planned.flatMap((plan) => of(plan) === null ? [] : [[plan.partition, of(plan) as T] as const]));
  const checkpointed = known(({ checkpointed }) => checkpointed || null);
  return {
    partitions: starts,
    ledgers: known(({ ledger }) => ledger),
    barriers: known(({ barrier }) => barrier),
    checkpointed,
    recent,
  };
}

const numbersOf = (start: { replay: readonly { barrier: PartitionBarrier }[] }) =>
  start.replay.map(({ barrier }) => barrier.number);

Deno.test("a pipeline without commits starts each partition at its log's start, with nothing", async () => {
  const found = await plan({ ranges: [range(0, 40), range(1, 0)] });
  assertEquals(found.partitions.map(({ offset }) => offset), [40, 0]);
  assertEquals(found.partitions[0], {
    partition: 0,
    assignment: 7,
    checkpoint: null,
    occurrences: new Uint8Array(),
    latestEventTime: null,
    offset: 40,
    replay: [],
  });
  assertEquals([found.ledgers.size, found.barriers.size, found.checkpointed.size, found.recent.length], [
    0,
    0,
    0,
    0,
  ]);
});

Deno.test("a partition with a checkpoint at its newest barrier goes on there and replays nothing", async () => {
  const { partitions, ledgers, barriers, checkpointed, recent } = await plan({
    commits: [commit(1, { 0: 1 }), commit(2, { 0: 2 })],
    checkpoints: [checkpoint(0, 1, 1), checkpoint(0, 2, 2)],
  });
  assertEquals(partitions, [{
    partition: 0,
    assignment: 7,
    checkpoint: barrier(0, 2),
    occurrences: LINES,
    latestEventTime: 77,
    offset: 20,
    replay: [],
  }]);
  assertEquals([ledgers.get(0), barriers.get(0), checkpointed.get(0)], [consumed(20), barrier(0, 2), 2]);
  assertEquals(recent, []);
});

Deno.test("barriers recorded after the checkpoint are replayed, each under the settings of its own commit", async () => {
  const other = { ...SEMANTICS, sessionTimeoutMs: 5 };
  const { partitions, ledgers, barriers, checkpointed } = await plan({
    commits: [commit(1, { 0: 1 }), commit(2, { 0: 2 }), commit(4, { 0: 3 }, { semantics: other })],
    checkpoints: [checkpoint(0, 1, 1)],
  });
  assertEquals([partitions[0]!.offset, partitions[0]!.checkpoint?.number], [10, 1]);
  assertEquals(partitions[0]!.replay, [
    { barrier: barrier(0, 2), semantics: SEMANTICS },
    { barrier: barrier(0, 3), semantics: other },
  ]);
  assertEquals([ledgers.get(0), barriers.get(0), checkpointed.get(0)], [consumed(30), barrier(0, 3), 1]);
});

Deno.test("without any checkpoint everything is replayed from the first barrier's start", async () => {
  const late = { ...commit(1, { 0: 1 }) };
  const first = { ...late.record.partitions[0]!, barrier: { ...barrier(0, 1), from: 7 } };
  const { partitions, checkpointed } = await plan({
    commits: [{ version: 1, record: { ...late.record, partitions: [first] } }, commit(2, { 0: 2 })],
    ranges: [range(0, 3)],
  });
  assertEquals([partitions[0]!.offset, numbersOf(partitions[0]!)], [7, [1, 2]]);
  assertEquals(checkpointed.size, 0);
});

Deno.test("each partition is restored from its own checkpoint, the oldest deciding how much of the log is read", async () => {
  const { partitions, recent } = await plan({
    commits: [commit(1, { 0: 1, 1: 1 }), commit(2, { 0: 2 }), commit(3, { 0: 3, 1: 2 }), commit(4, { 1: 3 })],
    checkpoints: [checkpoint(0, 3, 3), checkpoint(1, 1, 1)],
    ranges: [range(0), range(1)],
  });
  assertEquals(partitions.map(numbersOf), [[], [2, 3]]);
  assertEquals(partitions.map(({ offset }) => offset), [30, 10]);
  assertEquals(recent.map(({ version }) => version), [2, 3, 4]);
});

Deno.test("a partition that was added since starts at 0, also where its log begins later", async () => {
  const { partitions, ledgers } = await plan({
    commits: [commit(1, { 0: 1 })],
    ranges: [range(0), range(1, 0), range(2, 30)],
  });
  assertEquals(partitions.map(({ offset }) => offset), [0, 0, 0]);
  assertEquals([ledgers.has(1), ledgers.has(2)], [false, false]);
});

Deno.test("of several instances, the one that first reads a partition begins it at its log's start, if the topic had it from the first", async () => {
  const { partitions } = await plan({
    commits: [commit(1, { 0: 1 })],
    firstPartitions: 2,
    ranges: [range(0), range(1, 30), range(2, 30)],
    assigned: [1, 2],
  });
  assertEquals(partitions.map(({ partition, offset }) => [partition, offset]), [[1, 30], [2, 0]]);
});

Deno.test("only the commits of the partitions that came are read, up to where the log was seen to stand", async () => {
  const commits = [commit(1, { 0: 1, 1: 1 }), commit(2, { 1: 2 }), commit(3, { 0: 2 }), commit(4, { 0: 3 })];
  const positions = [
    { partition: 0, nextOffset: 20, barrierNumber: 2 },
    { partition: 1, nextOffset: 20, barrierNumber: 2 },
  ];
  const { partitions, recent } = await plan({
    commits,
    positions,
    version: 3,
    ranges: [range(0), range(1)],
    assigned: [0],
  });
  assertEquals(partitions.map(numbersOf), [[1, 2]]);
  assertEquals(recent.map(({ version }) => version), [1, 3]);
});

Deno.test("barriers that are neither in a checkpoint nor in the log stop the start, and are named", async () => {
  await assertRejects(
    () => plan({ commits: [commit(1, { 0: 1 }), commit(3, { 0: 3 })], checkpoints: [checkpoint(0, 1, 1)] }),
    SinkError,
    "its log stands at barrier 3, and the barriers after 1 are neither in a checkpoint nor in the Delta log",
  );
  await assertRejects(
    () => plan({ positions: [{ partition: 0, nextOffset: 20, barrierNumber: 2 }] }),
    SinkError,
    "the barriers after 0",
  );
});

Deno.test("a topic that lost a partition stops the start", async () => {
  await assertRejects(
    () => plan({ commits: [commit(1, { 0: 1, 7: 1 })], ranges: [range(0), range(1)] }),
    SourceError,
    "the log knows partition 7 of the topic and the source has 2 partitions without it",
  );
});

Deno.test("barriers recorded under another semantics version are not replayed, only started from at a checkpoint", async () => {
  const commits = [commit(1, { 0: 1 }), commit(2, { 0: 2 }, { semanticsVersion: SEMANTICS_VERSION + 1 })];
  await assertRejects(
    () => plan({ commits, checkpoints: [checkpoint(0, 1, 1)] }),
    SinkError,
    `semantics version ${SEMANTICS_VERSION + 1}, and this program has ${SEMANTICS_VERSION}`,
  );
  const { partitions } = await plan({ commits, checkpoints: [checkpoint(0, 2, 2)] });
  assertEquals([partitions[0]!.offset, partitions[0]!.replay.length], [20, 0]);
});
