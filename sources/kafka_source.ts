/**
 * Reading a topic of Kafka as a member of a consumer group. The group only says whose a partition is; positions are the
 * caller's, and the offsets that the group has committed are never read.
 */
import type { Admin, Kafka } from "kafkajs";
import type { SourceError } from "../schema/errors.ts";
import { Assignment } from "./kafka_assignment.ts";
import { KafkaChecks } from "./kafka_checks.ts";
import { type KafkaConnection, kafkaError, openKafka } from "./kafka_client.ts";
import { clusterOf } from "./kafka_cluster.ts";
import { type Codecs, loadCodecs } from "./kafka_codecs.ts";
import { type Fetched, type FetchPosition, KafkaFetcher } from "./kafka_fetcher.ts";
import { GroupMember } from "./kafka_group.ts";
import { decodeOldMessages, holdsOldMessages } from "./kafka_old_messages.ts";
import { type DecodedRecords, decodeFetchedRecords, type FetchedRecords } from "./kafka_record_batches.ts";
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
  /** The file for the member id, so that a restart after a kill need not wait for the group. */
  readonly memberPath?: string;
}

/** Bytes that were fetched and not polled yet; then decoding waits, and with it fetching. */
const QUEUE_BYTES = 16 * 1024 * 1024;
/** Small record batches are joined up to this size, so that a poll gets few. */
const CHUNK_BYTES = 256 * 1024;
/** What a fetch said of a partition's end holds so long: the next long poll comes sooner, unless there is an outage. */
const END_HOLDS_MS = 1_000;
const NOTHING: Poll = { batches: [], atEnd: [], revoked: [], assigned: [] };

/** A partition that is this instance's; when it is lost, so is this. */
interface PartitionState {
  readonly queue: PartitionQueue;
  /** Null before the first seek. */
  position: FetchPosition | null;
  paused: boolean;
  /** The offset after all that was queued. */
  queuedTo: number;
  end: number;
  endSeenAt: number;
}

/**
 * Joins the group and resolves when it has said which partitions are this instance's, perhaps none. The topic is made
 * where it is missing.
 *
 * @throws {SourceError} where the brokers can't be reached or refuse
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
  readonly #fetcher: KafkaFetcher;
  readonly #assignment = new Assignment();
  readonly #states = new Map<number, PartitionState>();
  #turn = 0;
  /** The answer that is being waited for. */
  #ranges: Promise<readonly PartitionRange[]> | null = null;
  #failure: SourceError | null = null;
  #closed = false;
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
    const { topic, connection, groupId } = options;
    this.topic = topic;
    this.#checks = new KafkaChecks(admin, options);
    const topicUnknown = () => {
      this.#checks.requireTopic().catch((error) => this.#fail(error));
    };
    const failed = (error: SourceError) => this.#fail(error);
    this.#member = new GroupMember(kafka, options, {
      joined: (partitions, kept) => this.#lost(this.#assignment.joined(partitions, kept)),
      lost: () => this.#lost(this.#assignment.lost()),
      topicUnknown,
      failed,
    });
    this.#fetcher = new KafkaFetcher({ topic, connection, cluster: clusterOf(kafka, groupId) }, {
      fetched: (fetched) => this.#fetched(fetched),
      outOfRange: (position) => {
        const { partition, offset } = position;
        return this.#checks.requireInRange(partition, offset, () => this.#isCurrent(position));
      },
      topicUnknown,
      failed,
    });
  }

  /** Joins the group; the first poll says which partitions it gave. */
  async join(): Promise<void> {
    try {
      await this.#fetcher.connect();
      await this.#member.start();
    } catch (error) {
      await this.#fetcher.close();
      throw error;
    }
    for (const partition of this.#assignment.owned) this.#states.set(partition, newState());
  }

  get isSettled(): boolean {
    return this.#member.isSettled && !this.#assignment.isChanged;
  }

  /** In an outage it waits for the brokers, two minutes at most; who asks meanwhile gets the same answer. */
  ranges(): Promise<readonly PartitionRange[]> {
    return this.#ranges ??= this.#checks.ranges(() => !this.#closed).finally(() => this.#ranges = null);
  }

  async seek(partition: number, offset: number): Promise<void> {
    const state = this.#states.get(partition);
    if (state === undefined) return;
    const isHeld = () => !this.#closed && this.#states.get(partition) === state;
    let isDone = false;
    const isWanted = () => !isDone && isHeld();
    try {
      await Promise.race([
        this.#checks.requireInRange(partition, offset, isWanted),
        this.#whileWanted(isWanted),
      ]);
    } finally {
      isDone = true;
      this.#wakePoll();
    }
    if (!isHeld()) return;
    state.queuedTo = offset;
    state.endSeenAt = -Infinity;
    state.queue.clear();
    state.position = this.#fetcher.read(partition, offset, state.paused);
    this.#wakeFetch();
  }

  async poll(maxBytes: number, waitMs: number): Promise<Poll> {
    const { now } = this.options.connection;
    const deadline = now() + waitMs;
    for (;;) {
      if (this.#failure !== null) throw this.#failure;
      if (this.#closed) return NOTHING;
      this.#member.checkLease();
      if (this.#assignment.isChanged) return this.#change();
      const batches = this.#take(maxBytes);
      const left = deadline - now();
      if (batches.length > 0 || left <= 0) return { ...NOTHING, batches, atEnd: this.#atEnd() };
      await this.#untilArrival(Math.min(left, this.#member.leaseEndsAt - now()));
    }
  }

  pause(partition: number): void {
    this.#setPaused(partition, true);
    this.#wakeFetch();
  }

  resume(partition: number): void {
    this.#setPaused(partition, false);
    this.#wakePoll();
  }

  async recordAt(partition: number, offset: number): Promise<RecordBatch | null> {
    const range = (await this.ranges()).find((range) => range.partition === partition);
    if (range === undefined || offset < range.start || offset >= range.end) return null;
    const fetched = await this.#fetcher.fetchOnce(partition, offset);
    const { batches } = await this.#decode(fetched, partition, offset, 1);
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
    await Promise.all([this.#member.close(), this.#fetcher.close()]);
    await this.admin.disconnect().catch(() => {});
  }

  /** Resolves when a partition is no longer held: in an outage the caller must not wait for what it has lost. */
  async #whileWanted(isWanted: () => boolean): Promise<void> {
    while (isWanted()) {
      await this.#untilArrival(this.#member.leaseEndsAt - this.options.connection.now());
      this.#member.checkLease();
    }
  }

  /** Returns when a poll should look again, or after `ms`. */
  async #untilArrival(ms: number): Promise<void> {
    const timeout = new AbortController();
    await Promise.race([this.#arrival.promise, this.options.connection.sleep(ms, timeout.signal)]);
    timeout.abort();
  }

  /** Tells what the group has changed, and nothing else. */
  #change(): Poll {
    const { revoked, assigned } = this.#assignment.look();
    for (const partition of assigned) {
      if (!this.#states.has(partition)) this.#states.set(partition, newState());
    }
    return { ...NOTHING, revoked, assigned };
  }

  /** Forgets what was fetched of partitions that somebody else may have by now. */
  #lost(partitions: readonly number[]): void {
    for (const partition of partitions) {
      this.#states.delete(partition);
      this.#fetcher.forget(partition);
    }
    this.#wakeFetch();
    this.#wakePoll();
  }

  #setPaused(partition: number, paused: boolean): void {
    const state = this.#states.get(partition);
    if (state === undefined) return;
    state.paused = paused;
    if (state.position === null) return;
    state.position.paused = paused;
    this.#fetcher.wakeUp();
  }

  /** Each active partition gets an equal share of what is left, another one first each time: nobody starves. */
  #take(maxBytes: number): RecordBatch[] {
    const waiting = [...this.#states.values()].filter(({ paused, queue }) => !paused && !queue.isEmpty);
    const batches: RecordBatch[] = [];
    const first = waiting.length === 0 ? 0 : this.#turn++ % waiting.length;
    let [left, records] = [maxBytes, 0];
    for (let i = 0; i < waiting.length && left > 0; i++) {
      const { queue } = waiting[(first + i) % waiting.length]!;
      const taken = queue.take(left / (waiting.length - i), left, records === 0 ? Infinity : left);
      batches.push(...taken.batches);
      left -= taken.bytes;
      records += taken.records;
    }
    if (batches.length > 0) this.#wakeFetch();
    return batches;
  }

  #atEnd(): number[] {
    const seenAfter = this.options.connection.now() - END_HOLDS_MS;
    return [...this.#states].filter(([, { position, paused, queue, queuedTo, end, endSeenAt }]) =>
      !paused && position !== null && queue.isEmpty && queuedTo >= end && endSeenAt >= seenAfter
    ).map(([partition]) => partition);
  }

  /** Takes in what was fetched, when there is room for it. */
  async #fetched({ position, from, records, at }: Fetched): Promise<void> {
    const { partition } = position;
    if (records.bytes.length > 0) await this.#waitForRoom();
    if (!this.#isCurrent(position)) return;
    try {
      const decoded = this.#decode(records, partition, from, CHUNK_BYTES);
      const { batches, nextOffset } = decoded instanceof Promise ? await decoded : decoded;
      const state = this.#states.get(partition);
      if (state === undefined || !this.#isCurrent(position)) return;
      state.queue.push(batches);
      state.queuedTo = nextOffset;
      state.end = records.end;
      state.endSeenAt = at;
    } catch (error) {
      const action = `Reading partition ${partition} of topic '${this.topic}'`;
      return this.#fail(kafkaError(action, this.options.connection, error));
    }
    this.#wakePoll();
  }

  #isCurrent(position: FetchPosition): boolean {
    return !this.#closed && this.#states.get(position.partition)?.position === position;
  }

  #decode(
    fetched: FetchedRecords,
    partition: number,
    position: number,
    chunkBytes: number,
  ): DecodedRecords | Promise<DecodedRecords> {
    const options = { topic: this.topic, partition, position, codecs: this.codecs, chunkBytes };
    return holdsOldMessages(fetched)
      ? decodeOldMessages(fetched, options)
      : decodeFetchedRecords(fetched, options);
  }

  /** Returns when less than the bound waits to be polled; a paused partition's records don't count, nobody takes them. */
  async #waitForRoom(): Promise<void> {
    while (!this.#closed && this.#queuedBytes() > QUEUE_BYTES) await this.#room.promise;
  }

  #queuedBytes(): number {
    let bytes = 0;
    for (const { paused, queue } of this.#states.values()) if (!paused) bytes += queue.bytes;
    return bytes;
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

function newState(): PartitionState {
  return {
    queue: new PartitionQueue(),
    position: null,
    paused: false,
    queuedTo: 0,
    end: Infinity,
    endSeenAt: -Infinity,
  };
}
