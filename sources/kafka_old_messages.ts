/**
 * Message formats 0 and 1, in which brokers before Kafka 0.11 stored records and topics may still hold them: decoded by
 * kafkajs, an object a record, which is slow and seldom.
 */
import { Buffer } from "node:buffer";
import Decoder from "kafkajs/src/protocol/decoder.js";
import decodeMessageSet from "kafkajs/src/protocol/messageSet/decoder.js";
import {
  type DecodedRecords,
  type DecodeOptions,
  emptyRecordBatch,
  type FetchedRecords,
  fetchedUpTo,
  formatAt,
  RECORD_BATCH_FORMAT,
} from "./kafka_record_batches.ts";
import { recordBatchOf } from "./record_batch.ts";

/** A message as kafkajs gives it; format 0 has no timestamp. */
interface OldMessage {
  readonly offset: string;
  readonly timestamp?: string;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
}

/** Kafka's word for a record without a timestamp. */
const NO_TIMESTAMP = -1;

/** Whether what was fetched begins with a message of an old format. */
export function holdsOldMessages({ bytes }: FetchedRecords): boolean {
  return formatAt(bytes, 0) < RECORD_BATCH_FORMAT;
}

/** Decodes the messages of old formats that a fetch begins with; what follows them is for the next fetch. */
export async function decodeOldMessages(
  { bytes }: FetchedRecords,
  { partition, position }: DecodeOptions,
): Promise<DecodedRecords> {
  const decode = decodeMessageSet as (decoder: unknown, size: number) => Promise<OldMessage[]>;
  const decoder = new (Decoder as new (buffer: Buffer) => unknown)(Buffer.from(bytes));
  const messages = (await decode(decoder, bytes.length)).filter(({ offset }) => Number(offset) >= position);
  const nextOffset = fetchedUpTo(bytes, position);
  if (messages.length === 0) {
    return { batches: nextOffset > position ? [emptyRecordBatch(partition, nextOffset)] : [], nextOffset };
  }
  const batch = {
    ...recordBatchOf(partition, 0, 0, messages),
    offsets: Float64Array.from(messages, ({ offset }) => Number(offset)),
    timestamps: Float64Array.from(messages, ({ timestamp }) => Number(timestamp ?? NO_TIMESTAMP)),
    nextOffset,
  };
  return { batches: [batch], nextOffset };
}
