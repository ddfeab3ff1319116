/** Appending to a topic of the embedded log. */
import { AssertionError, SourceError } from "../schema/errors.ts";
import type { EmbeddedLog, PartitionRow } from "./embedded_log.ts";
import { partitionOfKey } from "./murmur2.ts";
import { encodeStoredBatch, type Headers, recordBatchOf } from "./record_batch.ts";
import type { ProducedRecord, Producer, RecordPosition } from "./source.ts";

/** A row holds at most so many bytes of records, or one record: a small poll does not decode a huge row again and again. */
const ROW_BYTES_MAX = 256 * 1024;
/** The largest record, bytes of key and value: SQLite's BLOBs end at a gigabyte, and a poll must hold it. */
const RECORD_BYTES_MAX = 64 * 1024 * 1024;

/** A topic's producer; made by `EmbeddedLog.producer`. */
export class EmbeddedProducer implements Producer {
  readonly #insertBatch;
  readonly #setEnd;
  #keylessTurn = 0;
  #closed = false;

  constructor(private readonly log: EmbeddedLog, readonly topic: string) {
    this.#insertBatch = log.db.prepare(`
      INSERT INTO batches (partition_id, first_offset, last_offset, timestamp, batch) VALUES (?, ?, ?, ?, ?)`);
    this.#setEnd = log.db.prepare("UPDATE partitions SET end_offset = ?, last_timestamp = ? WHERE id = ?");
  }

  send(records: readonly ProducedRecord[]): Promise<readonly RecordPosition[]> {
    return new Promise((resolve) => {
      if (records.length === 0) return resolve([]);
      for (const record of records) this.#checkSize(record);
      const positions = this.log.write("Appending to", () => this.#append(records));
      this.log.retainIfDue(this.topic);
      resolve(positions);
    });
  }

  /** Nothing is buffered: what was acknowledged is stored. */
  close(): Promise<void> {
    if (!this.#closed) this.log.release();
    this.#closed = true;
    return Promise.resolve();
  }

  #append(records: readonly ProducedRecord[]): RecordPosition[] {
    // Read under the write lock: another process may have appended, or added a partition.
    const partitions = this.log.partitions(this.topic);
    if (partitions.length === 0) throw new AssertionError(`Topic '${this.topic}' vanished from the log.`);
    // As Kafka's sticky partitioner does: the keyless records of one send go together.
    const keyless = this.#keylessTurn++ % partitions.length;
    const groups = new Map<number, number[]>();
    records.forEach(({ key }, index) => {
      const partition = key === null ? keyless : partitionOfKey(key, partitions.length);
      const group = groups.get(partition);
      if (group === undefined) groups.set(partition, [index]);
      else group.push(index);
    });
    const positions: RecordPosition[] = new Array(records.length);
    for (const [partition, group] of groups) {
      this.#appendTo(partitions[partition]!, group, records, positions);
    }
    return positions;
  }

  /** Appends the records that `group` indexes, and notes where they landed. */
  #appendTo(
    { id, partition, end, lastTimestamp }: PartitionRow,
    group: readonly number[],
    records: readonly ProducedRecord[],
    positions: RecordPosition[],
  ): void {
    // A clock that was set back does not move a partition's time back.
    const timestamp = Math.max(lastTimestamp, Math.floor(this.log.options.now()));
    let offset = end;
    for (let from = 0; from < group.length;) {
      const row: ProducedRecord[] = [];
      let bytes = 0;
      for (; from < group.length; from++) {
        const record = records[group[from]!]!;
        bytes += sizeOf(record);
        if (row.length > 0 && bytes > ROW_BYTES_MAX) break;
        positions[group[from]!] = { partition, offset: offset + row.length };
        row.push(record);
      }
      const batch = recordBatchOf(partition, offset, timestamp, row);
      const stored = encodeStoredBatch(batch, headersOf(row));
      this.#insertBatch.run(id, offset, batch.nextOffset - 1, timestamp, stored);
      offset = batch.nextOffset;
    }
    this.#setEnd.run(offset, timestamp, id);
  }

  #checkSize(record: ProducedRecord): void {
    if (sizeOf(record) <= RECORD_BYTES_MAX) return;
    throw new SourceError(
      `A record sent to '${this.topic}' has at most ${RECORD_BYTES_MAX} bytes: this one has ${
        sizeOf(record)
      }. ` +
        "Nothing of this send was stored: leave the record out.",
    );
  }
}

function sizeOf({ key, value }: ProducedRecord): number {
  return (key?.length ?? 0) + (value?.length ?? 0);
}

function headersOf(records: readonly ProducedRecord[]): (Headers | null)[] | null {
  if (records.every(({ headers }) => headers === undefined)) return null;
  return records.map(({ headers }) => headers ?? null);
}
