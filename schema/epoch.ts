/** What a barrier, a commit and a checkpoint say: the records from which a restart rebuilds the state. */
import type { Erasure } from "./erasure.ts";
import type { DeadLetterReason } from "./user_event.ts";

/** Which meaning of the records and barriers the code has; a replay needs the same (ARCHITECTURE.md, "Restart"). */
export const SEMANTICS_VERSION = 3;

/** The least version that means the same by barriers that erase nothing: it brought revisions. */
export const PLAIN_SEMANTICS_VERSION = 2;

/** Why an epoch was closed. */
export type EpochCloseReason = "interval" | "size" | "end" | "drain";

/** The marker that closes an epoch in one partition. The state after it is a function of the records and of this. */
export interface PartitionBarrier {
  readonly partition: number;
  /** Its ordinal in the partition, from 1. */
  readonly number: number;
  readonly epoch: number;
  /** The fetch positions between which its records lie: `from` ≤ offset < `to`. */
  readonly from: number;
  readonly to: number;
  /** Wall clock at the barrier, epoch milliseconds; never moves back. */
  readonly clock: number;
  /** The watermark by event times alone, epoch milliseconds; null while unknown. */
  readonly eventWatermark: number | null;
  /** The watermark with idleness: ≥ `eventWatermark`. */
  readonly watermark: number | null;
  /** The barrier clock since which the partition is idle; null where it is not. */
  readonly idleSince: number | null;
  /** Finished sessions whose memory ends before this event time are forgotten; null: none. */
  readonly forgetBefore: number | null;
  /** Close what is open, with reason `drain`. */
  readonly closeOpen: boolean;
  /** Bring out every pending revision. Barriers recorded under semantics version 1 lack it: there were none. */
  readonly revise: boolean;
  /** What is dropped from the state, before all else; absent where that is nothing. */
  readonly erase?: readonly Erasure[];
  /** The last record before the barrier, to recognize the topic by; null where the partition has had none. */
  readonly lastRecord: RecordMark | null;
}

/** A record's offset with the CRC32 of its key and value. */
export interface RecordMark {
  readonly offset: number;
  readonly crc32: number;
}

/** Counts of records: `consumed = inSessions + duplicates + deadLetters + held`, in every commit. */
export interface Ledger {
  readonly consumed: number;
  /** In committed sessions, as they are after their newest revision, or erased. */
  readonly inSessions: number;
  readonly duplicates: number;
  readonly deadLetters: number;
  /** In open sessions, or waiting for a revision. */
  readonly held: number;
}

export const EMPTY_LEDGER: Ledger = { consumed: 0, inSessions: 0, duplicates: 0, deadLetters: 0, held: 0 };

/** What one commit says of one partition. */
export interface PartitionRecord {
  readonly barrier: PartitionBarrier;
  /** Running totals since the pipeline's first commit. */
  readonly ledger: Ledger;
}

/** What Sessionary writes into a commit's `commitInfo.sessionary`. */
export interface EpochRecord {
  readonly pipeline: string;
  readonly topic: string;
  readonly epoch: number;
  readonly closedBy: EpochCloseReason;
  readonly semanticsVersion: number;
  /** Sessions committed for the first time. */
  readonly rows: number;
  /** Rows that replace committed ones. Absent in commits under semantics version 1. */
  readonly revisions: number;
  readonly deadLetterFile: string | null;
  readonly deadLetters: Partial<Record<DeadLetterReason, number>>;
  /**
   * Partitions that the topic had when the pipeline began: they are read from their logs' starts, those that were added
   * later from 0. Commits of early versions lack it.
   */
  readonly firstPartitions?: number;
  /**
   * How many of the session's columns its writer knew: columns are only ever added, at the end. Commits of early versions
   * lack it, and have those up to `last_offset`.
   */
  readonly columns?: number;
  readonly partitions: readonly PartitionRecord[];
  /** The settings that decide what the state becomes. */
  readonly semantics: SessionSemantics;
}

/** The settings that sessionizing depends on; a change between two runs takes effect at a barrier. Milliseconds. */
export interface SessionSemantics {
  readonly sessionTimeoutMs: number;
  readonly watermarkDelayMs: number;
  readonly allowedLatenessMs: number;
  readonly maxSessionDurationMs: number;
  readonly maxSessionEvents: number;
  readonly maxClockSkewMs: number;
  readonly keyCheck: "session_id" | "trust";
}

/** The settings of {@linkcode SessionSemantics}, from the configuration. */
export function semanticsOf(config: SessionSemantics): SessionSemantics {
  const { sessionTimeoutMs, watermarkDelayMs, allowedLatenessMs, maxSessionDurationMs } = config;
  const { maxSessionEvents, maxClockSkewMs, keyCheck } = config;
  return {
    sessionTimeoutMs,
    watermarkDelayMs,
    allowedLatenessMs,
    maxSessionDurationMs,
    maxSessionEvents,
    maxClockSkewMs,
    keyCheck,
  };
}

/** A dead letter's file columns, in order. */
export const DEAD_LETTER_COLUMNS = [
  { name: "topic", kind: "utf8", nullable: false },
  { name: "partition", kind: "int32", nullable: false },
  { name: "offset", kind: "int64", nullable: false },
  { name: "timestamp", kind: "timestamp", nullable: false },
  { name: "reason", kind: "utf8", nullable: false },
  { name: "detail", kind: "utf8", nullable: false },
  { name: "key", kind: "binary", nullable: true },
  { name: "value", kind: "binary", nullable: true },
  { name: "epoch", kind: "int64", nullable: false },
] as const;

/** The kinds of {@linkcode DEAD_LETTER_COLUMNS}, for builders. */
export const DEAD_LETTER_KINDS = DEAD_LETTER_COLUMNS.map(({ kind }) => kind);
