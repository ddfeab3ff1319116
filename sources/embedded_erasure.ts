/** Taking records out of the embedded log: their places stay, without key and value, so that no offset moves. */
import type { RecordTest } from "../schema/erasure.ts";
import { SourceError } from "../schema/errors.ts";
import type { EmbeddedLog } from "./embedded_log.ts";
import { decodeStoredBatch, encodeStoredBatch, recordBatchOf, type StoredBatch } from "./record_batch.ts";
import { keyAt, type ProducedRecord, valueAt } from "./source.ts";

/** What was erased. */
export interface ErasedRecords {
  readonly records: number;
  /** Whether the file's write-ahead part is empty too; otherwise another process was in the way. */
  readonly complete: boolean;
}

/** How many batches are looked at in one transaction: whoever appends meanwhile waits for it. */
const BATCHES_AT_ONCE = 256;

/**
 * Empties the records of `topic` that `test` finds, below an offset of each partition, and overwrites the file's pages that
 * held them.
 *
 * @param before the first offset that is left alone, by partition; a partition that it lacks is left alone whole
 * @throws {SourceError} where a batch is damaged
 */
export function eraseRecords(
  log: EmbeddedLog,
  topic: string,
  before: ReadonlyMap<number, number>,
  test: RecordTest,
): ErasedRecords {
  log.db.exec("PRAGMA secure_delete = ON");
  let records = 0;
  for (const { id, partition, start } of log.partitions(topic)) {
    const end = before.get(partition) ?? 0;
    for (let from = start; from < end;) {
      const part = log.write("Erasing records of", () => eraseSome(log, { id, from, end }, test));
      records += part.records;
      from = part.next;
    }
  }
  // What was overwritten is in the write-ahead file until then.
  const { busy } = log.read(() => log.db.prepare("PRAGMA wal_checkpoint(TRUNCATE)").get()) as {
    busy: number;
  };
  return { records, complete: busy === 0 };
}

interface Range {
  /** The partition's row. */
  readonly id: number;
  readonly from: number;
  readonly end: number;
}

function eraseSome(log: EmbeddedLog, { id, from, end }: Range, test: RecordTest) {
  const rows = log.db.prepare(`
    SELECT id, last_offset AS last, batch FROM batches WHERE partition_id = ? AND last_offset >= ? AND first_offset < ?
    ORDER BY last_offset LIMIT ?`).all(id, from, end, BATCHES_AT_ONCE) as unknown as {
    id: number;
    last: number;
    batch: Uint8Array;
  }[];
  const replace = log.db.prepare("UPDATE batches SET batch = ? WHERE id = ?");
  let records = 0;
  for (const row of rows) {
    const stored = decodeStoredBatch(row.batch);
    if (stored === null) {
      throw new SourceError(
        `Cannot erase in '${log.options.path}': the batch that ends at offset ${row.last} cannot be read as it was ` +
          "written. Restore an older copy of the file.",
      );
    }
    const meant = Array.from({ length: stored.batch.count }, (_, i) => i).filter((i) =>
      stored.batch.offsets[i]! < end && !isEmpty(stored, i) &&
      test(keyAt(stored.batch, i), valueAt(stored.batch, i))
    );
    if (meant.length === 0) continue;
    replace.run(emptied(stored, new Set(meant)), row.id);
    records += meant.length;
  }
  return { records, next: rows.length < BATCHES_AT_ONCE ? end : rows.at(-1)!.last + 1 };
}

function isEmpty({ batch }: StoredBatch, index: number): boolean {
  return keyAt(batch, index) === null && valueAt(batch, index) === null;
}

/** The stored batch without the keys, values and headers of some records. */
function emptied({ batch, headers }: StoredBatch, meant: ReadonlySet<number>): Uint8Array {
  const records = Array.from(
    { length: batch.count },
    (_, i): ProducedRecord =>
      meant.has(i) ? { key: null, value: null } : { key: keyAt(batch, i), value: valueAt(batch, i) },
  );
  return encodeStoredBatch(
    recordBatchOf(batch.partition, batch.offsets[0]!, batch.timestamps[0]!, records),
    headers?.map((own, i) => meant.has(i) ? null : own) ?? null,
  );
}
