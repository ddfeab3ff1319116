/** What must be true of a topic, asked of the brokers: each answer that is not the right one is a sentence. */
import type { Admin } from "kafkajs";
import { SourceError } from "../schema/errors.ts";
import { isPassing, type KafkaConnection } from "./kafka_client.ts";
import { kafkaRanges, topicExists, topicMissing } from "./kafka_topic.ts";
import type { PartitionRange } from "./source.ts";

export interface KafkaChecksOptions {
  readonly connection: KafkaConnection;
  readonly topic: string;
}

/** After a change of leaders an end may stand back for a moment: it is believed when it is still there after these. */
const END_CHECKS = 5;
const END_CHECK_MS = 1_000;
/** A broker that has just started may not know its topics yet. */
const TOPIC_CHECKS = 3;
const TOPIC_CHECK_MS = 1_000;

/** A broker that restarts, and the election of another leader, take less. */
const RANGES_PATIENCE_MS = 120_000;
const RANGES_RETRY_MS = 1_000;

/** Checks of one topic. */
export class KafkaChecks {
  constructor(private readonly admin: Admin, private readonly options: KafkaChecksOptions) {}

  /**
   * What each partition of the topic holds; waits two minutes for brokers that don't answer.
   *
   * @param isWanted whether the answer still matters
   * @throws {SourceError} where the brokers stay away or refuse, or the topic is gone
   */
  async ranges(isWanted: () => boolean): Promise<readonly PartitionRange[]> {
    const { topic, connection } = this.options;
    const deadline = connection.now() + RANGES_PATIENCE_MS;
    for (;;) {
      try {
        return await kafkaRanges(this.admin, topic, connection);
      } catch (error) {
        if (!isPassing(error) || !isWanted() || connection.now() >= deadline) throw error;
        await connection.sleep(RANGES_RETRY_MS);
      }
    }
  }

  /**
   * Waits for brokers that don't answer, as {@linkcode ranges} does; resolves where the answer matters no longer.
   *
   * @param isWanted whether the answer still matters
   * @throws {SourceError} where the partition does not hold `offset`, nor end there
   */
  async requireInRange(partition: number, offset: number, isWanted: () => boolean): Promise<void> {
    for (let checks = 1; isWanted(); checks++) {
      const ranges = await this.ranges(isWanted).catch((error) => {
        if (isWanted()) throw error;
        return null;
      });
      if (ranges === null) return;
      const range = ranges.find((range) => range.partition === partition);
      if (range === undefined) throw topicMissing(this.options.topic);
      if (offset < range.start) throw this.#removed(partition, offset, range.start);
      if (offset <= range.end) return;
      if (checks === END_CHECKS) throw this.#truncated(partition, offset, range.end);
      await this.options.connection.sleep(END_CHECK_MS);
    }
  }

  #removed(partition: number, offset: number, start: number): SourceError {
    return new SourceError(
      `${this.#reading(partition, offset)} begins at ${start}: retention removed ${
        start - offset
      } records that were ` +
        `not read. Restore them, or start a new pipeline (PIPELINE) on a new lake; give the topic a longer ` +
        `retention.ms in future.`,
    );
  }

  #truncated(partition: number, offset: number, end: number): SourceError {
    return new SourceError(
      `${
        this.#reading(partition, offset)
      } ends at ${end}: the brokers lost records, or the topic is another one. ` +
        `Restore the topic, or start a new pipeline (PIPELINE) on a new lake.`,
    );
  }

  #reading(partition: number, offset: number): string {
    return `Reading partition ${partition} of topic '${this.options.topic}' was to go on at offset ${offset}, but the log`;
  }

  /** @throws {SourceError} where the topic is gone for good; brokers that don't answer say nothing of it */
  async requireTopic(): Promise<void> {
    const { topic, connection } = this.options;
    for (let checks = 1; !await topicExists(this.admin, topic).catch(() => true); checks++) {
      if (checks === TOPIC_CHECKS) throw topicMissing(topic);
      await connection.sleep(TOPIC_CHECK_MS);
    }
  }
}
