/** Chooses the event log by the configuration: Kafka where its brokers are named, else the embedded one. */
import type { Config } from "../schema/config.ts";
import { dataPaths } from "../schema/data_paths.ts";
import type { RecordTest } from "../schema/erasure.ts";
import type { ErasedRecords } from "./embedded_erasure.ts";
import { type EmbeddedLog, openEmbeddedLog } from "./embedded_log.ts";
import type { KafkaConnection } from "./kafka_client.ts";
import type { Producer, Source } from "./source.ts";

/** What a source needs of time. */
export interface SourceClock {
  now(): number;
  /** Returns early where `signal` aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Told of what went wrong and is being mended. */
export type SourceNotice = (text: string) => void;

const SILENT: SourceNotice = () => {};

/** A dead letter holds a record of the topic, of any size that the brokers let in, and headers beside it. */
const DEAD_LETTER_BYTES_MAX = 16 * 1024 * 1024;

/** The topic that dead letters of `topic` are fed to. */
export function deadLetterTopicOf(topic: string): string {
  return `${topic}.dlq`;
}

function openLog(config: Config, clock: SourceClock): EmbeddedLog {
  return openEmbeddedLog({
    path: dataPaths(config.dataDir).events,
    now: () => clock.now(),
    sleep: (ms) => clock.sleep(ms),
    retention: { ageMs: config.eventsRetentionMs },
  });
}

/** How Kafka is reached; null where the embedded log is meant. */
function kafkaConnection(config: Config, clock: SourceClock, notice: SourceNotice): KafkaConnection | null {
  const { kafkaBrokers, kafkaSaslMechanism: mechanism } = config;
  if (kafkaBrokers === null) return null;
  return {
    brokers: kafkaBrokers.split(","),
    clientId: config.kafkaClientId,
    tls: config.kafkaTls,
    tlsCaPath: config.kafkaTlsCa,
    sasl: mechanism === "none" ? null : {
      mechanism,
      username: config.kafkaSaslUsername ?? "",
      password: config.kafkaSaslPassword ?? "",
    },
    now: () => clock.now(),
    sleep: (ms, signal) => clock.sleep(ms, signal),
    notice,
  };
}

/** Where the events are, for people. */
export function eventLogLocation({ dataDir, topic, kafkaBrokers }: Config): string {
  return kafkaBrokers === null
    ? `topic ${topic} in ${dataDir}`
    : `topic ${topic} on Kafka at ${kafkaBrokers}`;
}

/** The topic's reader; the topic is made where it is missing. */
export async function openSource(config: Config, clock: SourceClock, notice = SILENT): Promise<Source> {
  const { topic, partitions } = config;
  const connection = kafkaConnection(config, clock, notice);
  if (connection === null) return openLog(config, clock).source(topic, { partitions });
  // Loaded only where it is used.
  const { openKafkaSource } = await import("./kafka_source.ts");
  return await openKafkaSource({
    connection,
    topic,
    partitions,
    groupId: config.kafkaGroup ?? config.pipeline,
    memberPath: dataPaths(config.dataDir).kafkaMember,
  });
}

/** The topic's producer; the topic is made where it is missing. */
export async function openProducer(config: Config, clock: SourceClock, notice = SILENT): Promise<Producer> {
  const { topic, partitions } = config;
  const connection = kafkaConnection(config, clock, notice);
  if (connection === null) return openLog(config, clock).producer(topic, { partitions });
  const { openKafkaProducer } = await import("./kafka_producer.ts");
  return await openKafkaProducer({ connection, topic, partitions });
}

/** The producer of the topic's dead letters. */
export async function openDeadLetterTopic(
  config: Config,
  clock: SourceClock,
  notice = SILENT,
): Promise<Producer> {
  const topic = deadLetterTopicOf(config.topic);
  const connection = kafkaConnection(config, clock, notice);
  if (connection === null) return openLog(config, clock).producer(topic, { partitions: 1 });
  const { openKafkaProducer } = await import("./kafka_producer.ts");
  return await openKafkaProducer({
    connection,
    topic,
    partitions: 1,
    maxMessageBytes: DEAD_LETTER_BYTES_MAX,
  });
}

/**
 * Empties the records of a reader or a session in the topic, below an offset of each partition, and in that of its dead
 * letters; null where the events are in Kafka, which does not change its records.
 *
 * @param before the first offset that is left alone, by partition
 */
export async function eraseEvents(
  config: Config,
  clock: SourceClock,
  before: ReadonlyMap<number, number>,
  tests: { readonly record: RecordTest; readonly letter: RecordTest },
): Promise<ErasedRecords | null> {
  if (config.kafkaBrokers !== null) return null;
  const { eraseRecords } = await import("./embedded_erasure.ts");
  const log = openLog(config, clock);
  try {
    const events = eraseRecords(log, config.topic, before, tests.record);
    const letters = deadLetterTopicOf(config.topic);
    const all = new Map(log.partitions(letters).map(({ partition, end }) => [partition, end]));
    const { records, complete } = eraseRecords(log, letters, all, tests.letter);
    return { records: events.records + records, complete };
  } finally {
    log.close();
  }
}
