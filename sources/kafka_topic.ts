/** Topics: made where they are missing, and what their partitions hold. */
import { type Admin, ConfigResourceTypes } from "kafkajs";
import { SourceError } from "../schema/errors.ts";
import { isKafkaError, type KafkaConnection, kafkaError } from "./kafka_client.ts";
import type { PartitionRange } from "./source.ts";

/** How a missing topic is made. */
export interface KafkaTopicOptions {
  readonly topic: string;
  /** Of a topic that is made; one that exists keeps its own. */
  readonly partitions: number;
  /** The largest record batch of a topic that is made, bytes; the broker's own by default. */
  readonly maxMessageBytes?: number;
}

/** Producers' clocks must not decide what is late: the broker stamps. */
const TIMESTAMP_TYPE = "message.timestamp.type";
const LOG_APPEND_TIME = "LogAppendTime";

/** How long a topic that was just made may take to be known, with leaders, to the brokers. */
const TOPIC_WAIT_MS = 30_000;
const TOPIC_POLL_MS = 100;
const NOT_YET = ["UNKNOWN_TOPIC_OR_PARTITION", "LEADER_NOT_AVAILABLE"];

/**
 * Makes the topic where it is missing, with the brokers' own replication factor and timestamps of the append.
 *
 * @throws {SourceError} where the brokers can't be reached or refuse
 */
export async function ensureKafkaTopic(
  admin: Admin,
  options: KafkaTopicOptions,
  connection: KafkaConnection,
): Promise<void> {
  const { topic, partitions, maxMessageBytes } = options;
  try {
    if (await topicExists(admin, topic)) return await warnOfProducersClocks(admin, topic, connection);
    const configEntries = [{ name: TIMESTAMP_TYPE, value: LOG_APPEND_TIME }];
    if (maxMessageBytes !== undefined) {
      configEntries.push({ name: "max.message.bytes", value: String(maxMessageBytes) });
    }
    // Another process may make it at the same time: kafkajs then returns false.
    await admin.createTopics({
      topics: [{ topic, numPartitions: partitions, configEntries }],
      timeout: 30_000,
      waitForLeaders: false, // It gives up at once where the broker that is asked has not heard of the topic yet.
    });
    await waitUntilKnown(admin, topic, connection);
  } catch (error) {
    throw kafkaError(`Making topic '${topic}'`, connection, error);
  }
}

async function waitUntilKnown(admin: Admin, topic: string, { sleep }: KafkaConnection): Promise<void> {
  for (let waited = 0;; waited += TOPIC_POLL_MS) {
    try {
      await admin.fetchTopicMetadata({ topics: [topic] });
      return;
    } catch (error) {
      if (!isKafkaError(error, ...NOT_YET) || waited >= TOPIC_WAIT_MS) throw error;
    }
    await sleep(TOPIC_POLL_MS);
  }
}

/** Whether the brokers know the topic. */
export async function topicExists(admin: Admin, topic: string): Promise<boolean> {
  return (await admin.listTopics()).includes(topic);
}

async function warnOfProducersClocks(
  admin: Admin,
  topic: string,
  { notice }: KafkaConnection,
): Promise<void> {
  try {
    const { resources } = await admin.describeConfigs({
      includeSynonyms: false,
      resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configNames: [TIMESTAMP_TYPE] }],
    });
    const type = resources[0]?.configEntries[0]?.configValue;
    if (type === undefined || type === LOG_APPEND_TIME) return;
    notice(
      `Topic '${topic}' keeps its producers' timestamps (${TIMESTAMP_TYPE}=${type}): an event whose producer's clock ` +
        `is wrong passes unnoticed or becomes a dead letter. Set it to ${LOG_APPEND_TIME}.`,
    );
  } catch (error) {
    // Reading configurations takes a right of its own, and nothing else here needs it.
    if (!isKafkaError(error, "TOPIC_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED")) throw error;
  }
}

/**
 * What each partition of the topic holds, ascending.
 *
 * @throws {SourceError} where the brokers can't be reached or there is no such topic
 */
export async function kafkaRanges(
  admin: Admin,
  topic: string,
  connection: KafkaConnection,
): Promise<readonly PartitionRange[]> {
  try {
    const offsets = await admin.fetchTopicOffsets(topic);
    if (offsets.length === 0) throw topicMissing(topic);
    return offsets.map(({ partition, low, high }) => ({ partition, start: Number(low), end: Number(high) }))
      .sort((a, b) => a.partition - b.partition);
  } catch (error) {
    if (isKafkaError(error, "UNKNOWN_TOPIC_OR_PARTITION")) throw topicMissing(topic);
    throw kafkaError(`Asking what topic '${topic}' holds`, connection, error);
  }
}

/** The sentence for a topic that was deleted. */
export function topicMissing(topic: string): SourceError {
  return new SourceError(
    `Topic '${topic}' must exist, and the brokers no longer have it: it was deleted. Restore it, or name another ` +
      `(KAFKA_TOPIC); a new pipeline (PIPELINE) makes it anew.`,
  );
}
