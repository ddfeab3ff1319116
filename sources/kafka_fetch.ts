/**
 * What this program changes in kafkajs 2.2.4, which is no longer developed and pinned for good. Three places:
 *
 * - a Fetch response keeps its record batches as bytes (kafkajs makes an object a record, loses its way in offset gaps
 *   and empty batches, and its spread of a batch's records overflows the stack at some 100,000);
 * - every fetched partition reaches `eachBatch`, also one without records: how the source knows that an end is reached,
 *   and from which offset kafkajs really fetched;
 * - a request queue sets no timer where nothing waits. It used to, with a negative time, after every response: the
 *   `TimeoutNegativeWarning` of tulios/kafkajs#1751.
 */
import type { Batch as KafkaBatch } from "kafkajs";
import Batch from "kafkajs/src/consumer/batch.js";
import RequestQueue from "kafkajs/src/network/requestQueue/index.js";
import Decoder from "kafkajs/src/protocol/decoder.js";
import response from "kafkajs/src/protocol/requests/fetch/v11/response.js";
import { invariant } from "../schema/errors.ts";
import type { AbortedTransaction, FetchedRecords } from "./kafka_record_batches.ts";

/** One partition of a Fetch response. */
export interface FetchedPartition extends FetchedRecords {
  /** Where the partition ends for readers of committed data: the first offset that can't be read yet. */
  readonly end: number;
}

/** kafkajs's reader of the protocol's types. */
interface ProtocolDecoder {
  readInt16(): number;
  readInt32(): number;
  readInt64(): { toString(): string };
  readString(): string;
  readBytes(length: number): Uint8Array;
  readArray<T>(read: (decoder: ProtocolDecoder) => T): T[];
}

/** What kafkajs calls a partition's messages: none here, the bytes lie beside them. */
type Messages = readonly never[];

const fetchedPartitions = new WeakMap<Messages, FetchedPartition>();

function decodeAborted(decoder: ProtocolDecoder): AbortedTransaction {
  const producerId = BigInt(decoder.readInt64().toString());
  return { producerId, firstOffset: Number(decoder.readInt64()) };
}

/** The layout of Fetch response v11; the rest of what kafkajs reads of it is kept as it was. */
function decodePartition(decoder: ProtocolDecoder) {
  const partition = decoder.readInt32();
  const errorCode = decoder.readInt16();
  const highWatermark = decoder.readInt64().toString();
  const lastStableOffset = decoder.readInt64().toString();
  decoder.readInt64(); // the log's start
  const aborted = decoder.readArray(decodeAborted);
  const preferredReadReplica = decoder.readInt32();
  const length = decoder.readInt32();
  const bytes = length > 0 ? decoder.readBytes(length) : new Uint8Array(0);
  const messages: Messages = [];
  // Brokers say −1 where no transaction was ever open.
  const end = Number(lastStableOffset) < 0 ? Number(highWatermark) : Number(lastStableOffset);
  fetchedPartitions.set(messages, { bytes, aborted, end: Math.min(end, Number(highWatermark)) });
  return {
    partition,
    errorCode,
    highWatermark,
    lastStableOffset,
    abortedTransactions: [],
    preferredReadReplica,
    messages,
  };
}

function decodeResponse(rawData: Uint8Array) {
  const decoder = new (Decoder as new (bytes: Uint8Array) => ProtocolDecoder)(rawData);
  const clientSideThrottleTime = decoder.readInt32();
  const errorCode = decoder.readInt16();
  const sessionId = decoder.readInt32();
  const responses = decoder.readArray((topic) => ({
    topicName: topic.readString(),
    partitions: topic.readArray(decodePartition),
  }));
  return Promise.resolve({ throttleTime: 0, clientSideThrottleTime, errorCode, sessionId, responses });
}

interface Queue {
  readonly pending: readonly unknown[];
  scheduleCheckPendingRequests(): void;
}

let patched = false;

/** Applies the changes; once a thread, however often it is called. */
export function patchKafkajs(): void {
  if (patched) return;
  patched = true;
  (response as { decode: typeof decodeResponse }).decode = decodeResponse;
  const batch = (Batch as { prototype: Pick<KafkaBatch, "isEmpty"> }).prototype;
  batch.isEmpty = () => false;
  Object.assign(batch, { isEmptyDueToFiltering: () => false });
  const queue = (RequestQueue as { prototype: Queue }).prototype;
  const schedule = queue.scheduleCheckPendingRequests;
  queue.scheduleCheckPendingRequests = function (this: Queue) {
    if (this.pending.length > 0) schedule.call(this);
  };
}

/** What was fetched, by the messages that kafkajs hands on. */
export function fetchedPartition(messages: readonly unknown[]): FetchedPartition {
  const fetched = fetchedPartitions.get(messages as Messages);
  invariant(fetched !== undefined, "the broker answers Fetch in version 11, as Kafka 2.3 and later do");
  return fetched;
}

/** What was fetched for a batch, and from which offset. */
export function fetchedBatch(batch: KafkaBatch): FetchedPartition & { readonly from: number } {
  const { rawMessages, fetchedOffset } = batch as KafkaBatch & {
    readonly rawMessages: readonly unknown[];
    readonly fetchedOffset: string;
  };
  return { ...fetchedPartition(rawMessages), from: Number(fetchedOffset) };
}
