/**
 * Where an instance goes on with partitions that it is given: from each one's newest `txn`, its newest readable checkpoint, and the barriers that
 * the log recorded since. All that a restart needs is in the log, the checkpoints and the source.
 */
import {
  type PartitionBarrier,
  PLAIN_SEMANTICS_VERSION,
  SEMANTICS_VERSION,
  type SessionSemantics,
} from "../schema/epoch.ts";
import { SinkError, SourceError } from "../schema/errors.ts";
import type { Checkpoint, CheckpointStore } from "../sinks/checkpoint_store.ts";
import type { CommittedEpoch, Lake, LakeState, PartitionPosition } from "../sinks/sink.ts";
import type { PartitionRange } from "../sources/source.ts";
import type { PlannedPartition } from "./epoch_state.ts";
import type { Assignment, PartitionStart } from "./protocol.ts";

/** How partitions are started, and what the coordinator knows of them then. */
export interface RestartPlan {
  readonly starts: readonly PartitionStart[];
  readonly planned: readonly PlannedPartition[];
  /** The partitions' commits since their oldest checkpoint: their dead letters may not have been fed to the topic. */
  readonly recent: readonly CommittedEpoch[];
}

const NONE = new Uint8Array();

/**
 * Plans the start of partitions.
 *
 * @param state the log as it stands: what was committed since is not looked at, and fences us if it concerns us
 * @param ranges what every partition of the topic holds
 * @throws {SinkError} where recorded barriers that a replay needs are gone
 * @throws {SourceError} where the topic has lost partitions
 */
export async function planRestart(
  lake: Pick<Lake, "epochsAfter">,
  state: LakeState,
  checkpoints: Pick<CheckpointStore, "newest">,
  ranges: readonly PartitionRange[],
  partitions: readonly Assignment[],
): Promise<RestartPlan> {
  const positions = new Map(state.positions.map((position) => [position.partition, position]));
  for (const { partition } of state.positions) {
    if (!ranges.some((range) => range.partition === partition)) {
      throw new SourceError(
        `Cannot go on: the log knows partition ${partition} of the topic and the source has ${ranges.length} ` +
          `partitions without it. Restore the topic, or start a new pipeline (PIPELINE) on a new lake.`,
      );
    }
  }
  const known = partitions.flatMap(({ partition }) => positions.get(partition) ?? []);
  const found = new Map<number, Checkpoint>();
  await Promise.all(known.map(async ({ partition, barrierNumber }) => {
    const checkpoint = await checkpoints.newest(partition, barrierNumber);
    if (checkpoint !== null) found.set(partition, checkpoint);
  }));
  const versions = known.map(({ partition }) => found.get(partition)?.header.deltaVersion ?? -1);
  const since = versions.length === 0 ? [] : await lake.epochsAfter(Math.min(...versions));
  const recent = since.filter(({ version, record }) =>
    version <= state.version &&
    record.partitions.some(({ barrier }) => known.some(({ partition }) => partition === barrier.partition))
  );
  const plans = partitions.map((assigned) => {
    const { partition } = assigned;
    const firstOffset = firstOffsetOf(partition, state, ranges);
    return startOf(assigned, positions.get(partition), firstOffset, found.get(partition) ?? null, recent);
  });
  return { starts: plans.map(({ start }) => start), planned: plans.map(({ planned }) => planned), recent };
}

/** Where a partition without a past is begun: one that the topic had from the first at its log's start, others at 0. */
function firstOffsetOf(
  partition: number,
  { positions, firstPartitions }: LakeState,
  ranges: readonly PartitionRange[],
): number {
  const fromTheFirst = firstPartitions ?? (positions.length === 0 ? ranges.length : 0);
  if (partition >= fromTheFirst) return 0;
  return ranges.find((range) => range.partition === partition)?.start ?? 0;
}

interface PlannedStart {
  readonly start: PartitionStart;
  readonly planned: PlannedPartition;
}

/** Without a position a partition starts at `firstOffset`. */
function startOf(
  { partition, assignment }: Assignment,
  position: PartitionPosition | undefined,
  firstOffset: number,
  checkpoint: Checkpoint | null,
  epochs: readonly CommittedEpoch[],
): PlannedStart {
  const header = checkpoint?.header ?? null;
  const occurrences = checkpoint?.occurrences ?? NONE;
  const replay: { barrier: PartitionBarrier; semantics: SessionSemantics }[] = [];
  let number = header?.barrier.number ?? 0;
  let ledger = header?.ledger ?? null;
  for (const { record } of epochs) {
    const entry = record.partitions.find(({ barrier }) => barrier.partition === partition);
    if (entry === undefined || entry.barrier.number !== number + 1) continue;
    number++;
    ledger = entry.ledger;
    replay.push({ barrier: entry.barrier, semantics: record.semantics });
    checkSemantics(partition, record.semanticsVersion);
  }
  if (number !== (position?.barrierNumber ?? 0)) {
    throw new SinkError(
      `Cannot restore partition ${partition}: its log stands at barrier ${position?.barrierNumber}, and the barriers ` +
        `after ${number} are neither in a checkpoint nor in the Delta log. Restore the lake from a backup.`,
      false,
    );
  }
  const newest = replay.at(-1)?.barrier ?? header?.barrier ?? null;
  const offset = header?.barrier.to ?? replay[0]?.barrier.from ?? firstOffset;
  const latestEventTime = header?.latestEventTime ?? null;
  const start = { partition, assignment, checkpoint: header?.barrier ?? null, occurrences, latestEventTime };
  const checkpointed = header?.barrier.number ?? 0;
  return {
    start: { ...start, offset, replay },
    planned: { partition, assignment, ledger, barrier: newest, checkpointed },
  };
}

/** Another meaning of records and barriers would make another state of them. */
function checkSemantics(partition: number, version: number): void {
  if (version >= PLAIN_SEMANTICS_VERSION && version <= SEMANTICS_VERSION) return;
  throw new SinkError(
    `Cannot replay partition ${partition}: its barriers were recorded under semantics version ${version}, and this ` +
      `program has ${SEMANTICS_VERSION}. Start the program that wrote them, stop it with Ctrl-C (it writes a ` +
      `checkpoint), and start this one.`,
    false,
  );
}

/**
 * What the operator is told of partitions that are restored; null where there is nothing to tell.
 *
 * @param running whether the instance reads others already
 */
export function replayNotice(
  partitions: readonly Assignment[],
  barriers: number,
  running: boolean,
): string | null {
  if (!running) {
    if (barriers === 0) return null;
    return `The last run was not stopped in order: replaying ${barriers} recorded barriers.`;
  }
  const names = partitions.map(({ partition }) => partition).sort((a, b) => a - b).join(", ");
  return `This instance reads the partitions ${names} now: replaying ${barriers} recorded barriers.`;
}
