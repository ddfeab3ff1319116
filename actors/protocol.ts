/**
 * Every message between the actors, as discriminated unions. Ports are FIFO; what an actor may assume about order is
 * said with the message. ARCHITECTURE.md draws who talks to whom.
 */
import type { ColumnBatch } from "../schema/column_batch.ts";
import type { Config } from "../schema/config.ts";
import type { Erasure } from "../schema/erasure.ts";
import type { EpochCloseReason, PartitionBarrier, SessionSemantics } from "../schema/epoch.ts";
import type { OpenSession, OpenSessionQuery } from "../schema/open_session.ts";
import type { ActorStats, IngestStats } from "../schema/pipeline_stats.ts";
import type { OptimizeReport } from "../sinks/lake/optimize_report.ts";
import type { PartitionRange, RecordBatch } from "../sources/source.ts";
import type { PartitionCounts } from "./sessionizer.ts";

/**
 * A partition that the source gave to this instance. One that is taken away and given back has another number, by which
 * what is still on its way about the time before is told apart.
 */
export interface Assignment {
  readonly partition: number;
  readonly assignment: number;
}

/** A partition as its owner starts with it: the state as of a checkpoint, and what to replay from there. */
export interface PartitionStart extends Assignment {
  /** The barrier of the checkpoint; null where the partition starts without one. */
  readonly checkpoint: PartitionBarrier | null;
  /** The occurrences at that barrier, as `checkpoint.ts` encodes them. */
  readonly occurrences: Uint8Array;
  /** Latest event time at that barrier. */
  readonly latestEventTime: number | null;
  /** Where reading starts. */
  readonly offset: number;
  /** The barriers recorded since, with the settings in force before each. */
  readonly replay: readonly { readonly barrier: PartitionBarrier; readonly semantics: SessionSemantics }[];
}

/** Coordinator → ingest. */
export type IngestCommand =
  /** How to start with partitions that were `assigned`; answered by every shard's `restored`. */
  | { readonly type: "assign"; readonly partitions: readonly PartitionStart[] }
  /**
   * The log has moved on without this instance: forget the partitions' state. Where they are still this instance's
   * they are `assigned` anew.
   */
  | { readonly type: "discard"; readonly partitions: readonly Assignment[] }
  /** Close the epoch; answered by `closed`. */
  | {
    readonly type: "close";
    readonly epoch: number;
    /** Latest event time by partition, over the newest epoch that all shards have sealed. */
    readonly latest: ReadonlyMap<number, number>;
    readonly closeOpen: boolean;
    /** Partitions whose pending revisions are due. */
    readonly revise: readonly number[];
    /** Requests that are open, for every partition that has not been through them; absent: none. */
    readonly erase?: readonly Erasure[];
    /** Whether shards shall snapshot the partitions that get a barrier. */
    readonly checkpoint: boolean;
    /** Partitions to snapshot even if they get none: their state is that at their newest barrier. */
    readonly stale: readonly number[];
    /** Stop reading before the barrier: nothing follows it. */
    readonly stop: boolean;
  }
  /** The epoch is in the lake. */
  | { readonly type: "committed"; readonly epoch: number; readonly positions: ReadonlyMap<number, number> }
  /** Close the source; answered by `stopped`. */
  | { readonly type: "shutdown" };

/** Ingest → coordinator. */
export type IngestReport =
  /** Partitions that are this instance's from now on; first of all, those that it was given at the start, if any. */
  | {
    readonly type: "assigned";
    readonly partitions: readonly Assignment[];
    /** What every partition of the topic holds, also those of other instances. */
    readonly ranges: readonly PartitionRange[];
  }
  /** Partitions that are no longer this instance's: no barrier of theirs follows. */
  | { readonly type: "revoked"; readonly partitions: readonly number[] }
  /** What was posted to every shard: barriers, none where nothing would change, and requests for snapshots. */
  | {
    readonly type: "closed";
    readonly epoch: number;
    readonly barriers: readonly PartitionBarrier[];
    readonly snapshots: readonly number[];
  }
  /** The epoch has reached its size: reading waits until it is closed. */
  | { readonly type: "full" }
  /** A bounded run has read what the log held when it started. */
  | { readonly type: "end_reached" }
  /** The source is closed; with the last word on what was read. */
  | { readonly type: "stopped"; readonly stats: IngestStats };

/** Ingest → session actor, FIFO: a barrier follows all records that it covers. */
export type ShardMessage =
  | { readonly type: "records"; readonly batch: RecordBatch }
  /** The partition's state as of a checkpoint; drops what was there. */
  | {
    readonly type: "restore";
    readonly partition: number;
    readonly occurrences: Uint8Array;
    readonly latestEventTime: number | null;
    readonly watermark: number | null;
    readonly semantics: SessionSemantics;
  }
  /** A recorded barrier: what it brings out is already committed, and discarded; with `verify` it is `remade`. */
  | { readonly type: "replayed"; readonly barrier: PartitionBarrier; readonly verify: boolean }
  /** The settings in force from here on. */
  | { readonly type: "semantics"; readonly partition: number; readonly semantics: SessionSemantics }
  /** These partitions are replayed; answered to the coordinator by `restored`. */
  | { readonly type: "live"; readonly partitions: readonly Assignment[] }
  /** Forget these partitions' state. */
  | { readonly type: "drop"; readonly partitions: readonly number[] }
  | {
    readonly type: "barrier";
    readonly epoch: number;
    readonly barriers: readonly PartitionBarrier[];
    /** Partitions to snapshot after the barriers. */
    readonly snapshots: readonly number[];
  };

/** Session actor → ingest: bytes of records that have left the mailbox. */
export interface Credit {
  readonly bytes: number;
}

/** What a shard says of one partition when it has been replayed. */
export interface RestoredPartition extends Assignment {
  readonly latestEventTime: number | null;
  readonly openSessions: number;
  readonly pendingRevisions: number;
}

/** What a shard says of one partition when it seals. */
export interface SealedPartition {
  readonly partition: number;
  readonly counts: PartitionCounts;
  readonly latestEventTime: number | null;
}

/** What a shard's part of a partition brought out again at a recorded barrier, as of its seal. */
export interface RemadeRows {
  readonly shard: number;
  readonly partition: number;
  readonly barrierNumber: number;
  readonly rows: ColumnBatch;
  /** REVISION_KINDS */
  readonly revisions: ColumnBatch;
}

/** Session actor → coordinator. */
export type ShardReport =
  | { readonly type: "remade" } & RemadeRows
  | {
    readonly type: "restored";
    readonly shard: number;
    readonly partitions: readonly RestoredPartition[];
  }
  | {
    readonly type: "sealed";
    readonly shard: number;
    readonly epoch: number;
    readonly rows: ColumnBatch;
    /** Rows that replace committed ones (REVISION_KINDS). */
    readonly revisions: ColumnBatch;
    readonly deadLetters: ColumnBatch;
    /** The broker's timestamps of the events that ended sessions by `session_end`, in no particular order. */
    readonly closingTimes: Float64Array;
    readonly partitions: readonly SealedPartition[];
    readonly snapshots: readonly { readonly partition: number; readonly occurrences: Uint8Array }[];
  };

/** One committed epoch, for people and dashboards. */
export interface EpochReport {
  readonly epoch: number;
  /** The Delta version that holds it. */
  readonly version: number;
  readonly closedBy: EpochCloseReason;
  readonly sessions: number;
  /** Rows of committed sessions that late events replaced. */
  readonly revisions: number;
  readonly events: number;
  readonly eventsPerSecond: number;
  readonly openSessions: number;
  readonly deadLetters: number;
  /** From the last shard's seal to the Delta commit. */
  readonly commitMs: number;
  /** The ClickHouse insert; null where ClickHouse lags behind. */
  readonly insertMs: number | null;
}

/** What a pipeline did from start to stop. */
export interface PipelineSummary {
  readonly epochs: number;
  readonly sessions: number;
  readonly events: number;
  readonly deadLetters: number;
}

/** Any actor → supervisor. */
export type ActorReport =
  | { readonly type: "ready" }
  /** A session actor has processed its first event after the replay of what it started with; epoch milliseconds. */
  | { readonly type: "processing"; readonly atMs: number }
  | { readonly type: "epoch"; readonly report: EpochReport }
  /** About once a second, and with what an epoch brings: what the actor counts, and that it is alive. */
  | { readonly type: "stats"; readonly stats: ActorStats }
  /** A session actor's answer to `inspect`. */
  | {
    readonly type: "inspected";
    readonly id: number;
    readonly shard: number;
    readonly sessions: readonly OpenSession[];
  }
  /** A sentence for the operator. */
  | { readonly type: "notice"; readonly level: "info" | "warning"; readonly text: string }
  | { readonly type: "finished"; readonly summary: PipelineSummary }
  | { readonly type: "failed"; readonly failure: Failure };

/** An error on its way to the supervisor: classes do not survive the journey. */
export interface Failure {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  readonly exitCode: number;
}

/** Supervisor → coordinator. */
export type CoordinatorCommand = { readonly type: "drain" };

/** Supervisor → session actor: tell of open sessions; answered by `inspected` with the same id. */
export interface SessionActorCommand {
  readonly type: "inspect";
  readonly id: number;
  readonly query: OpenSessionQuery;
}

/** How a run starts and ends: `untilEnd` stops it at the log's present end, `closeOpen` then closes what is open. */
export interface RunMode {
  readonly untilEnd: boolean;
  readonly closeOpen: boolean;
  /** Whether what a replay makes again is compared with what is committed. */
  readonly verifyReplay?: boolean;
}

/** Supervisor → each actor, once, with its ports. */
export interface ActorStart {
  readonly config: Config;
  readonly mode: RunMode;
}

export interface IngestStart extends ActorStart {
  readonly shards: readonly MessagePort[];
  readonly coordinator: MessagePort;
}

export interface SessionActorStart extends ActorStart {
  readonly shard: number;
  readonly ingest: MessagePort;
  readonly coordinator: MessagePort;
}

/** Supervisor → upkeep, once. */
export interface UpkeepStart {
  readonly config: Config;
  /** As the coordinator's. */
  readonly warehouse: MessagePort | null;
}

/** Upkeep → packing, once. */
export interface PackingStart {
  readonly config: Config;
}

/** Packing → upkeep. */
export type PackingReport =
  | Extract<ActorReport, { type: "notice" | "failed" }>
  | { readonly type: "packed"; readonly report: OptimizeReport };

export interface CoordinatorStart extends ActorStart {
  readonly shards: readonly MessagePort[];
  readonly ingest: MessagePort;
  /** The embedded warehouse's port; null where ClickHouse is reached over HTTP. */
  readonly warehouse: MessagePort | null;
}
