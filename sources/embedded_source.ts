/** Reading a topic of the embedded log. */
import { invariant, SourceError } from "../schema/errors.ts";
import type { EmbeddedLog, PartitionRow } from "./embedded_log.ts";
import { damaged } from "./log_file.ts";
import {
  decodeStoredBatch,
  type Headers,
  recordBytes,
  sliceRecordBatch,
  type StoredBatch,
} from "./record_batch.ts";
import type { PartitionRange, Poll, RecordBatch, Source } from "./source.ts";

/** How often an idle poll looks again; a look takes some tens of microseconds. */
const LOOK_INTERVAL_MS = 50;

/** Bytes that a poll may still take. */
interface Budget {
  bytes: number;
  taken: number;
}

/** A topic's reader; made by `EmbeddedLog.source`. */
export class EmbeddedSource implements Source {
  readonly isSettled = true;
  readonly #positions = new Map<number, number>();
  readonly #paused = new Set<number>();
  readonly #uncommitted = new Map<number, number>();
  readonly #selectBatches;
  #turn = 0;
  /** How many partitions were said to be assigned: all, and again what is added to the topic. */
  #announced = 0;
  #closed = false;

  constructor(private readonly log: EmbeddedLog, readonly topic: string, private readonly group: string) {
    // A partition's batches are found by their last offset: the first that reaches the position holds it.
    this.#selectBatches = log.db.prepare(`
      SELECT first_offset AS first, last_offset AS last, batch FROM batches
      WHERE partition_id = ? AND last_offset >= ? ORDER BY last_offset`);
  }

  ranges(): Promise<readonly PartitionRange[]> {
    return promised(() =>
      this.log.partitions(this.topic).map(({ partition, start, end }) => ({ partition, start, end }))
    );
  }

  seek(partition: number, offset: number): Promise<void> {
    return promised(() => {
      const { start, end } = this.#partition(partition);
      if (offset < start) throw this.#removed(partition, offset, start);
      if (offset > end) {
        throw new SourceError(
          `Reading partition ${partition} of '${this.topic}' was to go on at offset ${offset}, but the log ` +
            `'${this.log.options.path}' ends at ${end}: it lost records, or it is another log. Restore the log, or ` +
            "begin with an empty data directory.",
        );
      }
      this.#positions.set(partition, offset);
    });
  }

  async poll(maxBytes: number, waitMs: number): Promise<Poll> {
    for (let waited = 0; !this.#closed;) {
      const poll = this.#look(maxBytes);
      const pause = Math.min(LOOK_INTERVAL_MS, waitMs - waited);
      if (poll.batches.length > 0 || poll.assigned.length > 0 || pause <= 0) return poll;
      await this.log.options.sleep(pause);
      waited += pause;
    }
    return { batches: [], atEnd: [], revoked: [], assigned: [] };
  }

  pause(partition: number): void {
    this.#paused.add(partition);
  }

  resume(partition: number): void {
    this.#paused.delete(partition);
  }

  recordAt(partition: number, offset: number): Promise<RecordBatch | null> {
    return promised(() => {
      const found = this.#storedAt(partition, offset);
      return found === null ? null : sliceRecordBatch(found.stored.batch, found.index, found.index + 1);
    });
  }

  /** The headers of the record at `offset`; null where it has none or the log no longer has it. */
  headersAt(partition: number, offset: number): Promise<Headers | null> {
    return promised(() => {
      const found = this.#storedAt(partition, offset);
      return found?.stored.headers?.[found.index] ?? null;
    });
  }

  /** Only lag tools look at it: it waits for no producer, and what found the log busy goes with the next commit. */
  commitOffsets(positions: ReadonlyMap<number, number>): Promise<void> {
    for (const [partition, offset] of positions) this.#uncommitted.set(partition, offset);
    return promised(() => {
      const upsert = this.log.db.prepare(`
        INSERT INTO committed_offsets (consumer_group, partition_id, next_offset) VALUES (?, ?, ?)
        ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset`);
      const done = this.log.writeUnlessBusy("Committing offsets to", () => {
        for (const [partition, offset] of this.#uncommitted) {
          upsert.run(this.group, this.#partition(partition).id, offset);
        }
      });
      if (done) this.#uncommitted.clear();
    });
  }

  /** What {@linkcode commitOffsets} last said of each partition. */
  committedOffsets(): Promise<ReadonlyMap<number, number>> {
    return promised(() => {
      const select = this.log.db.prepare(`
        SELECT p.partition, next_offset AS position FROM committed_offsets c
        JOIN partitions p ON p.id = c.partition_id JOIN topics t ON t.id = p.topic_id
        WHERE consumer_group = ? AND t.name = ?`);
      const rows = this.log.read(() => select.all(this.group, this.topic)) as unknown as {
        partition: number;
        position: number;
      }[];
      return new Map(rows.map(({ partition, position }) => [partition, position]));
    });
  }

  /** Ends a poll that waits. */
  close(): Promise<void> {
    if (!this.#closed) this.log.release();
    this.#closed = true;
    return Promise.resolve();
  }

  /** One look at the log: a snapshot, so that `atEnd` and the batches agree. */
  #look(maxBytes: number): Poll {
    return this.log.snapshot(() => {
      const partitions = this.log.partitions(this.topic);
      const assigned = partitions.slice(this.#announced).map(({ partition }) => partition);
      this.#announced = partitions.length;
      const active = partitions.filter(({ partition }) =>
        this.#positions.has(partition) && !this.#paused.has(partition)
      );
      const behind = active.filter(({ partition, end }) => this.#positions.get(partition)! < end);
      const batches: RecordBatch[] = [];
      const budget: Budget = { bytes: maxBytes, taken: 0 };
      // Each gets an equal share of what is left, a different one first each time: nobody starves, and what a
      // short partition leaves goes to those after it.
      const first = behind.length === 0 ? 0 : this.#turn++ % behind.length;
      for (let i = 0; i < behind.length && budget.bytes > 0; i++) {
        const row = behind[(first + i) % behind.length]!;
        batches.push(...this.#take(row, budget.bytes / (behind.length - i), budget));
      }
      const atEnd = active.filter(({ partition, end }) => this.#positions.get(partition)! >= end);
      return { batches, atEnd: atEnd.map(({ partition }) => partition), revoked: [], assigned };
    });
  }

  /** The next batches of a partition, of about `share` bytes, at least a record where the budget allows one. */
  #take({ id, partition, start, end }: PartitionRow, share: number, budget: Budget): RecordBatch[] {
    const batches: RecordBatch[] = [];
    let position = this.#positions.get(partition)!;
    if (position < start) throw this.#removed(partition, position, start);
    let left = share;
    let found = false;
    for (const row of this.#selectBatches.iterate(id, position)) {
      found = true;
      const { batch } = this.#checked(row, partition, position);
      const from = position - batch.offsets[0]!;
      let to = from;
      for (; to < batch.count; to++) {
        const bytes = recordBytes(batch, to);
        // A record that no poll could hold comes alone; a partition's first may exceed its share, not the budget.
        const fits = budget.taken === 0 ||
          bytes <= (batches.length === 0 && to === from ? budget.bytes : left);
        if (!fits) break;
        left -= bytes;
        budget.bytes -= bytes;
        budget.taken++;
      }
      if (to === from) break;
      batches.push(from === 0 && to === batch.count ? batch : sliceRecordBatch(batch, from, to));
      position = batches[batches.length - 1]!.nextOffset;
      if (to < batch.count || left <= 0) break;
    }
    if (!found) throw this.#missing(partition, position, end);
    this.#positions.set(partition, position);
    return batches;
  }

  #storedAt(partition: number, offset: number): { stored: StoredBatch; index: number } | null {
    return this.log.snapshot(() => {
      const { id, start, end } = this.#partition(partition);
      if (offset < start || offset >= end) return null;
      const row = this.#selectBatches.get(id, offset);
      if (row === undefined) throw this.#missing(partition, offset, end);
      const stored = this.#checked(row, partition, offset);
      return { stored, index: offset - stored.batch.offsets[0]! };
    });
  }

  /** The batch of a row that must hold `offset`: what it says of itself must agree with where it was found. */
  #checked(row: unknown, partition: number, offset: number): StoredBatch {
    const { first, last, batch: bytes } = row as { first: number; last: number; batch: Uint8Array };
    const stored = decodeStoredBatch(bytes);
    const agrees = stored !== null && stored.batch.partition === partition &&
      stored.batch.offsets[0] === first && stored.batch.nextOffset - 1 === last && first <= offset &&
      offset <= last;
    if (agrees) return stored;
    throw damaged(
      this.log.options.path,
      `${this.#place(partition, offset)} cannot be read as they were written`,
    );
  }

  #missing(partition: number, offset: number, end: number): SourceError {
    return damaged(this.log.options.path, `${this.#place(partition, offset)} to ${end} are missing`);
  }

  #place(partition: number, offset: number): string {
    return `the records of '${this.topic}', partition ${partition}, from offset ${offset}`;
  }

  #partition(partition: number): PartitionRow {
    const row = this.log.partitions(this.topic)[partition];
    invariant(row !== undefined, `topic '${this.topic}' has no partition ${partition}`);
    return row;
  }

  #removed(partition: number, offset: number, start: number): SourceError {
    return new SourceError(
      `Reading partition ${partition} of '${this.topic}' was to go on at offset ${offset}, but the log ` +
        `'${this.log.options.path}' begins at ${start}: retention removed ${
          start - offset
        } records that were not ` +
        "read. Restore an older copy of the log, or begin with an empty data directory; keep more in future.",
    );
  }
}

/** Runs synchronous work behind the seam's promises: what it throws rejects. */
function promised<T>(work: () => T): Promise<T> {
  return new Promise((resolve) => resolve(work()));
}
