/**
 * A session actor: one shard of every partition. It takes records in through its mailbox, and at a barrier hands the
 * finished sessions to the coordinator as columns. All rules are `sessionizer.ts`'s; this is its shell.
 */
import { ColumnBatchBuilder } from "../schema/column_batch.ts";
import { DEAD_LETTER_KINDS, type PartitionBarrier, type SessionSemantics } from "../schema/epoch.ts";
import { assertNever, invariant } from "../schema/errors.ts";
import type { OpenSession, OpenSessionQuery } from "../schema/open_session.ts";
import type { SessionActorStats } from "../schema/pipeline_stats.ts";
import { encodeOccurrences, restoreOccurrences } from "./checkpoint.ts";
import { inspectSessions } from "./inspect.ts";
import type { SealedPartition, ShardMessage, ShardReport } from "./protocol.ts";
import {
  acceptBatch,
  emptyPartition,
  type PartitionSeal,
  type PartitionState,
  sealPartition,
} from "./sessionizer.ts";
import { revisionRows, sessionRows } from "./session_rows.ts";

/** One shard's state, and the messages that change it. */
export class SessionActor {
  readonly #partitions = new Map<number, PartitionState>();
  /** Taken in since the start: their mean size stands for that of the events held. */
  readonly #taken = { records: 0, bytes: 0 };

  /**
   * @param topic named in dead letters
   * @param report sends to the coordinator
   */
  constructor(
    private readonly shard: number,
    private readonly shards: number,
    private readonly topic: string,
    private readonly report: (report: ShardReport) => void,
  ) {}

  /** Handles one message; runs to its end before the next. */
  handle(message: ShardMessage): void {
    switch (message.type) {
      case "records":
        this.#taken.records += message.batch.count;
        this.#taken.bytes += message.batch.values.byteLength;
        return acceptBatch(this.#state(message.batch.partition), message.batch);
      case "restore":
        return this.#restore(message);
      case "replayed":
        return this.#replayed(message.barrier, message.verify);
      case "semantics":
        this.#state(message.partition).semantics = message.semantics;
        return;
      case "live":
        return this.report({
          type: "restored",
          shard: this.shard,
          partitions: message.partitions.map((assigned) => {
            const { latestEventTime, openSessions, pending } = this.#state(assigned.partition);
            return { ...assigned, latestEventTime, openSessions, pendingRevisions: pending.size };
          }),
        });
      case "drop":
        return message.partitions.forEach((partition) => this.#partitions.delete(partition));
      case "barrier":
        return this.#seal(message.epoch, message.barriers, message.snapshots);
      default:
        assertNever(message);
    }
  }

  /** What the shard holds at present. */
  get stats(): SessionActorStats {
    const { records, bytes } = this.#taken;
    let [openSessions, heldEvents] = [0, 0];
    for (const state of this.#partitions.values()) {
      openSessions += state.openSessions;
      heldEvents += state.held;
    }
    const heldBytes = records === 0 ? null : Math.round(heldEvents * bytes / records);
    return { actor: "session", shard: this.shard, openSessions, heldEvents, heldBytes };
  }

  /** The shard's open sessions that `query` means. */
  inspect(query: OpenSessionQuery): OpenSession[] {
    return inspectSessions(this.#partitions.values(), this.shard, query);
  }

  #state(partition: number): PartitionState {
    const state = this.#partitions.get(partition);
    invariant(state !== undefined, `partition ${partition} is restored before anything else is posted of it`);
    return state;
  }

  #restore(message: Extract<ShardMessage, { type: "restore" }>): void {
    const state = emptyPartition(message.partition, message.semantics);
    state.latestEventTime = message.latestEventTime;
    state.watermark = message.watermark;
    restoreOccurrences(state, message.occurrences, (keyHash) => keyHash % this.shards === this.shard);
    this.#partitions.set(message.partition, state);
  }

  #replayed(barrier: PartitionBarrier, verify: boolean): void {
    const { partition, number: barrierNumber } = barrier;
    const seal = sealPartition(this.#state(partition), barrier);
    if (!verify) return;
    const [rows, revisions] = [sessionRows([seal]).finish(), revisionRows([seal]).finish()];
    this.report({ type: "remade", shard: this.shard, partition, barrierNumber, rows, revisions });
  }

  #seal(epoch: number, barriers: readonly PartitionBarrier[], snapshots: readonly number[]): void {
    const seals = barriers.map((barrier) => sealPartition(this.#state(barrier.partition), barrier));
    this.report({
      type: "sealed",
      shard: this.shard,
      epoch,
      rows: sessionRows(seals).finish(),
      revisions: revisionRows(seals).finish(),
      deadLetters: this.#deadLetters(epoch, seals),
      closingTimes: Float64Array.from(seals.flatMap(({ closingTimes }) => closingTimes)),
      partitions: seals.map(({ barrier, counts, latestEventTime }): SealedPartition => ({
        partition: barrier.partition,
        counts,
        latestEventTime,
      })),
      snapshots: snapshots.map((partition) => ({
        partition,
        occurrences: encodeOccurrences(this.#state(partition)),
      })),
    });
  }

  #deadLetters(epoch: number, seals: readonly PartitionSeal[]) {
    const builder = new ColumnBatchBuilder(DEAD_LETTER_KINDS);
    for (const letter of seals.flatMap(({ deadLetters }) => deadLetters)) {
      const { partition, offset, timestamp, reason, detail, key, value } = letter;
      builder.push([this.topic, partition, offset, timestamp, reason, detail, key, value, epoch]);
    }
    return builder.finish();
  }
}

/** The settings of {@linkcode SessionSemantics}, from the configuration. */
export function semanticsOf(config: SessionSemantics): SessionSemantics {
  const { sessionTimeoutMs, watermarkDelayMs, allowedLatenessMs, maxSessionDurationMs } = config;
  const { maxSessionEvents, maxClockSkewMs, keyCheck } = config;
  return {
    sessionTimeoutMs,
    watermarkDelayMs,
    allowedLatenessMs,
    maxSessionDurationMs,
    maxSessionEvents,
    maxClockSkewMs,
    keyCheck,
  };
}
