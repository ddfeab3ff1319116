/**
 * Membership in a consumer group, through kafkajs's consumer: joins, goes on through outages, and leaves. What is fetched
 * goes to the source, which alone decides where to read.
 */
import type { Cluster, Consumer, EachBatchPayload, Kafka } from "kafkajs";
import { PartitionAssigners } from "kafkajs";
import { messageOf, SourceError } from "../schema/errors.ts";
import { isKafkaError, isPermanent, type KafkaConnection, kafkaError } from "./kafka_client.ts";

/** What a member is told. */
export interface GroupListener {
  /** The group assigned these partitions; nothing was fetched of them yet. Called again after each rejoin. */
  joined(partitions: readonly number[]): void;
  /** One partition of a Fetch response; the next fetch waits for it. */
  fetched(payload: EachBatchPayload): Promise<void>;
  /** The brokers say that they don't have the topic: for a moment after a restart, or for good. */
  topicUnknown(): void;
  /** The membership is over and can't be had again. */
  failed(error: SourceError): void;
}

export interface GroupOptions {
  readonly topic: string;
  readonly groupId: string;
  readonly connection: KafkaConnection;
}

/** How long the group keeps the partitions of a member that died: a restart after a kill waits for it. */
const SESSION_TIMEOUT_MS = 10_000;
const HEARTBEAT_MS = 2_500;
const REBALANCE_TIMEOUT_MS = 30_000;
/** A long poll's length: what a seek or a resume may wait for while nothing else arrives. */
const FETCH_WAIT_MS = 100;
const FETCH_BYTES = 8 * 1024 * 1024;
const FETCH_PARTITION_BYTES = 1024 * 1024;
const JOIN_TIMEOUT_MS = 60_000;
const RESTART_MS = 1_000;
const CLOSE_TIMEOUT_MS = 10_000;

/** One member of a consumer group, for one topic. */
export class GroupMember {
  readonly #consumer: Consumer;
  #cluster: Cluster | null = null;
  #closed = false;
  /** Offsets still to be committed; newer ones replace older ones while a commit is under way. */
  readonly #uncommitted = new Map<number, number>();
  #committing: Promise<void> = Promise.resolve();

  constructor(
    kafka: Kafka,
    private readonly options: GroupOptions,
    private readonly listener: GroupListener,
  ) {
    this.#consumer = kafka.consumer({
      groupId: options.groupId,
      sessionTimeout: SESSION_TIMEOUT_MS,
      heartbeatInterval: HEARTBEAT_MS,
      rebalanceTimeout: REBALANCE_TIMEOUT_MS,
      maxWaitTimeInMs: FETCH_WAIT_MS,
      maxBytes: FETCH_BYTES,
      maxBytesPerPartition: FETCH_PARTITION_BYTES,
      allowAutoTopicCreation: false,
      // The documented way to the cluster behind the consumer, for a fetch of one record.
      partitionAssigners: [(config) => {
        this.#cluster = config.cluster;
        return PartitionAssigners.roundRobin(config);
      }],
    });
  }

  /**
   * Joins the group.
   *
   * @throws {SourceError} where the brokers can't be reached, refuse, or let nobody join for a minute
   */
  async start(): Promise<void> {
    const { topic, groupId, connection } = this.options;
    const joined = Promise.withResolvers<void>();
    const { GROUP_JOIN, CRASH } = this.#consumer.events;
    this.#consumer.on(GROUP_JOIN, ({ payload }) => {
      this.listener.joined(payload.memberAssignment[topic] ?? []);
      joined.resolve();
    });
    this.#consumer.on(
      CRASH,
      ({ payload: { error, restart } }) => this.#crashed(error, restart, joined.reject),
    );
    const timeout = new AbortController();
    try {
      await this.#run();
      const late = connection.sleep(JOIN_TIMEOUT_MS, timeout.signal).then(() => {
        throw new SourceError(
          `Joining group '${groupId}' must take less than ${
            JOIN_TIMEOUT_MS / 1000
          } s, and the brokers have not let ` +
            `this instance in. See whether another member of the group hangs, or name another group (KAFKA_GROUP).`,
        );
      });
      await Promise.race([joined.promise, late]);
    } catch (error) {
      await this.close();
      throw kafkaError(`Joining group '${groupId}' of topic '${topic}'`, connection, error);
    } finally {
      timeout.abort();
    }
  }

  async #run(): Promise<void> {
    const { topic } = this.options;
    await this.#consumer.connect();
    await this.#consumer.subscribe({ topic, fromBeginning: true });
    await this.#consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      eachBatch: (payload) => this.listener.fetched(payload),
    });
  }

  /** kafkajs gives up on errors that pass, such as a coordinator that is not found yet: then it is run again here. */
  #crashed(error: Error, restarts: boolean, reject: (error: unknown) => void): void {
    const { connection, groupId } = this.options;
    if (this.#closed) return;
    if (isPermanent(error)) {
      const failure = kafkaError(`Reading as group '${groupId}'`, connection, error);
      reject(failure);
      this.listener.failed(failure);
      return;
    }
    if (isKafkaError(error, "UNKNOWN_TOPIC_OR_PARTITION")) this.listener.topicUnknown();
    if (!restarts) this.#runAgain();
  }

  async #runAgain(): Promise<void> {
    const { connection, groupId } = this.options;
    for (;;) {
      await connection.sleep(RESTART_MS);
      if (this.#closed) return;
      try {
        return await this.#run();
      } catch (error) {
        if (!isPermanent(error)) continue;
        return this.listener.failed(kafkaError(`Reading as group '${groupId}'`, connection, error));
      }
    }
  }

  seek(partition: number, offset: number): void {
    this.#steer(() => this.#consumer.seek({ topic: this.options.topic, partition, offset: String(offset) }));
  }

  pause(partitions: readonly number[]): void {
    this.#steer(() => this.#consumer.pause([{ topic: this.options.topic, partitions: [...partitions] }]));
  }

  resume(partition: number): void {
    this.#steer(() => this.#consumer.resume([{ topic: this.options.topic, partitions: [partition] }]));
  }

  /** Between a crash and the next join kafkajs has nothing to steer; at the join the source says all of it again. */
  #steer(act: () => void): void {
    try {
      act();
    } catch (error) {
      if (!messageOf(error).includes("Consumer group was not initialized")) throw error;
    }
  }

  /**
   * Commits offsets in the background: reading must not wait for what only lag tools look at, and what fails is said
   * and forgotten.
   */
  commit(positions: ReadonlyMap<number, number>): void {
    const idle = this.#uncommitted.size === 0;
    for (const [partition, offset] of positions) this.#uncommitted.set(partition, offset);
    if (idle && this.#uncommitted.size > 0) this.#committing = this.#committing.then(() => this.#commitAll());
  }

  async #commitAll(): Promise<void> {
    const { topic, groupId, connection } = this.options;
    while (this.#uncommitted.size > 0) {
      const offsets = [...this.#uncommitted].map(([partition, offset]) => ({
        topic,
        partition,
        offset: String(offset),
      }));
      try {
        await this.#consumer.commitOffsets(offsets);
      } catch (error) {
        connection.notice(
          `Committing the offsets of group '${groupId}' failed, which only tools that watch the lag will see: ` +
            `${messageOf(error)}`,
        );
      }
      for (const { partition, offset } of offsets) {
        if (this.#uncommitted.get(partition) === Number(offset)) this.#uncommitted.delete(partition);
      }
    }
  }

  /** The messages at and after `offset`, as kafkajs hands them on: one record batch at least, where there is any. */
  async fetchOnce(partition: number, offset: number): Promise<readonly unknown[]> {
    const { topic, connection } = this.options;
    for (let tries = 0;; tries++) {
      try {
        const cluster = this.#cluster!;
        await cluster.refreshMetadataIfNecessary();
        const [nodeId] = Object.keys(cluster.findLeaderForPartitions(topic, [partition]));
        const broker = await cluster.findBroker({ nodeId: nodeId ?? "" });
        const { responses } = await broker.fetch({
          maxWaitTime: FETCH_WAIT_MS,
          minBytes: 1,
          maxBytes: 1,
          isolationLevel: 1,
          topics: [{ topic, partitions: [{ partition, fetchOffset: String(offset), maxBytes: 1 }] }],
        });
        return responses[0]?.partitions[0]?.messages ?? [];
      } catch (error) {
        if (tries >= 5 || isPermanent(error)) {
          throw kafkaError(
            `Reading one record of partition ${partition} of topic '${topic}'`,
            connection,
            error,
          );
        }
        await connection.sleep(200 * 2 ** tries);
        await this.#cluster?.refreshMetadata().catch(() => {});
      }
    }
  }

  /** Commits what is left to commit and leaves the group; gives up after ten seconds of an outage. */
  async close(): Promise<void> {
    this.#closed = true;
    const timeout = new AbortController();
    const leave = this.#committing.then(() => this.#consumer.disconnect()).catch(() => {});
    await Promise.race([leave, this.options.connection.sleep(CLOSE_TIMEOUT_MS, timeout.signal)]);
    timeout.abort();
  }
}
