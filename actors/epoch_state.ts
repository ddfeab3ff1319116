/** What the coordinator knows of the epochs and partitions in its hands, what happens to it, and what it then has done. */
import type { Erasure } from "../schema/erasure.ts";
import type { EpochCloseReason, Ledger, PartitionBarrier, PartitionRecord } from "../schema/epoch.ts";
import type { Assignment, IngestCommand, IngestReport, RestoredPartition, ShardReport } from "./protocol.ts";

/** A shard's part of an epoch. */
export type Seal = Extract<ShardReport, { type: "sealed" }>;

/** A snapshot that a checkpoint is to be written from. */
export interface Snapshot {
  readonly barrier: PartitionBarrier;
  readonly ledger: Ledger;
  readonly latestEventTime: number | null;
  /** One part per shard. */
  readonly occurrences: readonly Uint8Array[];
}

/** A partition's place in the log, from which this instance goes on with it. */
export interface PlannedPartition extends Assignment {
  readonly ledger: Ledger | null;
  /** The newest recorded barrier. */
  readonly barrier: PartitionBarrier | null;
  /** The number of the barrier that the newest checkpoint stands at; 0 where there is none. */
  readonly checkpointed: number;
}

/** An epoch in flight. */
export interface Epoch {
  readonly number: number;
  readonly closedBy: EpochCloseReason;
  /** Nothing is read after it. */
  readonly final: boolean;
  readonly checkpoint: boolean;
  phase: "closing" | "sealing" | "staging" | "staged" | "committing";
  /** What is to be committed: without the partitions that were taken away, or moved on by others, meanwhile. */
  barriers: readonly PartitionBarrier[];
  /** Seals hold more than `barriers`: parts of them must be left out. */
  reduced: boolean;
  /** Another one each time the epoch must be staged again; no two epochs have one in common. */
  attempt: number;
  /** Partitions to snapshot even if they get no barrier. */
  readonly stale: readonly number[];
  /** The barriers that the snapshots stand at: later epochs may post theirs before this one is sealed. */
  snapshotAt: readonly PartitionBarrier[];
  readonly seals: Seal[];
  /** Set when all shards have sealed. */
  partitions: readonly PartitionRecord[];
  snapshots: readonly Snapshot[];
  records: number;
  openSessions: number;
}

/** The coordinator's state. Maps are by partition. */
export interface EpochsState {
  readonly shards: number;
  readonly closeOpenAtEnd: boolean;
  /** The least time between two epochs that bring out revisions, milliseconds. */
  readonly revisionIntervalMs: number;
  lastEpoch: number;
  /** Oldest first. */
  readonly inFlight: Epoch[];
  attempts: number;
  /** The partitions that are this instance's, with the number of their assignment. */
  readonly assignments: Map<number, number>;
  /** Those whose restart is not planned yet: an epoch in flight may still move them on in the log. */
  readonly unplanned: Set<number>;
  /** Those that are being restored, with the number of shards that are still at it. */
  readonly restoring: Map<number, number>;
  /** Latest event time over the newest epoch that all shards have sealed. */
  readonly latest: Map<number, number>;
  readonly ledgers: Map<number, Ledger>;
  readonly openSessions: Map<number, number>;
  /** Sessions that wait for a revision, as of the newest epoch that all shards have sealed. */
  readonly pendingRevisions: Map<number, number>;
  /** When revisions were last asked for, and the newest time that an event told; monotonic milliseconds. */
  revisedAt: number;
  now: number;
  /** The newest barrier that was posted. */
  readonly barriers: Map<number, PartitionBarrier>;
  /** The number of the barrier that the newest checkpoint stands at. */
  readonly checkpointed: Map<number, number>;
  epochsSinceCheckpoint: number;
  /** Requests that are open, and the ids of those that a close has asked for. */
  erasures: readonly Erasure[];
  readonly erasuresAsked: Set<string>;
  /** A bounded run has read all: it ends when what it was given last is restored. */
  endReached: boolean;
  /** `ending`: a bounded run repeats barriers until nothing changes; `final`: the last close is asked for. */
  stage: "running" | "ending" | "draining" | "final" | "settled";
  /** A close that waits for room in flight. */
  wanted: EpochCloseReason | null;
}

export type EpochEvent =
  /** `at`: monotonic milliseconds. */
  | { readonly type: "tick"; readonly at: number }
  | { readonly type: "full"; readonly at: number }
  /** The requests that are open now. */
  | { readonly type: "erasures"; readonly erasures: readonly Erasure[] }
  | { readonly type: "end_reached" }
  | { readonly type: "drain" }
  | { readonly type: "assigned"; readonly partitions: readonly Assignment[] }
  | { readonly type: "planned"; readonly partitions: readonly PlannedPartition[] }
  | { readonly type: "restored"; readonly partitions: readonly RestoredPartition[] }
  | { readonly type: "revoked"; readonly partitions: readonly number[] }
  | Extract<IngestReport, { type: "closed" }>
  | Seal
  | { readonly type: "staged"; readonly epoch: number; readonly attempt: number }
  | { readonly type: "committed"; readonly epoch: number }
  /** The commit was refused: these partitions have moved on in the log without this instance. */
  | { readonly type: "fenced"; readonly epoch: number; readonly partitions: readonly number[] };

export type EpochEffect =
  /** Read from the log where these partitions stand, and have them restored; answered by `planned`. */
  | { readonly type: "plan"; readonly partitions: readonly Assignment[] }
  /** Have ingest and shards forget these partitions' state. */
  | { readonly type: "discard"; readonly partitions: readonly Assignment[] }
  | { readonly type: "close"; readonly command: Extract<IngestCommand, { type: "close" }> }
  /** Upload the rows and dead letters of the epoch's barriers; answered by `staged`, with this attempt's number. */
  | { readonly type: "stage"; readonly epoch: Epoch; readonly attempt: number }
  | { readonly type: "commit"; readonly epoch: Epoch }
  /** Write checkpoints; what they stand on is committed. */
  | { readonly type: "checkpoint"; readonly snapshots: readonly Snapshot[] }
  /** Nothing is in flight and nothing will be. */
  | { readonly type: "settled" };

/** The state of a coordinator that starts after `lastEpoch`. */
export function initialEpochs(
  start: Pick<EpochsState, "shards" | "closeOpenAtEnd" | "revisionIntervalMs" | "lastEpoch">,
): EpochsState {
  return {
    ...start,
    inFlight: [],
    attempts: 0,
    assignments: new Map(),
    unplanned: new Set(),
    restoring: new Map(),
    latest: new Map(),
    ledgers: new Map(),
    openSessions: new Map(),
    pendingRevisions: new Map(),
    revisedAt: -Infinity,
    now: 0,
    barriers: new Map(),
    checkpointed: new Map(),
    epochsSinceCheckpoint: 0,
    erasures: [],
    erasuresAsked: new Set(),
    endReached: false,
    stage: "running",
    wanted: null,
  };
}
