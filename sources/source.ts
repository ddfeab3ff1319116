/** The seam between the pipeline and whatever holds the events: Kafka, or the embedded log. */

/**
 * Records of one partition as a struct of arrays: what travels from a source through the mailboxes to a session
 * actor. Record `i` has the value bytes `values[valueEnds[i-1] … valueEnds[i]]`; keys likewise.
 */
export interface RecordBatch {
  readonly partition: number;
  readonly count: number;
  /** Ascending; gaps are legal (compaction, control records). */
  readonly offsets: Float64Array;
  /** The broker's timestamps, epoch milliseconds. */
  readonly timestamps: Float64Array;
  readonly keys: Uint8Array;
  readonly keyEnds: Uint32Array;
  readonly values: Uint8Array;
  readonly valueEnds: Uint32Array;
  /** Bit flags per record: {@linkcode KEY_IS_NULL}, {@linkcode VALUE_IS_NULL}. */
  readonly nulls: Uint8Array;
  /** The fetch position after the batch: not always the last offset + 1. */
  readonly nextOffset: number;
}

export const KEY_IS_NULL = 1;
export const VALUE_IS_NULL = 2;

/** The bytes of the record's key, a view; null where it has none. */
export function keyAt(batch: RecordBatch, index: number): Uint8Array | null {
  if (batch.nulls[index]! & KEY_IS_NULL) return null;
  return batch.keys.subarray(index === 0 ? 0 : batch.keyEnds[index - 1]!, batch.keyEnds[index]!);
}

/** The bytes of the record's value, a view; null for a tombstone. */
export function valueAt(batch: RecordBatch, index: number): Uint8Array | null {
  if (batch.nulls[index]! & VALUE_IS_NULL) return null;
  return batch.values.subarray(index === 0 ? 0 : batch.valueEnds[index - 1]!, batch.valueEnds[index]!);
}

/** The offsets that a partition holds: `start` ≤ offset < `end`. */
export interface PartitionRange {
  readonly partition: number;
  readonly start: number;
  readonly end: number;
}

/** What one {@linkcode Source.poll} brought. */
export interface Poll {
  /** One without records says that the position moved over what is no record, such as a transaction's end. */
  readonly batches: readonly RecordBatch[];
  /** Partitions whose end was reached: nothing was left to read there when the poll ended. */
  readonly atEnd: readonly number[];
  /**
   * What this instance no longer reads, and reads from now on, since the poll before; the first poll says all that it
   * was given. One in both was taken away and given back: somebody else may have moved it on meanwhile. A partition
   * that is given has no position, and nothing of it is in `batches`.
   */
  readonly revoked: readonly number[];
  readonly assigned: readonly number[];
}

/**
 * A topic, read by partition from positions of the caller's own choice. It never resets a position by itself.
 * Instances may share a topic: each reads the partitions that its polls say are assigned to it.
 */
export interface Source {
  readonly topic: string;
  /**
   * Whether what polls have said of the assignment stands. False while partitions are being shared out anew, or were given
   * up because nothing was heard of the group: they may come back.
   */
  readonly isSettled: boolean;
  /** All partitions of the topic, whoever reads them, with what each holds at present. */
  ranges(): Promise<readonly PartitionRange[]>;
  /**
   * Sets the fetch position. Where the partition is another instance's by now, nothing happens: a poll says so.
   *
   * @throws {SourceError} where `offset` lies below the log's start or beyond its end: records are missing
   */
  seek(partition: number, offset: number): Promise<void>;
  /**
   * The next records, of the partitions that have a position and are not paused. Returns as soon as there are
   * any, or the assignment changes, or after `waitMs` with none.
   *
   * @param maxBytes bound on the sum of key and value bytes; one record larger than it still comes, alone
   */
  poll(maxBytes: number, waitMs: number): Promise<Poll>;
  pause(partition: number): void;
  /** Without a position, or without the partition, nothing happens. */
  resume(partition: number): void;
  /** The one record at `offset`, or null where the log no longer has it. Positions are not touched. */
  recordAt(partition: number, offset: number): Promise<RecordBatch | null>;
  /** Tells lag tools how far the pipeline is. Recovery never reads it. */
  commitOffsets(positions: ReadonlyMap<number, number>): Promise<void>;
  close(): Promise<void>;
}

/** A record to be produced. `headers` are for dead letters. */
export interface ProducedRecord {
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Where a record landed. */
export interface RecordPosition {
  readonly partition: number;
  readonly offset: number;
}

/** Appends records to a topic; the key's hash (Kafka's default partitioner) chooses the partition. */
export interface Producer {
  readonly topic: string;
  /**
   * Appends durably, keeping the order within each partition.
   *
   * @returns a position for each record, in their order
   */
  send(records: readonly ProducedRecord[]): Promise<readonly RecordPosition[]>;
  close(): Promise<void>;
}
