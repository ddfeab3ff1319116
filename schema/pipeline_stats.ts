/**
 * What a running pipeline knows of itself: plain snapshots that each actor sends to the supervisor, about once a second.
 * Totals count since the process started. NOUNS, no IO; `web/` makes metrics and health of them.
 */
import type { EpochCloseReason } from "./epoch.ts";
import type { DeadLetterReason } from "./user_event.ts";

/** The actors, and what each of them reports. */
export type ActorStats = IngestStats | SessionActorStats | CoordinatorStats | UpkeepStats;

/** How far one partition has been read. */
export interface PartitionLag {
  readonly partition: number;
  /** The fetch position. */
  readonly position: number;
  /** The offset after the last record that the source holds, when it was last asked. */
  readonly end: number;
}

export interface IngestStats {
  readonly actor: "ingest";
  /** Read from the source, also what a restart replays. */
  readonly records: number;
  /** Bytes of those records' keys and values. */
  readonly bytes: number;
  readonly partitions: readonly PartitionLag[];
  /** Bytes on their way to each session actor, by shard. */
  readonly mailboxBytes: readonly number[];
  /** What each of them may hold. */
  readonly mailboxBytesMax: number;
}

export interface SessionActorStats {
  readonly actor: "session";
  readonly shard: number;
  readonly openSessions: number;
  /** Events of open sessions, of finished ones until their epoch's barrier, and those that wait for a revision. */
  readonly heldEvents: number;
  /** Estimate: `heldEvents` × the mean size of the records taken in; null before the first. */
  readonly heldBytes: number | null;
}

/** What the pipeline writes to. */
export const SINKS = ["lake", "warehouse"] as const;
export type Sink = typeof SINKS[number];

/** Whether a sink works, as its last requests had it. */
export interface SinkState {
  /** Why it is down, as a sentence; null while it is up. */
  readonly down: string | null;
  /** When it came to be so, epoch milliseconds. */
  readonly sinceMs: number;
}

export interface SinkStats extends SinkState {
  /** Rows committed, or inserted. */
  readonly rows: number;
  /** Bytes of the Parquet files that hold them. */
  readonly bytes: number;
  /** Requests that failed and were tried again. */
  readonly retries: number;
}

/**
 * The stages of an epoch: from asking for its barriers to the last shard's seal; uploading its files; the Delta commit;
 * the insert of its version, reading its files included; writing one partition's checkpoint.
 */
export const STAGES = ["seal", "upload", "commit", "insert", "checkpoint"] as const;
export type Stage = typeof STAGES[number];

/** A histogram: `counts[i]` values ≤ `bounds[i]` and above the bound before; the last entry is of those above all. */
export interface HistogramStats {
  readonly bounds: readonly number[];
  readonly counts: readonly number[];
  readonly sum: number;
}

/** Seconds; an epoch's stages. */
export const STAGE_BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120] as const;

/** Seconds; close together around an epoch of 10 s, because that is what the promise of freshness is about. */
export const END_TO_END_BOUNDS = [
  ...[0.1, 0.25, 0.5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10.5, 11, 11.5, 12, 13, 15, 20],
  ...[30, 60, 120, 300, 600, 1_800, 3_600],
] as const;

/** Where a partition's event time stands, as of its newest barrier. Times are epoch milliseconds. */
export interface PartitionWatermark {
  readonly partition: number;
  readonly watermark: number;
  /** The barrier's clock. */
  readonly clock: number;
  /** The barrier clock since which the partition is idle; null where it is not. */
  readonly idleSince: number | null;
}

/** One epoch's way. Times are epoch milliseconds, null until it has come there; so are the counts until the commit. */
export interface EpochTrace {
  readonly epoch: number;
  /** The Delta version that holds it. */
  readonly version: number | null;
  readonly closedBy: EpochCloseReason | null;
  /** Its barriers were asked for. */
  readonly askedMs: number;
  /** The last shard had sealed. */
  readonly sealedMs: number | null;
  readonly uploadedMs: number | null;
  readonly committedMs: number | null;
  readonly insertedMs: number | null;
  readonly sessions: number | null;
  /** Sessions that late events amended. */
  readonly revisions: number | null;
  readonly events: number | null;
  readonly deadLetters: number | null;
  /** Of its Parquet files with sessions. */
  readonly bytes: number | null;
}

export interface CoordinatorStats {
  readonly actor: "coordinator";
  /** Records in committed epochs: in sessions, duplicates, dead letters and what is held together. */
  readonly consumed: number;
  readonly sessions: number;
  /** Rows of committed sessions that late events replaced. */
  readonly revisions: number;
  readonly duplicates: number;
  readonly deadLetters: Readonly<Partial<Record<DeadLetterReason, number>>>;
  /** The same two counts over the epochs that were committed in the last five minutes. */
  readonly recent: { readonly consumed: number; readonly deadLetters: number };
  readonly commits: number;
  /** Versions that other writers were first to take. */
  readonly commitConflicts: number;
  /** Epoch milliseconds; null before the first commit. */
  readonly lastCommitMs: number | null;
  /** The newest Delta version that this process knows. */
  readonly deltaVersion: number;
  readonly lastEpoch: number;
  readonly epochsInFlight: number;
  /** Committed versions that ClickHouse lacks. */
  readonly lagVersions: number;
  /** Of the partitions that have one. */
  readonly watermarks: readonly PartitionWatermark[];
  /** The last ones, oldest first. */
  readonly epochs: readonly EpochTrace[];
  readonly sinks: Readonly<Record<Sink, SinkStats>>;
  readonly stages: Readonly<Record<Stage, HistogramStats>>;
  /**
   * Sessions closed by `session_end`: from the broker's timestamp of the closing event to the end of the insert,
   * seconds.
   */
  readonly endToEnd: HistogramStats;
  /** Barriers that the start replayed: 0 where the last run was stopped in order. */
  readonly replayedBarriers: number;
}

/** The upkeep of the Delta table by this instance. */
export interface UpkeepStats {
  readonly actor: "upkeep";
  /** Looks for small files, whether or not there were any. */
  readonly optimizeRuns: number;
  /** Files that OPTIMIZE took out of the table and put into it, and their bytes. */
  readonly filesRemoved: number;
  readonly filesAdded: number;
  readonly bytesRemoved: number;
  readonly bytesAdded: number;
  /** Versions that other writers were first to take. */
  readonly conflicts: number;
  /** Times that packed files were given up, because another writer had removed one of them. */
  readonly abandoned: number;
  readonly filesVacuumed: number;
  readonly bytesVacuumed: number;
  readonly logFilesDeleted: number;
  /** Times that some of it failed. */
  readonly failures: number;
}

/** An actor's sign of life. */
export interface ActorPulse {
  /** As a person would call it: "ingest", "session actor 0", "coordinator". */
  readonly name: string;
  /** When it last reported, or was started; epoch milliseconds. */
  readonly lastSeenMs: number;
}

/** The newest report of every actor. */
export interface PipelineStats {
  readonly ingest: IngestStats | null;
  readonly sessionActors: readonly SessionActorStats[];
  readonly coordinator: CoordinatorStats | null;
  /** Null also where nothing is to be looked after: see OPTIMIZE_INTERVAL, VACUUM_INTERVAL and RETENTION. */
  readonly upkeep: UpkeepStats | null;
  /** When the first event was processed that the start had not replayed, epoch milliseconds; null before. */
  readonly firstNewEventMs: number | null;
  readonly pulses: readonly ActorPulse[];
}

/** Counts values by bounds. */
export class Histogram {
  readonly #counts: number[];
  #sum = 0;

  /** @param bounds ascending; a value equal to a bound counts below it */
  constructor(private readonly bounds: readonly number[]) {
    this.#counts = new Array(bounds.length + 1).fill(0);
  }

  /** Counts `value`, `times` times. */
  observe(value: number, times = 1): void {
    const index = this.bounds.findIndex((bound) => value <= bound);
    this.#counts[index < 0 ? this.bounds.length : index]! += times;
    this.#sum += value * times;
  }

  /** What was counted up to now, for a message. */
  get stats(): HistogramStats {
    return { bounds: this.bounds, counts: [...this.#counts], sum: this.#sum };
  }
}
