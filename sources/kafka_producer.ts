/**
 * Producing to a topic of Kafka: idempotent, acks=all, Snappy, and exact through lost answers and outages.
 *
 * kafkajs keeps an idempotent producer's sequence numbers as a count that it takes back when a send fails. That is right
 * only where a failed send failed whole, and where the same records follow next. So: one batch outstanding in a partition;
 * a send goes to one broker (kafkajs would otherwise forget which brokers had answered); and a batch that failed
 * is sent again unchanged until it is answered. The broker then recognizes one that it already has.
 */
import { Buffer } from "node:buffer";
import {
  CompressionTypes,
  type Kafka,
  type Message,
  type PartitionerArgs,
  type Producer as KafkajsProducer,
} from "kafkajs";
import { invariant, messageOf, type SourceError } from "../schema/errors.ts";
import { recordSize } from "./feed.ts";
import { isPermanent, type KafkaConnection, kafkaError, openKafka } from "./kafka_client.ts";
import { ensureKafkaTopic, type KafkaTopicOptions, topicMissing } from "./kafka_topic.ts";
import { partitionOfKey } from "./murmur2.ts";
import type { ProducedRecord, Producer, RecordPosition } from "./source.ts";

export interface KafkaProducerOptions extends KafkaTopicOptions {
  readonly connection: KafkaConnection;
  /** How long one batch is tried, milliseconds; two minutes by default, as Java's delivery.timeout.ms. */
  readonly deliveryTimeoutMs?: number;
}

/** Key and value bytes of one record batch. */
const BATCH_BYTES = 64 * 1024;
const DELIVERY_TIMEOUT_MS = 120_000;
const RETRIES = 3;
const PAUSE_MS = 500;
const ACKS_ALL = -1;

/** A partition's leader changed between the choice of a broker and the send: nothing was sent. */
class LeaderChanged extends Error {
  override readonly name = "LeaderChanged";
  readonly retriable = false;
}

/** What kafkajs is given, with the broker that is meant to get it. */
interface AddressedMessage extends Message {
  readonly partition: number;
  readonly leader: number;
}

/** The records of one partition that go in one record batch, as indexes of a send's records. */
interface PartitionBatch {
  readonly partition: number;
  readonly indexes: readonly number[];
}

/**
 * Connects a producer; the topic is made where it is missing.
 *
 * @throws {SourceError} where the brokers can't be reached or refuse
 */
export async function openKafkaProducer(options: KafkaProducerOptions): Promise<KafkaProducer> {
  const { connection, topic } = options;
  const kafka = await openKafka(connection);
  const admin = kafka.admin();
  try {
    await admin.connect();
    await ensureKafkaTopic(admin, options, connection);
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
    const leaders = new Map(topics[0]?.partitions.map(({ partitionId, leader }) => [partitionId, leader]));
    if (leaders.size === 0) throw topicMissing(topic);
    const producer = new KafkaProducer(kafka, leaders, options);
    await producer.connect();
    return producer;
  } catch (error) {
    throw kafkaError(`Opening topic '${topic}' to produce`, connection, error);
  } finally {
    await admin.disconnect().catch(() => {});
  }
}

/** A topic's producer; made by {@linkcode openKafkaProducer}. */
export class KafkaProducer implements Producer {
  readonly topic: string;
  readonly #producer: KafkajsProducer;
  /** The partitions' leaders, as kafkajs knew them at its last send. */
  #leaders: ReadonlyMap<number, number>;
  #metadata: unknown = null;
  #sending: Promise<unknown> = Promise.resolve();
  #failure: SourceError | null = null;
  #keylessTurn = 0;

  constructor(
    kafka: Kafka,
    leaders: ReadonlyMap<number, number>,
    private readonly options: KafkaProducerOptions,
  ) {
    this.topic = options.topic;
    this.#leaders = leaders;
    this.#producer = kafka.producer({
      idempotent: true,
      allowAutoTopicCreation: false,
      retry: { retries: RETRIES },
      createPartitioner: () => (args) => this.#partitionOf(args),
    });
  }

  async connect(): Promise<void> {
    await this.#producer.connect();
  }

  /** One send after another, however they are called. */
  send(records: readonly ProducedRecord[]): Promise<readonly RecordPosition[]> {
    const sent = this.#sending.then(() => this.#send(records));
    this.#sending = sent.catch(() => {});
    return sent;
  }

  /** Waits for the send that is under way. */
  async close(): Promise<void> {
    await this.#sending;
    await this.#producer.disconnect();
  }

  async #send(records: readonly ProducedRecord[]): Promise<readonly RecordPosition[]> {
    const positions: RecordPosition[] = new Array(records.length);
    for (const round of this.#rounds(records)) {
      if (this.#failure !== null) throw this.#failure;
      await this.#deliver(round, records, positions);
    }
    return positions;
  }

  /** Cuts the records into rounds of one record batch a partition at most, keeping each partition's order. */
  *#rounds(records: readonly ProducedRecord[]): Iterable<PartitionBatch[]> {
    const byPartition = this.#group(records);
    while (byPartition.size > 0) {
      const round: PartitionBatch[] = [];
      for (const [partition, indexes] of byPartition) {
        let [count, bytes] = [0, 0];
        for (; count < indexes.length; count++) {
          bytes += recordSize(records[indexes[count]!]!);
          if (count > 0 && bytes > BATCH_BYTES) break;
        }
        round.push({ partition, indexes: indexes.splice(0, count) });
        if (indexes.length === 0) byPartition.delete(partition);
      }
      yield round;
    }
  }

  #group(records: readonly ProducedRecord[]): Map<number, number[]> {
    const partitions = this.#leaders.size;
    // As Kafka's sticky partitioner does: the keyless records of one send go together.
    const keyless = this.#keylessTurn++ % partitions;
    const byPartition = new Map<number, number[]>();
    records.forEach(({ key }, index) => {
      const partition = key === null ? keyless : partitionOfKey(key, partitions);
      const indexes = byPartition.get(partition);
      if (indexes === undefined) byPartition.set(partition, [index]);
      else indexes.push(index);
    });
    return byPartition;
  }

  /** Delivers the batches, each broker's in one request, at the same time; all have ended when it returns. */
  async #deliver(
    batches: readonly PartitionBatch[],
    records: readonly ProducedRecord[],
    positions: RecordPosition[],
  ): Promise<void> {
    const groups = Map.groupBy(batches, ({ partition }) => this.#leaders.get(partition)!);
    const outcomes = await Promise.allSettled(
      [...groups].map(([leader, group]) => this.#deliverTo(leader, group, records, positions)),
    );
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  }

  async #deliverTo(
    leader: number,
    group: readonly PartitionBatch[],
    records: readonly ProducedRecord[],
    positions: RecordPosition[],
  ): Promise<void> {
    const { connection, deliveryTimeoutMs = DELIVERY_TIMEOUT_MS } = this.options;
    const messages = group.flatMap(({ partition, indexes }) =>
      indexes.map((index) => addressed(records[index]!, partition, leader))
    );
    const deadline = connection.now() + deliveryTimeoutMs;
    for (let tries = 1;; tries++) {
      try {
        const answers = await this.#producer.send({
          topic: this.topic,
          acks: ACKS_ALL,
          compression: CompressionTypes.Snappy,
          messages,
        });
        const baseOffsets = new Map(
          answers.map(({ partition, baseOffset }) => [partition, Number(baseOffset)]),
        );
        return notePositions(group, baseOffsets, positions);
      } catch (error) {
        if (error instanceof LeaderChanged) return await this.#deliver(group, records, positions);
        if (isPermanent(error) || connection.now() >= deadline) throw this.#fail(error, tries);
        if (tries === 1) {
          connection.notice(
            `Producing to topic '${this.topic}' failed and is tried again, unchanged: ${messageOf(error)}`,
          );
        }
        await connection.sleep(PAUSE_MS);
      }
    }
  }

  /** After a batch that stays unanswered nothing more is sent: its place in the sequence is not known. */
  #fail(error: unknown, tries: number): SourceError {
    const action = `Producing to topic '${this.topic}' (${
      tries * (RETRIES + 1)
    } tries; the last records may have been stored)`;
    return this.#failure ??= kafkaError(action, this.options.connection, error);
  }

  /** kafkajs asks this of each message, and looks for the leaders right after, in the same metadata. */
  #partitionOf({ partitionMetadata, message }: PartitionerArgs): number {
    if (partitionMetadata !== this.#metadata) {
      this.#metadata = partitionMetadata;
      this.#leaders = new Map(partitionMetadata.map(({ partitionId, leader }) => [partitionId, leader]));
    }
    const { partition, leader } = message as AddressedMessage;
    if (this.#leaders.get(partition) !== leader) {
      throw new LeaderChanged(`partition ${partition} has another leader`);
    }
    return partition;
  }
}

function addressed(
  { key, value, headers }: ProducedRecord,
  partition: number,
  leader: number,
): AddressedMessage {
  return {
    key: bufferOrNull(key),
    value: bufferOrNull(value),
    headers: headers && { ...headers },
    partition,
    leader,
  };
}

/** A view of the same bytes, as kafkajs takes them. */
function bufferOrNull(bytes: Uint8Array | null): Buffer | null {
  return bytes && Buffer.from(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength);
}

function notePositions(
  group: readonly PartitionBatch[],
  baseOffsets: ReadonlyMap<number, number>,
  positions: RecordPosition[],
): void {
  for (const { partition, indexes } of group) {
    const base = baseOffsets.get(partition);
    invariant(
      base !== undefined && base >= 0,
      `the broker says where the batch of partition ${partition} landed`,
    );
    indexes.forEach((index, i) => positions[index] = { partition, offset: base + i });
  }
}
