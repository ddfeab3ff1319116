/**
 * The seam between a session actor and what it knows of its shard's sessions. Two implementations: `plain_sessions.ts`,
 * which says what is right, over objects; and `fast_sessions.ts`, which is used, over numbers and bytes. On the same
 * records and barriers they seal the same, and each reads the other's snapshots.
 */
import type { ColumnBatch } from "../schema/column_batch.ts";
import type { PartitionBarrier, SessionSemantics } from "../schema/epoch.ts";
import type { OpenSession, OpenSessionQuery } from "../schema/open_session.ts";
import type { RecordBatch } from "../sources/source.ts";
import type { SealedPartition } from "./protocol.ts";
import type { DeadLetter } from "./sessionizer.ts";

/** A partition's state as of a barrier. */
export interface PartitionRestore {
  readonly partition: number;
  /** Joined {@linkcode ShardSessions.snapshot}s of any shards: each takes its own occurrences out of them. */
  readonly occurrences: Uint8Array;
  readonly latestEventTime: number | null;
  readonly watermark: number | null;
  readonly semantics: SessionSemantics;
}

/** What barriers brought out of a shard. */
export interface ShardSeal {
  /** Rows of finished sessions (SESSION_KINDS), in no particular order. */
  readonly rows: ColumnBatch;
  /** Rows that replace committed ones (REVISION_KINDS), in no particular order. */
  readonly revisions: ColumnBatch;
  readonly deadLetters: readonly DeadLetter[];
  /** The broker's timestamps of the events that ended sessions by `session_end`, in no particular order. */
  readonly closingTimes: Float64Array;
  readonly partitions: readonly SealedPartition[];
}

/** What a shard says of a partition between barriers. */
export interface PartitionSummary {
  readonly latestEventTime: number | null;
  readonly openSessions: number;
  readonly pendingRevisions: number;
}

/** One shard's sessions, of every partition that it was given. */
export interface ShardSessions {
  /** Over all partitions. */
  readonly openSessions: number;
  readonly heldEvents: number;
  /** Begins with a partition; drops what was there. */
  restore(partition: PartitionRestore): void;
  /** Forgets partitions. */
  drop(partitions: readonly number[]): void;
  /** The settings in force from here on. */
  setSemantics(partition: number, semantics: SessionSemantics): void;
  /** Takes in records of a partition, in offset order. */
  accept(batch: RecordBatch): void;
  /** Closes an epoch in some partitions. */
  seal(barriers: readonly PartitionBarrier[]): ShardSeal;
  /** Closes one whose rows are committed already. */
  replay(barrier: PartitionBarrier): void;
  summary(partition: number): PartitionSummary;
  /** A partition's occurrences as bytes (`checkpoint_part.ts`); it must stand at a barrier. */
  snapshot(partition: number): Uint8Array;
  /** The open sessions that the query means, the newest last event first. */
  inspect(query: OpenSessionQuery): OpenSession[];
}

/** The shard of so many that a {@linkcode ShardSessions} is of. */
export interface ShardPlace {
  readonly shard: number;
  readonly shards: number;
}
