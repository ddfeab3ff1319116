/** The seams between the coordinator and what it writes to: a lake (Delta on an object store) and a warehouse. */
import type { ColumnBatch } from "../schema/column_batch.ts";
import type { EpochRecord } from "../schema/epoch.ts";

/** An object of a store. Keys use `/`, are relative to the store's root, and sort by code unit. */
export interface ObjectInfo {
  readonly key: string;
  readonly size: number;
  readonly modifiedAtMs: number;
}

/** What the lake needs of a folder, MinIO or S3. A write that returned is durable. Failures are `SinkError`s. */
export interface ObjectStore {
  /** Where it is, for sentences. */
  readonly location: string;
  put(key: string, bytes: Uint8Array): Promise<void>;
  /** Creates the object, atomically, unless the key exists. */
  putIfAbsent(key: string, bytes: Uint8Array): Promise<"created" | "exists">;
  /** The object's bytes, or null where there is none. */
  get(key: string): Promise<Uint8Array | null>;
  /** The objects whose key starts with `prefix`, ascending; with `startAfter`, only keys greater than it. */
  list(prefix: string, startAfter?: string): Promise<readonly ObjectInfo[]>;
  /** Deletes the object; one that is not there is no error. */
  delete(key: string): Promise<void>;
}

/** A data file that was uploaded and that no commit names yet. */
export interface StagedFile {
  /** Relative to the table's root, not URL-encoded. */
  readonly path: string;
  readonly sessionDate: string;
  readonly size: number;
  readonly rows: number;
  /** The Delta statistics as JSON text. */
  readonly stats: string;
  readonly modifiedAtMs: number;
}

/** What a partition's next commit must find in the log (fencing), and what it sets. */
export interface PartitionAdvance {
  readonly partition: number;
  readonly from: number;
  readonly to: number;
  /** The barrier's number: the log must hold this − 1. */
  readonly barrierNumber: number;
}

/** One commit of the pipeline. */
export interface LakeCommit {
  /** The rows of the sessions that it adds. */
  readonly files: readonly StagedFile[];
  /** Rows (REVISION_KINDS) that replace those of the same session in the table, in commit order. */
  readonly revisions: ColumnBatch;
  readonly advances: readonly PartitionAdvance[];
  readonly record: EpochRecord;
  /** Events by partition that barriers erased before any row held them; absent: none. */
  readonly erased?: ReadonlyMap<number, number>;
  /** Wall clock, epoch milliseconds. */
  readonly timestampMs: number;
}

/** How a commit ended: a partition whose log moved on without us is a fact, not an error. */
export type CommitOutcome =
  | { readonly status: "committed"; readonly version: number; readonly conflicts: number }
  | { readonly status: "fenced"; readonly partitions: readonly number[] };

/** A partition's place in the log, from its two `txn`s. */
export interface PartitionPosition {
  readonly partition: number;
  readonly nextOffset: number;
  readonly barrierNumber: number;
}

/** What the log says when a process starts. */
export interface LakeState {
  /** The Delta table's id (metaData.id). */
  readonly tableId: string;
  readonly version: number;
  /** The highest epoch committed by the pipeline; 0 where there is none. */
  readonly lastEpoch: number;
  /** Partitions that the topic had when the pipeline began; null before its first commit, and where it did not say. */
  readonly firstPartitions: number | null;
  readonly positions: readonly PartitionPosition[];
}

/** A commit of this pipeline as read back from the log. */
export interface CommittedEpoch {
  readonly version: number;
  readonly record: EpochRecord;
}

/** A file that tells what a version changed: all its rows came, all went, or each row says itself (change data). */
export interface ChangedFile {
  readonly kind: "add" | "remove" | "cdc";
  /** Relative to the table's root. */
  readonly path: string;
  /** Its rows, where the log tells. */
  readonly rows: number | null;
}

/** What one version changed, for the warehouse. */
export interface VersionChanges {
  readonly version: number;
  /** Empty where the version changed no rows. */
  readonly files: readonly ChangedFile[];
  /** The `session_date`s whose rows left because of their age: they go without a row each, and the analytics keep them. */
  readonly retired?: readonly string[];
}

/** A version's changes as one Parquet file, ordered (source_partition, first_offset, sign). */
export interface VersionPayload {
  readonly parquet: Uint8Array;
  readonly rows: number;
  /** Whether the file has the column `sign` (int32): 1 for a row that came, -1 for one that went. Without it all came. */
  readonly signed: boolean;
  /** The rows, ascending, that must go into one insert with the row after them: two of one session. */
  readonly joined: readonly number[];
}

/** The Delta table, and the dead letters and checkpoints beside it. */
export interface Lake {
  /** Creates the table where it is missing, and reads its newest version. */
  open(): Promise<LakeState>;
  /** Reads how the log stands now. */
  state(): Promise<LakeState>;
  /** Writes the rows, which are in commit order, as one Parquet file for each `session_date`. */
  stage(epoch: number, rows: ColumnBatch): Promise<readonly StagedFile[]>;
  /** Writes the epoch's dead letters as one file; returns its key. */
  stageDeadLetters(epoch: number, letters: ColumnBatch): Promise<string>;
  /** The dead letters of a file that a commit names. */
  readDeadLetterFile(key: string): Promise<ColumnBatch>;
  commit(commit: LakeCommit): Promise<CommitOutcome>;
  /** This pipeline's commits with version > `after`, ascending. */
  epochsAfter(after: number): Promise<readonly CommittedEpoch[]>;
  /** Versions that retired dates and that were seen since it was opened, ascending. */
  readonly retirements: readonly number[];
  /** What each version in `versions` changed. */
  changes(versions: readonly number[]): Promise<readonly VersionChanges[]>;
  /** A committed data file's bytes. */
  readFile(path: string): Promise<Uint8Array>;
  /** The rows that a version brought into the table, revisions as they were then (SESSION_KINDS), in no order. */
  rowsOf(version: number): Promise<ColumnBatch>;
  /** What a version's files say, as one; null where that is nothing. */
  encodeVersion(files: readonly ChangedFile[]): Promise<VersionPayload | null>;
}

/** The warehouse that follows the Delta log. */
export interface Warehouse {
  /** Applies the migrations that are missing. */
  open(): Promise<void>;
  /** Versions ≥ `from` of the table, by default of all, that are already inserted. */
  doneVersions(tableId: string, from?: number): Promise<ReadonlySet<number>>;
  /** Inserts what a version changed, once for ever however often it is called; null where it changed nothing. */
  follow(tableId: string, version: number, payload: VersionPayload | null): Promise<void>;
  /** Deletes the sessions of dates that a version retired, but not from the analytics; however often it is called. */
  retire(tableId: string, version: number, dates: readonly string[]): Promise<void>;
  close(): Promise<void>;
}
