/**
 * Reads partitions from wherever their leaders are: to each leader one request is on its way at a time, and the next one
 * while the last answer is decoded. It never changes a position by itself; where it can't go on, it asks its listener.
 */
import type { Cluster } from "kafkajs";
import type { SourceError } from "../schema/errors.ts";
import { isKafkaError, isPermanent, type KafkaConnection, kafkaError, onceAMinute } from "./kafka_client.ts";
import { type ClusterBroker, clusterBroker, discardBroker, partitionLeaders } from "./kafka_cluster.ts";
import { fetchFrom, protocolError } from "./kafka_fetch.ts";
import type { FetchedPartition } from "./kafka_fetch_protocol.ts";
import { fetchedUpTo } from "./kafka_record_batches.ts";

/** Where one partition is read; a seek makes a new one, and what comes for the old one is dropped. */
export interface FetchPosition {
  readonly partition: number;
  /** The offset to be fetched next. */
  offset: number;
  paused: boolean;
  /** Not asked for before this time. */
  retryAt: number;
}

/** An answer for one position. */
export interface Fetched {
  readonly position: FetchPosition;
  /** The offset that was asked for. */
  readonly from: number;
  readonly records: FetchedPartition;
  /** When it came, wall-clock milliseconds. */
  readonly at: number;
}

export interface FetchListener {
  /** Takes in what was fetched; the answer after the next one waits for it. */
  fetched(fetched: Fetched): Promise<void>;
  /** The leader does not have the position: sets it right, or rejects. Until then it is not asked for. */
  outOfRange(position: FetchPosition): Promise<void>;
  /** The brokers say that they don't have the topic: for a moment after a restart, or for good. */
  topicUnknown(): void;
  /** Reading can't go on. */
  failed(error: SourceError): void;
}

export interface FetcherOptions {
  readonly topic: string;
  readonly cluster: Cluster;
  readonly connection: KafkaConnection;
}

/** A long poll's length: what a seek or a resume may wait for while nothing else arrives. */
const FETCH_WAIT_MS = 100;
const FETCH_BYTES = 8 * 1024 * 1024;
const FETCH_PARTITION_BYTES = 1024 * 1024;
const RETRY_MS = 200;
const RETRY_MS_MAX = 2_000;
const TRIES_OF_ONE_FETCH = 6;
const CLOSE_TIMEOUT_MS = 10_000;
const OFFSET_OUT_OF_RANGE = 1;
const LEADER_NOT_AVAILABLE = 5;
/** What passes when the new leader is known, and happens whenever a broker stops. */
const LEADERSHIP = [
  "LEADER_NOT_AVAILABLE",
  "NOT_LEADER_FOR_PARTITION",
  "REPLICA_NOT_AVAILABLE",
  "FENCED_LEADER_EPOCH",
  "UNKNOWN_LEADER_EPOCH",
  "OFFSET_NOT_AVAILABLE",
  "UNKNOWN_TOPIC_OR_PARTITION",
];

/** Reads some of a topic's partitions. */
export class KafkaFetcher {
  readonly #positions = new Map<number, FetchPosition>();
  /** By the leader's node id. */
  readonly #loops = new Map<number, Promise<void>>();
  /** Failures in a row, by the leader's node id. */
  readonly #failures = new Map<number, number>();
  readonly #stop = new AbortController();
  readonly #tell: (text: string) => void;
  #wake = Promise.withResolvers<void>();
  #refreshing: Promise<void> | null = null;
  #turn = 0;

  constructor(private readonly options: FetcherOptions, private readonly listener: FetchListener) {
    this.#tell = onceAMinute(options.connection);
  }

  /** @throws {Error} kafkajs's, where no broker can be reached or the topic is not there */
  async connect(): Promise<void> {
    await this.options.cluster.connect();
    await this.options.cluster.addTargetTopic(this.options.topic);
  }

  /** Reads a partition from `offset` on; what is under way for it is dropped when it comes. */
  read(partition: number, offset: number, paused: boolean): FetchPosition {
    const position = { partition, offset, paused, retryAt: -Infinity };
    this.#positions.set(partition, position);
    this.wakeUp();
    return position;
  }

  forget(partition: number): void {
    this.#positions.delete(partition);
    this.wakeUp();
  }

  /** To be called when a position was changed. */
  wakeUp(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
    this.#startLoops();
  }

  /**
   * What the partition holds at and after `offset`: one record batch at least, where there is any. No position is moved.
   *
   * @throws {SourceError} where the brokers can't be reached or refuse
   */
  async fetchOnce(partition: number, offset: number): Promise<FetchedPartition> {
    const { topic, cluster, connection } = this.options;
    const partitions = [{ partition, offset }];
    for (let tries = 1;; tries++) {
      try {
        await cluster.refreshMetadataIfNecessary();
        const leader = partitionLeaders(cluster, topic).get(partition);
        if (leader === undefined) throw protocolError(LEADER_NOT_AVAILABLE);
        const request = { topic, partitions, maxWaitMs: FETCH_WAIT_MS, maxBytes: 1, partitionBytes: 1 };
        const [fetched] = await fetchFrom(await clusterBroker(cluster, leader), request);
        if (fetched === undefined || fetched.errorCode !== 0) throw protocolError(fetched?.errorCode ?? -1);
        return fetched;
      } catch (error) {
        if (tries >= TRIES_OF_ONE_FETCH || isPermanent(error)) {
          throw kafkaError(
            `Reading one record of partition ${partition} of topic '${topic}'`,
            connection,
            error,
          );
        }
        await connection.sleep(RETRY_MS * 2 ** tries);
        await this.#refresh();
      }
    }
  }

  /** Gives up what is under way; waits for connections to close, ten seconds at most. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#positions.clear();
    this.#wake.resolve();
    const timeout = new AbortController();
    const closed = Promise.all([...this.#loops.values(), this.#refreshing])
      .then(() => this.options.cluster.disconnect()).catch(() => {});
    await Promise.race([closed, this.options.connection.sleep(CLOSE_TIMEOUT_MS, timeout.signal)]);
    timeout.abort();
  }

  get #closed(): boolean {
    return this.#stop.signal.aborted;
  }

  #leaders(): ReadonlyMap<number, number> {
    return partitionLeaders(this.options.cluster, this.options.topic);
  }

  /** Each leader of a position has its loop; where a leader is not known the metadata is asked for. */
  #startLoops(): void {
    if (this.#closed) return;
    const leaders = this.#leaders();
    let complete = true;
    for (const partition of this.#positions.keys()) {
      const leader = leaders.get(partition);
      if (leader === undefined) complete = false;
      else if (!this.#loops.has(leader)) this.#loops.set(leader, this.#run(leader));
    }
    if (!complete) this.#refresh();
  }

  /** Asks one leader again and again, for as long as it leads any of the positions. */
  async #run(leader: number): Promise<void> {
    let previous: readonly Fetched[] = [];
    for (;;) {
      const wake = this.#wake.promise;
      const led = this.#ledBy(leader);
      const now = this.options.connection.now();
      const wanted = led.filter(({ paused, retryAt }) => !paused && retryAt <= now);
      if (this.#closed || led.length === 0 && previous.length === 0) break;
      const answer = wanted.length === 0 ? null : this.#ask(leader, wanted);
      if (previous.length > 0) {
        // kafkajs writes a request some promise jobs after it was given it: it is on its way before decoding begins.
        await this.options.connection.sleep(0);
        for (const fetched of previous) {
          if (this.#isCurrent(fetched.position)) await this.listener.fetched(fetched);
        }
      }
      previous = answer === null ? [] : await answer;
      if (answer === null) await this.#waitForWork(wake, led);
    }
    this.#loops.delete(leader);
  }

  #ledBy(leader: number): FetchPosition[] {
    const leaders = this.#leaders();
    return [...this.#positions.values()].filter(({ partition }) => leaders.get(partition) === leader);
  }

  #isCurrent(position: FetchPosition): boolean {
    return this.#positions.get(position.partition) === position;
  }

  /** Returns when a position was changed, or is to be tried again. */
  async #waitForWork(wake: Promise<void>, led: readonly FetchPosition[]): Promise<void> {
    const { now, sleep } = this.options.connection;
    const retryAt = Math.min(...led.filter(({ paused }) => !paused).map(({ retryAt }) => retryAt));
    const timeout = new AbortController();
    const retry = retryAt === Infinity ? [] : [sleep(Math.max(0, retryAt - now()), timeout.signal)];
    await Promise.race([wake, ...retry]);
    timeout.abort();
  }

  /** One request and its answer; what goes wrong is dealt with here, and answers nothing. */
  async #ask(leader: number, wanted: readonly FetchPosition[]): Promise<readonly Fetched[]> {
    const { topic, cluster } = this.options;
    let broker: ClusterBroker | null = null;
    try {
      broker = await clusterBroker(cluster, leader);
      // The answer's bytes are filled in this order, so another one comes first each time: nobody starves.
      const first = this.#turn++ % wanted.length;
      const fetched = await fetchFrom(broker, {
        topic,
        partitions: [...wanted.slice(first), ...wanted.slice(0, first)],
        maxWaitMs: FETCH_WAIT_MS,
        maxBytes: FETCH_BYTES,
        partitionBytes: FETCH_PARTITION_BYTES,
      });
      this.#failures.delete(leader);
      return this.#moveOn(wanted, fetched);
    } catch (error) {
      await this.#recover(leader, broker, error);
      return [];
    }
  }

  /** Moves the positions over what came, so that the next request can be sent before it is decoded. */
  #moveOn(wanted: readonly FetchPosition[], fetched: readonly FetchedPartition[]): Fetched[] {
    const at = this.options.connection.now();
    const positions = new Map(wanted.map((position) => [position.partition, position]));
    const moved: Fetched[] = [];
    for (const records of fetched) {
      const position = positions.get(records.partition);
      if (position === undefined || !this.#isCurrent(position)) continue;
      if (records.errorCode !== 0) {
        this.#refused(position, records.errorCode);
        continue;
      }
      const from = position.offset;
      position.offset = fetchedUpTo(records.bytes, from);
      moved.push({ position, from, records, at });
    }
    return moved;
  }

  /** A leader's answer for one partition is an error. */
  #refused(position: FetchPosition, code: number): void {
    const { topic, connection } = this.options;
    const action = `Reading partition ${position.partition} of topic '${topic}'`;
    position.retryAt = connection.now() + RETRY_MS;
    if (code === OFFSET_OUT_OF_RANGE) {
      position.retryAt = Infinity;
      this.listener.outOfRange(position).then(() => {
        position.retryAt = connection.now() + RETRY_MS;
        this.wakeUp();
      }, (error) => this.listener.failed(kafkaError(action, connection, error)));
      return;
    }
    const error = protocolError(code);
    if (isPermanent(error)) return this.listener.failed(kafkaError(action, connection, error));
    if (isKafkaError(error, "UNKNOWN_TOPIC_OR_PARTITION")) this.listener.topicUnknown();
    if (!isKafkaError(error, ...LEADERSHIP)) this.#tell(kafkaError(action, connection, error).message);
    this.#refresh();
  }

  /** A leader could not be asked: its connections are given up, and another leader may be known by then. */
  async #recover(leader: number, broker: ClusterBroker | null, error: unknown): Promise<void> {
    const { topic, cluster, connection } = this.options;
    if (this.#closed) return;
    if (isPermanent(error)) {
      return this.listener.failed(kafkaError(`Reading topic '${topic}'`, connection, error));
    }
    const failures = this.#failures.get(leader) ?? 0;
    this.#failures.set(leader, failures + 1);
    if (broker !== null) discardBroker(cluster, broker);
    await this.#sleep(Math.min(RETRY_MS_MAX, RETRY_MS * 2 ** failures));
    await this.#refresh();
  }

  /** Asks for the leaders, once at a time; what can't be had now is asked for again. */
  #refresh(): Promise<void> {
    return this.#refreshing ??= this.#askForLeaders().finally(() => {
      this.#refreshing = null;
      this.wakeUp();
    });
  }

  async #askForLeaders(): Promise<void> {
    const { topic, cluster, connection } = this.options;
    try {
      if (!this.#closed) await cluster.refreshMetadata();
    } catch (error) {
      if (this.#closed) return;
      if (isKafkaError(error, "UNKNOWN_TOPIC_OR_PARTITION")) this.listener.topicUnknown();
      else if (isPermanent(error)) {
        this.listener.failed(kafkaError(`Reading topic '${topic}'`, connection, error));
      }
    }
    // Also after an answer: a partition may have no leader for a while.
    await this.#sleep(RETRY_MS);
  }

  #sleep(ms: number): Promise<void> {
    return this.options.connection.sleep(ms, this.#stop.signal);
  }
}
