/**
 * Where a process goes on: from each partition's newest `txn`, its newest readable checkpoint, and the barriers that
 * the log recorded since. All that a restart needs is in the log, the checkpoints and the source.
 */
import {
  type Ledger,
  type PartitionBarrier,
  SEMANTICS_VERSION,
  type SessionSemantics,
} from "../schema/epoch.ts";
import { SinkError, SourceError } from "../schema/errors.ts";
import type { Checkpoint, CheckpointStore } from "../sinks/checkpoint_store.ts";
import type { CommittedEpoch, Lake, LakeState, PartitionPosition } from "../sinks/sink.ts";
import type { PartitionRange } from "../sources/source.ts";
import type { PartitionStart } from "./protocol.ts";

/** What the coordinator starts from. */
export interface RestartPlan {
  readonly partitions: readonly PartitionStart[];
  readonly ledgers: ReadonlyMap<number, Ledger>;
  /** The newest recorded barriers. */
  readonly barriers: ReadonlyMap<number, PartitionBarrier>;
  /** The barrier numbers that checkpoints stand at. */
  readonly checkpointed: ReadonlyMap<number, number>;
  /** Commits since the oldest checkpoint: their dead letters may not have been fed to the topic. */
  readonly recent: readonly CommittedEpoch[];
}

const NONE = new Uint8Array();

/**
 * Plans the start of the partitions in `ranges`.
 *
 * @throws {SinkError} where recorded barriers that a replay needs are gone
 * @throws {SourceError} where the topic has lost partitions
 */
export async function planRestart(
  lake: Pick<Lake, "epochsAfter">,
  state: LakeState,
  checkpoints: Pick<CheckpointStore, "newest">,
  ranges: readonly PartitionRange[],
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
  const found = new Map<number, Checkpoint>();
  for (const { partition, barrierNumber } of state.positions) {
    const checkpoint = await checkpoints.newest(partition, barrierNumber);
    if (checkpoint !== null) found.set(partition, checkpoint);
  }
  const versions = state.positions.map(({ partition }) => found.get(partition)?.header.deltaVersion ?? -1);
  const recent = versions.length === 0 ? [] : await lake.epochsAfter(Math.min(...versions));
  const fresh = positions.size === 0;
  const starts = ranges.map(({ partition, start }) =>
    startOf(partition, positions.get(partition), fresh ? start : 0, found.get(partition) ?? null, recent)
  );
  return {
    partitions: starts.map(({ start }) => start),
    ledgers: collect(starts.map(({ start, ledger }) => [start.partition, ledger])),
    barriers: collect(starts.map(({ start, newest }) => [start.partition, newest])),
    checkpointed: collect([...found].map(([partition, { header }]) => [partition, header.barrier.number])),
    recent,
  };
}

function collect<T>(entries: readonly (readonly [number, T | null])[]): Map<number, T> {
  return new Map(entries.filter((entry): entry is readonly [number, T] => entry[1] !== null));
}

interface PlannedStart {
  readonly start: PartitionStart;
  readonly ledger: Ledger | null;
  readonly newest: PartitionBarrier | null;
}

/** Without a position a partition starts at `firstOffset`: the log's start, or 0 where it was added later. */
function startOf(
  partition: number,
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
  const checkpointAt = header?.barrier ?? null;
  return {
    start: { partition, checkpoint: checkpointAt, occurrences, latestEventTime, offset, replay },
    ledger,
    newest,
  };
}

/** Another meaning of records and barriers would make another state of them. */
function checkSemantics(partition: number, version: number): void {
  if (version === SEMANTICS_VERSION) return;
  throw new SinkError(
    `Cannot replay partition ${partition}: its barriers were recorded under semantics version ${version}, and this ` +
      `program has ${SEMANTICS_VERSION}. Start the program that wrote them, stop it with Ctrl-C (it writes a ` +
      `checkpoint), and start this one.`,
    false,
  );
}
