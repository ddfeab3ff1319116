/** Topics on the broker of the tests, with a reader and a producer. */
import { Kafka, logLevel } from "kafkajs";
import { systemClock } from "../../../actors/clock.ts";
import type { KafkaConnection } from "../../../sources/kafka_client.ts";
import { openKafkaProducer } from "../../../sources/kafka_producer.ts";
import { openKafkaSource } from "../../../sources/kafka_source.ts";
import { PARTITIONS, type SourceWorld } from "../../sources/source_contract.ts";
import { kafkaBrokers, newTopic } from "./kafka.ts";

/** How the tests reach `brokers`; what the client has to say goes to `notices`. */
export function testConnection(brokers: string, notices: string[] = []): KafkaConnection {
  return {
    brokers: brokers.split(","),
    clientId: "sessionary-tests",
    tls: false,
    tlsCaPath: null,
    sasl: null,
    now: systemClock.now,
    sleep: systemClock.sleep,
    notice: (text) => notices.push(text),
  };
}

/** kafkajs as it is, for what the program has no use for. */
export function plainKafka(brokers: string): Kafka {
  return new Kafka({ brokers: brokers.split(","), logLevel: logLevel.NOTHING });
}

/** Removes the records below `offset`, as retention would. */
export async function removeRecordsBefore(
  brokers: string,
  topic: string,
  partition: number,
  offset: number,
): Promise<void> {
  const admin = plainKafka(brokers).admin();
  await admin.connect();
  try {
    await admin.fetchTopicOffsets(topic); // kafkajs deletes by what it knows of the topic, and does not ask itself
    await admin.deleteTopicRecords({ topic, partitions: [{ partition, offset: String(offset) }] });
  } finally {
    await admin.disconnect();
  }
}

/** A new topic with a reader in a group of its own. */
export interface KafkaWorld extends SourceWorld {
  readonly brokers: string;
  readonly topic: string;
  readonly notices: readonly string[];
}

/** A new topic of `partitions` partitions. */
export async function kafkaWorld(partitions = PARTITIONS): Promise<KafkaWorld> {
  const brokers = await kafkaBrokers();
  const topic = newTopic();
  const notices: string[] = [];
  const connection = testConnection(brokers, notices);
  const producer = await openKafkaProducer({ connection, topic, partitions });
  const source = await openKafkaSource({ connection, topic, partitions, groupId: topic });
  return {
    brokers,
    topic,
    notices,
    source,
    producer,
    removeBefore: (partition, offset) => removeRecordsBefore(brokers, topic, partition, offset),
    async [Symbol.asyncDispose]() {
      await source.close();
      await producer.close();
    },
  };
}
