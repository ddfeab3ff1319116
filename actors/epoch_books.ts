/** The books of an epoch: what its seals say of each partition, added up and proven to balance. PURE but for the state. */
import { EMPTY_LEDGER, type Ledger, type PartitionBarrier } from "../schema/epoch.ts";
import { invariant } from "../schema/errors.ts";
import type { PartitionWatermark } from "../schema/pipeline_stats.ts";
import type { Epoch, EpochsState, Snapshot } from "./epoch_state.ts";

/** Records of the epoch's barriers. */
export function countRecords({ barriers, seals }: Epoch): number {
  const kept = new Set(barriers.map(({ partition }) => partition));
  return seals.flatMap(({ partitions }) => partitions)
    .reduce((sum, { partition, counts }) => kept.has(partition) ? sum + counts.records : sum, 0);
}

/** Takes one partition's counts into the books, and proves that they balance. */
export function advance(state: EpochsState, epoch: Epoch, partition: number): Ledger {
  const before = state.ledgers.get(partition) ?? EMPTY_LEDGER;
  const ledger = { ...before, held: 0 };
  let [openSessions, pendingRevisions] = [0, 0];
  for (const seal of epoch.seals) {
    const sealed = seal.partitions.find((candidate) => candidate.partition === partition);
    invariant(
      sealed !== undefined,
      `shard ${seal.shard} seals partition ${partition} of epoch ${epoch.number}`,
    );
    const { counts, latestEventTime } = sealed;
    ledger.consumed += counts.records;
    ledger.inSessions += counts.inSessions;
    ledger.duplicates += counts.duplicates;
    ledger.deadLetters += counts.deadLetters;
    ledger.held += counts.held;
    openSessions += counts.openSessions;
    noteLatest(state, partition, latestEventTime);
    pendingRevisions += counts.pendingRevisions;
  }
  const accounted = ledger.inSessions + ledger.duplicates + ledger.deadLetters + ledger.held;
  invariant(
    ledger.consumed === accounted,
    `the ledger of partition ${partition} balances in epoch ${epoch.number}: ${JSON.stringify(ledger)}`,
  );
  state.ledgers.set(partition, ledger);
  state.openSessions.set(partition, openSessions);
  state.pendingRevisions.set(partition, pendingRevisions);
  return ledger;
}

/** The partition's newest barrier that was posted. */
export function newest(state: EpochsState, partition: number): PartitionBarrier {
  const barrier = state.barriers.get(partition);
  invariant(barrier !== undefined, `a snapshot of partition ${partition} stands at a barrier`);
  return barrier;
}

/** What a checkpoint of the partition at `barrier` is written from. */
export function snapshot(state: EpochsState, epoch: Epoch, barrier: PartitionBarrier): Snapshot {
  const { partition } = barrier;
  const occurrences = epoch.seals.map(({ shard, snapshots }) => {
    const part = snapshots.find((candidate) => candidate.partition === partition);
    invariant(part !== undefined, `shard ${shard} snapshots partition ${partition} in epoch ${epoch.number}`);
    return part.occurrences;
  });
  const ledger = state.ledgers.get(partition) ?? EMPTY_LEDGER;
  return { barrier, ledger, latestEventTime: state.latest.get(partition) ?? null, occurrences };
}

/** An event time that was seen in the partition. */
export function noteLatest(state: EpochsState, partition: number, time: number | null): void {
  if (time !== null) state.latest.set(partition, Math.max(state.latest.get(partition) ?? time, time));
}

/** Where event time stands in the partitions that have a watermark, for people. */
export function watermarksOf({ barriers }: EpochsState): PartitionWatermark[] {
  return [...barriers.values()].flatMap(({ partition, watermark, clock, idleSince }) =>
    watermark === null ? [] : [{ partition, watermark, clock, idleSince }]
  );
}
