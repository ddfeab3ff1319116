/** A partition that ingest reads: where it stands, and by which record its topic is recognized. */
import { crc32 } from "node:zlib";
import type { PartitionBarrier, RecordMark } from "../schema/epoch.ts";
import { SourceError } from "../schema/errors.ts";
import { keyAt, type RecordBatch, type Source, valueAt } from "../sources/source.ts";
import type { PartitionStart } from "./protocol.ts";

/** A partition that is being read. */
export interface Reading {
  readonly partition: number;
  readonly start: number;
  /** Where a bounded run stops. */
  readonly end: number;
  position: number;
  /** Records routed since the newest barrier. */
  records: number;
  atEnd: boolean;
  last: PartitionBarrier | null;
  /** A copy of the newest record routed, for the mark that a barrier carries. */
  newest:
    | { readonly offset: number; readonly key: Uint8Array | null; readonly value: Uint8Array | null }
    | null;
}

/** Keeps a copy of record `index` of the batch, the newest that was routed. */
export function noteNewest(reading: Reading, batch: RecordBatch, index: number): void {
  const copy = (bytes: Uint8Array | null) => bytes?.slice() ?? null;
  const [key, value] = [copy(keyAt(batch, index)), copy(valueAt(batch, index))];
  reading.newest = { offset: batch.offsets[index]!, key, value };
}

/** The mark of the last record before the next barrier; null where the partition has had none. */
export function markOf({ newest, last }: Reading): RecordMark | null {
  return newest === null ? last?.lastRecord ?? null : markOfRecord(newest.offset, newest.key, newest.value);
}

function markOfRecord(offset: number, key: Uint8Array | null, value: Uint8Array | null): RecordMark {
  const empty = new Uint8Array();
  return { offset, crc32: crc32(value ?? empty, crc32(key ?? empty)) };
}

/**
 * A topic that was deleted and created again has other records at the same offsets.
 *
 * @param notice told where retention has removed the record by which the topic is recognized
 * @throws {SourceError} where the record is another one
 */
export async function requireSameTopic(
  source: Pick<Source, "topic" | "recordAt">,
  { partition, checkpoint, replay }: PartitionStart,
  notice: (text: string) => void,
): Promise<void> {
  const last = replay.at(-1)?.barrier ?? checkpoint;
  if (!last?.lastRecord) return;
  const { offset } = last.lastRecord;
  const found = await source.recordAt(partition, offset);
  if (found === null) {
    notice(
      `Retention has removed the record at offset ${offset} of partition ${partition}, by which the topic is ` +
        `recognized: going on without that check.`,
    );
    return;
  }
  const [key, value] = [keyAt(found, 0), valueAt(found, 0)];
  if (markOfRecord(offset, key, value).crc32 === last.lastRecord.crc32) return;
  if (key === null && value === null) {
    notice(
      `An erasure has emptied the record at offset ${offset} of partition ${partition}, by which the topic is ` +
        `recognized: going on without that check.`,
    );
    return;
  }
  throw new SourceError(
    `Cannot go on with topic '${source.topic}': the record at offset ${offset} of partition ${partition} ` +
      `is not the one that was read there before, so the topic was re-created. Start a new pipeline (PIPELINE) ` +
      `on a new lake, or restore the topic.`,
  );
}
