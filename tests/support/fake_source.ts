/** A topic in memory, as a source: offsets may have gaps, retention may remove records, a re-creation all of them. */
import { recordBatchOf } from "../../sources/record_batch.ts";
import type { PartitionRange, Poll, ProducedRecord, RecordBatch, Source } from "../../sources/source.ts";
import { SourceError } from "../../schema/errors.ts";
import { T0 } from "./records.ts";

/** A record at its offset. */
export interface StoredRecord extends ProducedRecord {
  readonly offset: number;
}

interface FakePartition {
  start: number;
  /** The next record's offset. */
  end: number;
  records: StoredRecord[];
}

export class FakeSource implements Source {
  isSettled = true;
  readonly topic = "web_clicks";
  readonly committed: ReadonlyMap<number, number>[] = [];
  closed = false;
  /** Polls that looked at the log. */
  polls = 0;
  readonly #partitions: FakePartition[];
  readonly #positions = new Map<number, number>();
  readonly #paused = new Set<number>();
  /** Whose partitions these are, and what no poll has said of it yet. */
  readonly #owned = new Set<number>();
  readonly #assigned = new Set<number>();
  readonly #revoked = new Set<number>();

  /**
   * @param batchRecords the most records of a batch
   * @param pollBatches the most batches of one partition in a poll
   */
  constructor(partitions: number, private readonly batchRecords = 3, private readonly pollBatches = 2) {
    this.#partitions = Array.from({ length: partitions }, () => ({ start: 0, end: 0, records: [] }));
    this.assign(...this.#partitions.keys());
  }

  /** Gives partitions to the reader. */
  assign(...partitions: readonly number[]): void {
    for (const partition of partitions) {
      this.#owned.add(partition);
      this.#assigned.add(partition);
    }
  }

  /** Takes partitions away from the reader. */
  revoke(...partitions: readonly number[]): void {
    for (const partition of partitions) {
      this.#owned.delete(partition);
      this.#positions.delete(partition);
      this.#paused.delete(partition);
      if (!this.#assigned.delete(partition)) this.#revoked.add(partition);
    }
  }

  #partition(partition: number): FakePartition {
    return this.#partitions[partition]!;
  }

  /** Appends records after a gap of `gap` offsets. */
  append(partition: number, records: readonly ProducedRecord[], gap = 0): void {
    const log = this.#partition(partition);
    log.end += gap;
    log.records.push(...records.map((record) => ({ ...record, offset: log.end++ })));
  }

  /** Retention: removes the records below `offset`. */
  trim(partition: number, offset: number): void {
    const log = this.#partition(partition);
    log.start = offset;
    log.end = Math.max(log.end, offset);
    log.records = log.records.filter((record) => record.offset >= offset);
  }

  ranges(): Promise<readonly PartitionRange[]> {
    return Promise.resolve(this.#partitions.map(({ start, end }, partition) => ({ partition, start, end })));
  }

  seek(partition: number, offset: number): Promise<void> {
    if (!this.#owned.has(partition)) return Promise.resolve();
    const { start, end } = this.#partition(partition);
    if (offset < start || offset > end) {
      return Promise.reject(new SourceError(`Offset ${offset} is outside ${start} to ${end}.`));
    }
    this.#positions.set(partition, offset);
    return Promise.resolve();
  }

  async poll(_maxBytes: number, _waitMs: number): Promise<Poll> {
    this.polls++;
    const batches: RecordBatch[] = [];
    const atEnd: number[] = [];
    for (const [partition, position] of this.#positions) {
      if (this.#paused.has(partition)) continue;
      const { records, end } = this.#partition(partition);
      let next = position;
      for (let i = 0; i < this.pollBatches && next < end; i++) {
        const batch = this.#batch(partition, records.filter(({ offset }) => offset >= next));
        if (batch === null) next = end;
        else {
          batches.push(batch);
          next = batch.nextOffset;
        }
      }
      this.#positions.set(partition, next);
      if (next >= end) atEnd.push(partition);
    }
    // A turn of the event loop, or a reader that finds nothing would keep everyone else from running.
    await new Promise((resolve) => setTimeout(resolve, 0));
    const [revoked, assigned] = [[...this.#revoked], [...this.#assigned]];
    this.#revoked.clear();
    this.#assigned.clear();
    return { batches, atEnd, revoked, assigned };
  }

  /** The batch of the first of `rest`; a gap behind its last record belongs to it. */
  #batch(partition: number, rest: readonly StoredRecord[]): RecordBatch | null {
    if (rest.length === 0) return null;
    const taken = rest.slice(0, this.batchRecords);
    const batch = recordBatchOf(partition, 0, T0, taken);
    taken.forEach(({ offset }, i) => batch.offsets[i] = offset);
    return { ...batch, nextOffset: rest[taken.length]?.offset ?? this.#partition(partition).end };
  }

  pause(partition: number): void {
    this.#paused.add(partition);
  }

  resume(partition: number): void {
    this.#paused.delete(partition);
  }

  recordAt(partition: number, offset: number): Promise<RecordBatch | null> {
    const found = this.#partition(partition).records.filter((record) => record.offset === offset);
    return Promise.resolve(this.#batch(partition, found));
  }

  commitOffsets(positions: ReadonlyMap<number, number>): Promise<void> {
    this.committed.push(positions);
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.closed = true;
    return Promise.resolve();
  }
}
