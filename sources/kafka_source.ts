/**
 * Reading a topic of Kafka as a member of a consumer group. The positions are the caller's: the group's committed
 * offsets are never read, and wherever kafkajs goes by itself (its default offset after an out-of-range, its committed
 * offsets after a rejoin) is told by the offset that it fetched from, dropped, and fetched again from where it should.
 */
import type { Admin, EachBatchPayload, Kafka } from "kafkajs";
import { invariant, SourceError } from "../schema/errors.ts";
import { KafkaChecks } from "./kafka_checks.ts";
import { type KafkaConnection, kafkaError, openKafka } from "./kafka_client.ts";
import { type Codecs, loadCodecs } from "./kafka_codecs.ts";
import { fetchedBatch, fetchedPartition } from "./kafka_fetch.ts";
import { GroupMember } from "./kafka_group.ts";
import { decodeFetchedRecords } from "./kafka_record_batches.ts";
import { ensureKafkaTopic } from "./kafka_topic.ts";
import { PartitionQueue } from "./partition_queue.ts";
import { sliceRecordBatch } from "./record_batch.ts";
import type { PartitionRange, Poll, RecordBatch, Source } from "./source.ts";

export interface KafkaSourceOptions {
  readonly connection: KafkaConnection;
  readonly topic: string;
  /** Of the topic, where it must be made. */
  readonly partitions: number;
  readonly groupId: string;
}

/** Bytes that were fetched and not polled yet; then fetching waits. */
const QUEUE_BYTES = 16 * 1024 * 1024;
/** Small record batches are joined up to this size, so that a poll gets few. */
const CHUNK_BYTES = 256 * 1024;
/** While fetching waits for room, the group is told at this interval that this member lives. */
const HEARTBEAT_MS = 1_000;
/** What a fetch said of a partition's end holds so long: the next long poll comes sooner, unless there is an outage. */
const END_HOLDS_MS = 1_000;
interface PartitionState {
  readonly queue: PartitionQueue;
  /** The offset to be fetched next; null before the first seek. */
  next: number | null;
  /** Told apart by it: what was fetched before a seek, and after. */
  seeks: number;
  paused: boolean;
  verifying: boolean;
  end: number;
  endSeenAt: number;
}

/**
 * Joins the group and resolves when it has assigned the topic's partitions. The topic is made where it is missing.
 *
 * @throws {SourceError} where the brokers can't be reached or refuse, or another member of the group reads the topic
 */
export async function openKafkaSource(options: KafkaSourceOptions): Promise<KafkaSource> {
  const { connection, topic } = options;
  const [kafka, codecs] = await Promise.all([openKafka(connection), loadCodecs()]);
  const admin = kafka.admin();
  try {
    await admin.connect();
    await ensureKafkaTopic(admin, options, connection);
    const source = new KafkaSource(kafka, admin, codecs, options);
    await source.join();
    return source;
  } catch (error) {
    await admin.disconnect().catch(() => {});
    throw kafkaError(`Opening topic '${topic}'`, connection, error);
  }
}

/** A topic's reader; made by {@linkcode openKafkaSource}. */
export class KafkaSource implements Source {
  readonly topic: string;
  readonly #checks: KafkaChecks;
  readonly #member: GroupMember;
  readonly #states = new Map<number, PartitionState>();
  #joins = 0;
  #turn = 0;
  #failure: SourceError | null = null;
  #closed = false;
  #announced = false;
  /** Resolved and replaced whenever a poll should look again. */
  #arrival = Promise.withResolvers<void>();
  /** Resolved and replaced whenever a poll, a seek or the end makes room. */
  #room = Promise.withResolvers<void>();

  constructor(
    kafka: Kafka,
    private readonly admin: Admin,
    private readonly codecs: Codecs,
    private readonly options: KafkaSourceOptions,
  ) {
    this.topic = options.topic;
    this.#checks = new KafkaChecks(admin, options);
    this.#member = new GroupMember(kafka, options, {
      joined: (partitions) => this.#joined(partitions),
      fetched: (payload) => this.#fetched(payload),
      topicUnknown: () => this.#checks.requireTopic().catch((error) => this.#fail(error)),
      failed: (error) => this.#fail(error),
    });
  }

  /** Joins the group; the partitions that it assigns are this source's. */
  async join(): Promise<void> {
    await this.#checks.requireEmptyGroup();
    await this.#member.start();
    const ranges = await this.#checks.ranges();
    if (ranges.length === this.#states.size) return;
    const error = await this.#checks.shared(
      `was given ${this.#states.size} of the ${ranges.length} partitions`,
    );
    await this.close();
    throw error;
  }

  async ranges(): Promise<readonly PartitionRange[]> {
    const ranges = await this.#checks.ranges();
    return ranges.filter(({ partition }) => this.#states.has(partition));
  }

  async seek(partition: number, offset: number): Promise<void> {
    const state = this.#state(partition);
    await this.#checks.requireInRange(partition, offset);
    state.seeks++;
    state.next = offset;
    state.endSeenAt = -Infinity;
    state.queue.clear();
    this.#member.seek(partition, offset);
    if (!state.paused) this.#member.resume(partition);
    this.#wakeFetch();
  }

  async poll(maxBytes: number, waitMs: number): Promise<Poll> {
    const { now, sleep } = this.options.connection;
    const deadline = now() + waitMs;
    for (;;) {
      if (this.#failure !== null) throw this.#failure;
      if (this.#closed) return { batches: [], atEnd: [], revoked: [], assigned: [] };
      const arrival = this.#arrival.promise;
      const batches = this.#take(maxBytes);
      const left = deadline - now();
      const assigned = this.#announced ? [] : [...this.#states.keys()];
      this.#announced = true;
      if (batches.length > 0 || assigned.length > 0 || left <= 0) {
        return { batches, atEnd: this.#atEnd(), revoked: [], assigned };
      }
      const timeout = new AbortController();
      await Promise.race([arrival, sleep(left, timeout.signal)]);
      timeout.abort();
    }
  }

  pause(partition: number): void {
    this.#state(partition).paused = true;
    this.#member.pause([partition]);
    this.#wakeFetch();
  }

  resume(partition: number): void {
    const state = this.#state(partition);
    state.paused = false;
    if (state.next !== null) this.#member.resume(partition);
    this.#wakePoll();
  }

  async recordAt(partition: number, offset: number): Promise<RecordBatch | null> {
    const range = (await this.ranges()).find((range) => range.partition === partition);
    if (range === undefined || offset < range.start || offset >= range.end) return null;
    const fetched = fetchedPartition(await this.#member.fetchOnce(partition, offset));
    const { topic, codecs } = this;
    const { batches } = decodeFetchedRecords(fetched, {
      topic,
      partition,
      position: offset,
      codecs,
      chunkBytes: 1,
    });
    const first = batches[0];
    if (first === undefined || first.count === 0 || first.offsets[0] !== offset) return null;
    return sliceRecordBatch(first, 0, 1);
  }

  /** Commits in the background; {@linkcode close} waits for it. */
  commitOffsets(positions: ReadonlyMap<number, number>): Promise<void> {
    this.#member.commit(positions);
    return Promise.resolve();
  }

  /** Ends a poll that waits, commits what is left to commit and leaves the group. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#wakePoll();
    this.#wakeFetch();
    await this.#member.close();
    await this.admin.disconnect().catch(() => {});
  }

  #state(partition: number): PartitionState {
    const state = this.#states.get(partition);
    invariant(state !== undefined, `partition ${partition} of topic '${this.topic}' is this instance's`);
    return state;
  }

  /** Each active partition gets an equal share of what is left, another one first each time: nobody starves. */
  #take(maxBytes: number): RecordBatch[] {
    const waiting = [...this.#states.values()].filter(({ paused, queue }) => !paused && !queue.isEmpty);
    const batches: RecordBatch[] = [];
    const first = waiting.length === 0 ? 0 : this.#turn++ % waiting.length;
    let [left, records] = [maxBytes, 0];
    for (let i = 0; i < waiting.length && left > 0; i++) {
      const { queue } = waiting[(first + i) % waiting.length]!;
      const taken = queue.take(left / (waiting.length - i), records === 0 ? Infinity : left);
      batches.push(...taken.batches);
      left -= taken.bytes;
      records += taken.records;
    }
    if (batches.length > 0) this.#wakeFetch();
    return batches;
  }

  #atEnd(): number[] {
    const seenAfter = this.options.connection.now() - END_HOLDS_MS;
    return [...this.#states].filter(([, { next, paused, queue, end, endSeenAt }]) =>
      !paused && next !== null && queue.isEmpty && next >= end && endSeenAt >= seenAfter
    ).map(([partition]) => partition);
  }

  /** Takes in one partition of a Fetch response: the next fetch waits for it. */
  async #fetched({ batch, heartbeat, resolveOffset, isStale }: EachBatchPayload): Promise<void> {
    const { partition } = batch;
    const state = this.#states.get(partition);
    if (state === undefined || state.next === null || isStale()) return;
    const { bytes, aborted, end, from } = fetchedBatch(batch);
    if (from !== state.next) return this.#strayed(partition, state);
    const { seeks } = state;
    if (bytes.length > 0) await this.#waitForRoom(heartbeat);
    if (state.seeks !== seeks || this.#closed) return;
    try {
      const { topic, codecs } = this;
      const decoded = decodeFetchedRecords(
        { bytes, aborted },
        { topic, partition, position: from, codecs, chunkBytes: CHUNK_BYTES },
      );
      state.queue.push(decoded.batches);
      state.next = decoded.nextOffset;
    } catch (error) {
      return this.#fail(
        kafkaError(`Reading partition ${partition} of topic '${this.topic}'`, this.options.connection, error),
      );
    }
    if (state.next > from) resolveOffset(String(state.next - 1));
    state.end = end;
    state.endSeenAt = this.options.connection.now();
    this.#wakePoll();
  }

  /** Returns when less than the bound waits to be polled; a paused partition's records don't count, nobody takes them. */
  async #waitForRoom(heartbeat: () => Promise<void>): Promise<void> {
    const { sleep } = this.options.connection;
    while (!this.#closed && this.#queuedBytes() > QUEUE_BYTES) {
      const timeout = new AbortController();
      await Promise.race([this.#room.promise, sleep(HEARTBEAT_MS, timeout.signal)]);
      timeout.abort();
      await heartbeat();
    }
  }

  #queuedBytes(): number {
    let bytes = 0;
    for (const { paused, queue } of this.#states.values()) if (!paused) bytes += queue.bytes;
    return bytes;
  }

  /** kafkajs fetched from elsewhere: it goes back, unless the position is no longer there. */
  #strayed(partition: number, state: PartitionState): void {
    this.#member.seek(partition, state.next!);
    if (state.verifying) return;
    state.verifying = true;
    this.#checks.requireInRange(partition, state.next!)
      .catch((error) =>
        this.#fail(kafkaError(`Reading topic '${this.topic}'`, this.options.connection, error))
      )
      .finally(() => state.verifying = false);
  }

  /** After each join kafkajs has forgotten where it was: it is told before its first fetch. */
  #joined(partitions: readonly number[]): void {
    const first = this.#joins++ === 0;
    for (const partition of first ? partitions : []) {
      this.#states.set(partition, {
        queue: new PartitionQueue(),
        next: null,
        seeks: 0,
        paused: false,
        verifying: false,
        end: Infinity,
        endSeenAt: -Infinity,
      });
    }
    const lost = [...this.#states.keys()].filter((partition) => !partitions.includes(partition));
    if (lost.length > 0) this.#lost(lost);
    const added = partitions.filter((partition) => !this.#states.has(partition));
    if (added.length > 0) {
      this.options.connection.notice(
        `Topic '${this.topic}' has ${added.length} new partitions (${
          added.join(", ")
        }): they are read after a restart.`,
      );
    }
    const still = partitions.filter((partition) => {
      const state = this.#states.get(partition);
      if (state === undefined || state.next === null) return true;
      this.#member.seek(partition, state.next);
      return state.paused;
    });
    if (still.length > 0) this.#member.pause(still);
  }

  /** The group gave partitions to somebody else, or the topic is gone. */
  async #lost(partitions: readonly number[]): Promise<void> {
    try {
      await this.#checks.requireTopic();
      this.#fail(await this.#checks.shared(`lost the partitions ${partitions.join(", ")}`));
    } catch (error) {
      this.#fail(kafkaError(`Reading topic '${this.topic}'`, this.options.connection, error));
    }
  }

  #fail(error: SourceError): void {
    this.#failure ??= error;
    this.#wakePoll();
  }

  #wakePoll(): void {
    this.#arrival.resolve();
    this.#arrival = Promise.withResolvers<void>();
  }

  #wakeFetch(): void {
    this.#room.resolve();
    this.#room = Promise.withResolvers<void>();
  }
}
