/** Fetch answers as brokers write them, by kafkajs's encoders, and a cluster that gives them. */
import { Buffer } from "node:buffer";
import type { Cluster } from "kafkajs";
import { CompressionTypes } from "kafkajs";
import Decoder from "kafkajs/src/protocol/decoder.js";
import Encoder from "kafkajs/src/protocol/encoder.js";
import encodeRecord from "kafkajs/src/protocol/recordBatch/record/v0/index.js";
import { RecordBatch as encodeBatch } from "kafkajs/src/protocol/recordBatch/v0/index.js";
import type { ClusterBroker, ProtocolExchange } from "../../sources/kafka_cluster.ts";

/** kafkajs's writer of the protocol's types. */
export interface ProtocolWriter {
  readonly buffer: Uint8Array;
  writeInt16(value: number): ProtocolWriter;
  writeInt32(value: number): ProtocolWriter;
  writeInt64(value: bigint | number): ProtocolWriter;
  writeString(value: string): ProtocolWriter;
  writeBytes(value: Buffer | null): ProtocolWriter;
}

interface ProtocolReader {
  readInt8(): number;
  readInt16(): number;
  readInt32(): number;
  readInt64(): { toString(): string };
  readString(): string;
}

/** What a broker answers for one partition. */
export interface PartitionAnswer {
  readonly partition: number;
  readonly errorCode: number;
  readonly highWatermark: number;
  readonly lastStable: number;
  readonly aborted: readonly { readonly producerId: number; readonly firstOffset: number }[] | null;
  readonly bytes: Uint8Array | null;
}

/** What a broker answers. */
export interface Answer {
  readonly throttleMs: number;
  readonly errorCode: number;
  readonly partitions: readonly PartitionAnswer[];
}

/** An answer in one of Fetch's versions. */
export function encodeAnswer(version: number, { throttleMs, errorCode, partitions }: Answer): Uint8Array {
  const out = new (Encoder as new () => ProtocolWriter)().writeInt32(throttleMs);
  if (version >= 7) out.writeInt16(errorCode).writeInt32(0);
  out.writeInt32(1).writeString("a topic").writeInt32(partitions.length);
  for (const { partition, errorCode, highWatermark, lastStable, aborted, bytes } of partitions) {
    out.writeInt32(partition).writeInt16(errorCode).writeInt64(highWatermark).writeInt64(lastStable);
    if (version >= 5) out.writeInt64(0);
    out.writeInt32(aborted === null ? -1 : aborted.length);
    for (const { producerId, firstOffset } of aborted ?? []) {
      out.writeInt64(producerId).writeInt64(firstOffset);
    }
    if (version >= 11) out.writeInt32(-1);
    out.writeBytes(bytes && Buffer.from(bytes));
  }
  return new Uint8Array(out.buffer);
}

/** A record batch of one record, whose value is its offset. */
export async function recordAt(offset: number): Promise<Uint8Array> {
  const { buffer } = await encodeBatch({
    compression: CompressionTypes.None,
    firstOffset: offset,
    firstTimestamp: 0,
    maxTimestamp: 0,
    lastOffsetDelta: 0,
    records: [
      encodeRecord({
        offsetDelta: 0,
        timestampDelta: 0,
        key: null,
        value: Buffer.from(`${offset}`),
        headers: {},
      }),
    ],
  });
  return new Uint8Array(buffer);
}

/** A request that a {@linkcode FakeCluster} got. */
export interface SeenRequest {
  readonly leader: number;
  /** partition and offset, in their order */
  readonly asked: readonly (readonly [partition: number, offset: number])[];
}

/** Brokers that answer what a test wants, and metadata that it sets. */
export class FakeCluster {
  /** Partition → node id; −1: none. */
  readonly leaders = new Map<number, number>();
  readonly requests: SeenRequest[] = [];
  /** Node ids whose connections were given up. */
  readonly removed: number[] = [];
  refreshes = 0;
  /** How the next answers come about; by default the record at the offset that was asked for. */
  answer: (request: SeenRequest) => Promise<readonly PartitionAnswer[]> = ({ asked }) =>
    Promise.all(asked.map(([partition, offset]) => oneRecord(partition, offset)));
  /** Called when the metadata is asked for. */
  onRefresh: () => void = () => {};

  connect(): Promise<void> {
    return Promise.resolve();
  }

  disconnect(): Promise<void> {
    return Promise.resolve();
  }

  addTargetTopic(): Promise<void> {
    return Promise.resolve();
  }

  refreshMetadata(): Promise<void> {
    this.refreshes++;
    this.onRefresh();
    return Promise.resolve();
  }

  refreshMetadataIfNecessary(): Promise<void> {
    return Promise.resolve();
  }

  removeBroker({ port }: { port: number }): void {
    this.removed.push(port);
  }

  findTopicPartitionMetadata() {
    return [...this.leaders].map(([partitionId, leader]) => ({ partitionId, leader }));
  }

  findBroker({ nodeId }: { nodeId: string }): Promise<ClusterBroker> {
    const leader = Number(nodeId);
    return Promise.resolve({
      versions: { 1: { minVersion: 4, maxVersion: 17 } },
      connectionPool: {
        host: "fake",
        port: leader,
        send: <T>(exchange: ProtocolExchange<T>) => this.#send(leader, exchange),
      },
      disconnect: () => Promise.resolve(),
    });
  }

  async #send<T>(leader: number, { request, response }: ProtocolExchange<T>): Promise<T> {
    const { buffer } = await request.encode() as ProtocolWriter;
    const seen = { leader, asked: readAsked(Buffer.from(buffer)) };
    this.requests.push(seen);
    const partitions = await this.answer(seen);
    const body = encodeAnswer(request.apiVersion, { throttleMs: 0, errorCode: 0, partitions });
    return await response.parse(await response.decode(body));
  }

  /** As kafkajs's. */
  get cluster(): Cluster {
    return this as unknown as Cluster;
  }
}

/** The answer of one record at `offset`, of a partition of 1,000. */
export async function oneRecord(partition: number, offset: number): Promise<PartitionAnswer> {
  return {
    partition,
    errorCode: 0,
    highWatermark: 1_000,
    lastStable: 1_000,
    aborted: null,
    bytes: await recordAt(offset),
  };
}

/** The answer that is an error. */
export function refused(partition: number, errorCode: number): PartitionAnswer {
  return { partition, errorCode, highWatermark: -1, lastStable: -1, aborted: null, bytes: null };
}

/** Partitions and offsets of a request in version 11. */
function readAsked(buffer: Buffer): [number, number][] {
  const reader = new (Decoder as new (buffer: Buffer) => ProtocolReader)(buffer);
  for (let i = 0; i < 4; i++) reader.readInt32(); // replica, wait, least and most bytes
  reader.readInt8(); // isolation
  for (let i = 0; i < 3; i++) reader.readInt32(); // session, its epoch, topics
  reader.readString();
  return Array.from({ length: reader.readInt32() }, () => {
    const partition = reader.readInt32();
    reader.readInt32(); // leader epoch
    const offset = Number(reader.readInt64());
    reader.readInt64(); // log start
    reader.readInt32(); // bytes
    return [partition, offset];
  });
}
