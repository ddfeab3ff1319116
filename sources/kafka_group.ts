/**
 * Membership in a consumer group, through kafkajs's consumer, which is paused for good and only joins, tells that this
 * member lives, goes on through outages, and leaves. What is read, and from where, is the source's business.
 */
import kafkajs, { type Cluster, type Consumer, type Kafka } from "kafkajs";
import { invariant, messageOf, SourceError } from "../schema/errors.ts";
import {
  isKafkaError,
  isPermanent,
  type KafkaConnection,
  kafkaError,
  LEFT_FOR_GOOD,
} from "./kafka_client.ts";
import { clusterOf } from "./kafka_cluster.ts";
import { type JoinedGroup, leaveGroup, watchCoordinator } from "./kafka_coordinator.ts";
import { readMembership, removeMembership, writeMembership } from "./kafka_member_file.ts";
import { stickyAssigner } from "./kafka_sticky_assigner.ts";

/** What a member is told. */
export interface GroupListener {
  /**
   * The group gives these partitions, all that it gives.
   *
   * @param kept whether nobody else can have had those that this member had before
   */
  joined(partitions: readonly number[], kept: boolean): void;
  /** All partitions may be somebody else's by now. */
  lost(): void;
  /** The brokers say that they don't have the topic: for a moment after a restart, or for good. */
  topicUnknown(): void;
  /** The membership is over and can't be had again. */
  failed(error: SourceError): void;
}

export interface GroupOptions {
  readonly topic: string;
  readonly groupId: string;
  readonly connection: KafkaConnection;
  /** Where the member id is kept for the case of a kill. */
  readonly memberPath?: string;
}

/** What the group gave with one join. */
interface Held extends JoinedGroup {
  readonly partitions: readonly number[];
  lost: boolean;
}

/** How long the group waits for a sign of life before it gives a member's partitions to the others. */
const SESSION_TIMEOUT_MS = 10_000;
const HEARTBEAT_MS = 1_000;
const REBALANCE_TIMEOUT_MS = 30_000;
/** How long the paused consumer sleeps between two looks at whether a heartbeat is due. */
const TURN_MS = 250;
/** How old the list of the topic's partitions may be: how soon one that was added is shared out. */
const METADATA_AGE_MS = 10_000;
const JOIN_TIMEOUT_MS = 60_000;
const RESTART_MS = 1_000;
const CLOSE_TIMEOUT_MS = 10_000;
/** How long saying goodbye over a connection of its own may take. */
const GOODBYE_TIMEOUT_MS = 2_000;
/** The group is being shared out anew, or has given this member up: its offsets are committed by whoever comes next. */
const OUT_OF_TURN = ["REBALANCE_IN_PROGRESS", "ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID"];

/** One member of a consumer group, for one topic. */
export class GroupMember {
  readonly #consumer: Consumer;
  readonly #cluster: Cluster;
  #closed = false;
  #group: JoinedGroup | null = null;
  #held: Held | null = null;
  /** When the newest sign of life was sent that the coordinator has answered to. */
  #heardAt = -Infinity;
  /** Since when a join has been asked for: the coordinator answers when all members have asked. */
  #joiningSince: number | null = null;
  /** The id under which the group has this member, or is about to; null before and after. */
  #memberId: string | null = null;
  /** Offsets still to be committed; newer ones replace older ones while a commit is under way. */
  readonly #uncommitted = new Map<number, number>();
  #committing: Promise<void> = Promise.resolve();

  constructor(
    private readonly kafka: Kafka,
    private readonly options: GroupOptions,
    private readonly listener: GroupListener,
  ) {
    const { topic, groupId, connection } = options;
    let cluster: Cluster | null = null;
    this.#consumer = kafka.consumer({
      groupId,
      sessionTimeout: SESSION_TIMEOUT_MS,
      heartbeatInterval: HEARTBEAT_MS,
      rebalanceTimeout: REBALANCE_TIMEOUT_MS,
      maxWaitTimeInMs: TURN_MS,
      metadataMaxAge: METADATA_AGE_MS,
      allowAutoTopicCreation: false,
      partitionAssigners: [(config) => {
        cluster = config.cluster;
        return stickyAssigner(topic, cluster, () => ({
          generation: this.#held?.generationId ?? -1,
          partitions: this.#held?.partitions ?? [],
        }));
      }],
    });
    invariant(cluster !== null, "kafkajs makes the assigners with the consumer");
    this.#cluster = cluster;
    watchCoordinator(cluster, {
      known: () => this.#memberId,
      joining: () => this.#joining(),
      named: (memberId) => this.#remember(memberId),
      joined: (group) => this.#group = group,
      heard: (sentAt) => this.#heard(sentAt),
      left: () => this.#left(),
      forgotten: () => this.#memberId = null,
    }, connection.now);
  }

  /** Until when the partitions are this member's, wall-clock milliseconds, if the coordinator hears nothing more. */
  get leaseEndsAt(): number {
    if (this.#held === null || this.#held.lost) return Infinity;
    return Math.max(this.#heardAt, this.#joiningSince ?? -Infinity) + SESSION_TIMEOUT_MS;
  }

  /** Whether the group has said whose the partitions are, and has not been asked anew. */
  get isSettled(): boolean {
    return this.#held !== null && !this.#held.lost && this.#joiningSince === null;
  }

  /** Gives all partitions up where the group may have taken this member for dead. */
  checkLease(): void {
    if (this.options.connection.now() >= this.leaseEndsAt) this.#lose();
  }

  /**
   * Joins the group; what it gives is told to the listener before this resolves.
   *
   * @throws {SourceError} where the brokers can't be reached, refuse, or let nobody join for a minute
   */
  async start(): Promise<void> {
    const { topic, groupId, connection } = this.options;
    const joined = Promise.withResolvers<void>();
    const { GROUP_JOIN, CRASH } = this.#consumer.events;
    this.#consumer.on(GROUP_JOIN, ({ payload }) => {
      // Without partitions of its own: those that are given later are paused too.
      this.#consumer.pause([{ topic }]);
      this.#joined(payload.memberAssignment[topic] ?? []);
      joined.resolve();
    });
    this.#consumer.on(
      CRASH,
      ({ payload: { error, restart } }) => this.#crashed(error, restart, joined.reject),
    );
    const timeout = new AbortController();
    try {
      await this.#subscribe();
      await this.#leaveForPredecessor();
      await this.#consume();
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

  /**
   * Whoever had this data directory is dead, or it would still be locked; the group need not wait to find out. The join
   * follows at once: a member whose heartbeat came in between would be given everything, and lose half of it again.
   */
  async #leaveForPredecessor(): Promise<void> {
    const { memberPath } = this.options;
    const predecessor = memberPath === undefined ? null : readMembership(memberPath);
    if (predecessor === null) return;
    try {
      await leaveGroup(this.#cluster, predecessor);
    } catch {
      // The group has forgotten it, or does so when its session ends: then its partitions come later.
    }
  }

  async #subscribe(): Promise<void> {
    await this.#consumer.connect();
    await this.#consumer.subscribe({ topic: this.options.topic, fromBeginning: true });
  }

  async #consume(): Promise<void> {
    await this.#consumer.run({
      autoCommit: false,
      eachBatch: () => Promise.reject(new Error("The consumer is paused, and fetched all the same.")),
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
        await this.#subscribe();
        return await this.#consume();
      } catch (error) {
        if (!isPermanent(error)) continue;
        return this.listener.failed(kafkaError(`Reading as group '${groupId}'`, connection, error));
      }
    }
  }

  /** kafkajs asks again for a join that a goodbye has ended: the group would keep a member that nobody is. */
  #refuseIfClosed(): void {
    if (this.#closed) throw new kafkajs.KafkaJSNonRetriableError(LEFT_FOR_GOOD);
  }

  #joining(): void {
    this.#refuseIfClosed();
    this.#joiningSince ??= this.options.connection.now();
  }

  #joined(partitions: readonly number[]): void {
    invariant(this.#group !== null, "a join is overheard before kafkajs tells of it");
    const [before, group] = [this.#held, this.#group];
    // A generation that this member was not in may have given its partitions to another one.
    const kept = before !== null && !before.lost && before.memberId === group.memberId &&
      group.generationId - before.generationId <= 1;
    this.#held = { ...group, partitions, lost: false };
    this.listener.joined(partitions, kept);
  }

  #heard(sentAt: number): void {
    this.#heardAt = Math.max(this.#heardAt, sentAt);
    this.#joiningSince = null;
    const [held, group] = [this.#held, this.#group];
    if (held === null || !held.lost || group === null || !sameGroup(held, group)) return;
    if (this.options.connection.now() >= sentAt + SESSION_TIMEOUT_MS) return;
    // The coordinator was away, not this member: the generation is the same, so what it gave still holds.
    held.lost = false;
    this.listener.joined(held.partitions, false);
  }

  #lose(): void {
    if (this.#held === null || this.#held.lost) return;
    this.#held.lost = true;
    this.listener.lost();
  }

  #left(): void {
    this.#lose();
    if (this.#held !== null) this.#held = { ...this.#held, memberId: "" };
    this.#memberId = null;
    const { memberPath } = this.options;
    if (memberPath !== undefined) removeMembership(memberPath);
  }

  #remember(memberId: string): void {
    this.#refuseIfClosed(); // The id may come with the answer to a first join that was under way.
    const { memberPath, groupId, connection } = this.options;
    this.#memberId = memberId;
    if (memberPath === undefined) return;
    try {
      writeMembership(memberPath, { groupId, memberId });
    } catch (error) {
      connection.notice(
        `Writing ${memberPath} failed, so after a kill the next start waits ${
          SESSION_TIMEOUT_MS / 1000
        } s for the ` +
          `group: ${messageOf(error)}`,
      );
    }
  }

  /**
   * Commits offsets in the background: reading must not wait for what only lag tools look at, and what fails is said
   * and forgotten. Partitions that are not this member's are left out: the brokers would take their offsets too.
   */
  commit(positions: ReadonlyMap<number, number>): void {
    const idle = this.#uncommitted.size === 0;
    for (const [partition, offset] of positions) this.#uncommitted.set(partition, offset);
    if (idle && this.#uncommitted.size > 0) this.#committing = this.#committing.then(() => this.#commitAll());
  }

  async #commitAll(): Promise<void> {
    const { topic, groupId, connection } = this.options;
    while (this.#uncommitted.size > 0) {
      this.checkLease();
      const own = this.#held === null || this.#held.lost ? [] : this.#held.partitions;
      const taken = [...this.#uncommitted];
      const offsets = taken.filter(([partition]) => own.includes(partition))
        .map(([partition, offset]) => ({ topic, partition, offset: String(offset) }));
      try {
        if (offsets.length > 0) await this.#consumer.commitOffsets(offsets);
      } catch (error) {
        if (!isKafkaError(error, ...OUT_OF_TURN)) {
          connection.notice(
            `Committing the offsets of group '${groupId}' failed, which only tools that watch the lag will see: ` +
              `${messageOf(error)}`,
          );
        }
      }
      for (const [partition, offset] of taken) {
        if (this.#uncommitted.get(partition) === offset) this.#uncommitted.delete(partition);
      }
    }
  }

  /**
   * Commits what is left to commit and leaves the group; gives up after ten seconds of an outage. A join that waits for
   * other members is not waited for: this member would end before the group answers, and be given partitions.
   */
  async close(): Promise<void> {
    this.#closed = true;
    const { connection: { sleep } } = this.options;
    const timeout = new AbortController();
    const leave = this.#committing.then(() => this.#consumer.disconnect()).catch(() => {});
    if (this.#joiningSince !== null) await this.#sayGoodbye();
    await Promise.race([leave, sleep(CLOSE_TIMEOUT_MS, timeout.signal)]);
    timeout.abort();
    await this.#sayGoodbye();
  }

  /**
   * Takes this member out of its group where kafkajs has not: over a connection of its own, because the brokers answer
   * one request of a connection after the other.
   */
  async #sayGoodbye(): Promise<void> {
    const { groupId, connection: { sleep } } = this.options;
    const memberId = this.#memberId;
    if (memberId === null) return;
    const timeout = new AbortController();
    const cluster = clusterOf(this.kafka, groupId);
    const leave = (async () => {
      try {
        await cluster.connect();
        // Without it kafkajs does not know the coordinator's address, and finds that out by a retry.
        await cluster.refreshMetadata();
        await leaveGroup(cluster, { groupId, memberId });
        this.#left();
      } finally {
        await cluster.disconnect();
      }
    })().catch(() => {}); // In an outage the group finds out by its session timeout.
    await Promise.race([leave, sleep(GOODBYE_TIMEOUT_MS, timeout.signal)]);
    timeout.abort();
  }
}

function sameGroup(a: JoinedGroup, b: JoinedGroup): boolean {
  return a.memberId === b.memberId && a.generationId === b.generationId;
}
