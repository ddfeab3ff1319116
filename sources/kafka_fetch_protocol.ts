/**
 * Kafka's Fetch request and its answer, versions 4 to 11, as bytes: what a reader needs of them, without kafkajs's object
 * for each record. The fields of each version are those of https://kafka.apache.org/protocol#The_Messages_Fetch.
 */
import type { AbortedTransaction, FetchedRecords } from "./kafka_record_batches.ts";

export const FETCH_API_KEY = 1;
/** The first version with transactions, and the last one before compact encodings. */
export const FETCH_VERSION_MIN = 4;
export const FETCH_VERSION_MAX = 11;

/** What is to be fetched of one partition. */
export interface WantedPartition {
  readonly partition: number;
  readonly offset: number;
}

/** One request to one broker. */
export interface FetchRequest {
  readonly topic: string;
  /** In the order in which the broker fills the answer. */
  readonly partitions: readonly WantedPartition[];
  /** How long the broker waits for the first byte, milliseconds. */
  readonly maxWaitMs: number;
  /** Bounds on the bytes of the answer, of all and of each partition; one record batch may exceed them. */
  readonly maxBytes: number;
  readonly partitionBytes: number;
}

/** What an answer says of one partition. */
export interface FetchedPartition extends FetchedRecords {
  readonly partition: number;
  /** 0: none. */
  readonly errorCode: number;
  /** Where the partition ends for readers of committed data: the first offset that can't be read yet. */
  readonly end: number;
}

/** A broker's answer. */
export interface FetchResponse {
  /** How long the broker wants to be left alone, milliseconds. */
  readonly throttleMs: number;
  /** Of the request as a whole; 0: none. */
  readonly errorCode: number;
  /** `bytes` of each are views of the answer. */
  readonly partitions: readonly FetchedPartition[];
}

/** Consumers are no replica; committed data only; no session, which would only save bytes of requests. */
const REPLICA_NONE = -1;
const READ_COMMITTED = 1;
const SESSION_NONE = 0;
const SESSION_EPOCH_NONE = -1;
const EPOCH_UNKNOWN = -1;
const LOG_START_NONE = -1n;

/** The request's body. */
export function encodeFetchRequest(version: number, request: FetchRequest): Uint8Array {
  const topic = new TextEncoder().encode(request.topic);
  const bytes = new Uint8Array(64 + topic.length + 36 * request.partitions.length);
  const view = new DataView(bytes.buffer);
  let at = 0;
  const int8 = (value: number) => view.setInt8((at += 1) - 1, value);
  const int16 = (value: number) => view.setInt16((at += 2) - 2, value);
  const int32 = (value: number) => view.setInt32((at += 4) - 4, value);
  const int64 = (value: bigint) => view.setBigInt64((at += 8) - 8, value);
  int32(REPLICA_NONE);
  int32(request.maxWaitMs);
  int32(1); // one byte is enough to answer
  int32(request.maxBytes);
  int8(READ_COMMITTED);
  if (version >= 7) {
    int32(SESSION_NONE);
    int32(SESSION_EPOCH_NONE);
  }
  int32(1); // topics
  int16(topic.length);
  bytes.set(topic, at);
  at += topic.length;
  int32(request.partitions.length);
  for (const { partition, offset } of request.partitions) {
    int32(partition);
    if (version >= 9) int32(EPOCH_UNKNOWN);
    int64(BigInt(offset));
    if (version >= 5) int64(LOG_START_NONE);
    int32(request.partitionBytes);
  }
  if (version >= 7) int32(0); // topics to forget
  if (version >= 11) int16(0); // the rack: none
  return bytes.subarray(0, at);
}

/**
 * Reads an answer's body.
 *
 * @throws {RangeError} where the bytes end too early
 */
export function decodeFetchResponse(version: number, body: Uint8Array): FetchResponse {
  const reader = new Reader(body);
  const throttleMs = reader.int32();
  const errorCode = version >= 7 ? reader.int16() : 0;
  if (version >= 7) reader.int32(); // the session
  const partitions = reader.array(() => {
    reader.bytes(reader.int16()); // the topic: only one was asked for
    return reader.array(() => decodePartition(version, reader));
  }).flat();
  return { throttleMs, errorCode, partitions };
}

function decodePartition(version: number, reader: Reader): FetchedPartition {
  const partition = reader.int32();
  const errorCode = reader.int16();
  const highWatermark = reader.int64();
  const lastStable = reader.int64();
  if (version >= 5) reader.int64(); // the log's start
  const aborted = reader.array((): AbortedTransaction => ({
    producerId: reader.bigInt64(),
    firstOffset: reader.int64(),
  }));
  if (version >= 11) reader.int32(); // a replica nearer to our rack: we name none
  const bytes = reader.bytes(reader.int32());
  // Brokers say −1 where no transaction was ever open.
  const end = lastStable < 0 ? highWatermark : Math.min(lastStable, highWatermark);
  return { partition, errorCode, end, aborted, bytes };
}

/** Reads the protocol's types, one after the other. */
class Reader {
  #at = 0;
  readonly #view: DataView;

  constructor(private readonly body: Uint8Array) {
    this.#view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  }

  int16(): number {
    return this.#view.getInt16((this.#at += 2) - 2);
  }

  int32(): number {
    return this.#view.getInt32((this.#at += 4) - 4);
  }

  bigInt64(): bigint {
    return this.#view.getBigInt64((this.#at += 8) - 8);
  }

  /** Offsets stay below 2⁵³. */
  int64(): number {
    return Number(this.bigInt64());
  }

  /** A length of −1 says null, which is read as nothing. */
  bytes(length: number): Uint8Array {
    const from = this.#at;
    this.#at += Math.max(0, length);
    if (this.#at > this.body.length) {
      throw new RangeError(`${length} bytes from ${from} on, of ${this.body.length}`);
    }
    return this.body.subarray(from, this.#at);
  }

  array<T>(read: () => T): T[] {
    const items: T[] = [];
    for (let left = this.int32(); left > 0; left--) items.push(read());
    return items;
  }
}
