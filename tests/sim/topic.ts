/** A topic in memory: offset gaps, retention, partitions that are added, a topic that is made anew. */
import type { DeadLetterReason } from "../../schema/user_event.ts";
import { recordBatchOf } from "../../sources/record_batch.ts";
import type { RecordBatch } from "../../sources/source.ts";

/** What a record means, told by whoever made it: the oracle parses nothing. */
export type Meaning =
  | { readonly kind: "event"; readonly event: SimEvent; readonly key: string | null }
  | { readonly kind: "bad"; readonly reason: DeadLetterReason };

/** The fields that a simulated event has. */
export interface SimEvent {
  readonly eventId: string;
  readonly sessionId: string;
  readonly userId: number;
  readonly type: string;
  readonly time: number;
  readonly brand: string | null;
}

export interface NewRecord {
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly meaning: Meaning;
}

export interface SimRecord extends NewRecord {
  readonly offset: number;
  /** The broker's, epoch milliseconds. */
  readonly timestamp: number;
}

export interface SimPartition {
  start: number;
  /** The next record's offset. */
  end: number;
  /** What retention has left, ascending. */
  records: SimRecord[];
  /** All that was ever there. */
  readonly history: SimRecord[];
}

/** Partitions and whoever waits for records. */
export class Topic {
  readonly name = "web_clicks";
  readonly partitions: SimPartition[] = [];
  /** What the group has committed, for lag tools. */
  readonly committed = new Map<number, number>();
  /** Told when partitions are added. */
  onAdd: () => void = () => {};
  readonly #waiting = new Set<() => void>();

  /** A partition whose first record gets the offset `start`. */
  add(start = 0): void {
    this.partitions.push({ start, end: start, records: [], history: [] });
    this.onAdd();
    this.#wake();
  }

  append(partition: number, timestamp: number, records: readonly NewRecord[]): void {
    const log = this.partitions[partition]!;
    for (const record of records) {
      const stored = { ...record, offset: log.end++, timestamp };
      log.records.push(stored);
      log.history.push(stored);
    }
    this.#wake();
  }

  /** Offsets that no record has: a transaction's end, or what compaction removed. */
  skip(partition: number, offsets: number): void {
    this.partitions[partition]!.end += offsets;
    this.#wake();
  }

  /** Retention. */
  trim(partition: number, offset: number): void {
    const log = this.partitions[partition]!;
    log.start = Math.max(log.start, Math.min(offset, log.end));
    log.records = log.records.filter((record) => record.offset >= log.start);
  }

  /** The topic is deleted and made again: other records at the same offsets. */
  recreate(partition: number): void {
    const log = this.partitions[partition]!;
    log.records = log.records.map((record) => ({ ...record, value: new TextEncoder().encode("another") }));
  }

  /** Calls `wake` once, when there may be something new. Returns how to take it back. */
  wait(wake: () => void): () => void {
    this.#waiting.add(wake);
    return () => this.#waiting.delete(wake);
  }

  /** The next batch from `position` on, of at most `count` records; null at the end. */
  batch(partition: number, position: number, count: number): RecordBatch | null {
    const { records, end } = this.partitions[partition]!;
    if (position >= end) return null;
    let first = records.length;
    while (first > 0 && records[first - 1]!.offset >= position) first--;
    const taken = records.slice(first, first + count);
    const next = records[first + taken.length]?.offset ?? end;
    const batch = recordBatchOf(partition, position, 0, taken);
    taken.forEach(({ offset, timestamp }, i) => {
      batch.offsets[i] = offset;
      batch.timestamps[i] = timestamp;
    });
    return { ...batch, nextOffset: next };
  }

  #wake(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    waiting.forEach((wake) => wake());
  }
}
