/**
 * A session actor: one shard of every partition. It takes records in through its mailbox, and at a barrier hands the
 * finished sessions to the coordinator as columns. What it knows of sessions is behind `sessions.ts`; this is the shell.
 */
import { ColumnBatchBuilder } from "../schema/column_batch.ts";
import type { Config } from "../schema/config.ts";
import { DEAD_LETTER_KINDS, type PartitionBarrier } from "../schema/epoch.ts";
import { assertNever } from "../schema/errors.ts";
import type { OpenSession, OpenSessionQuery } from "../schema/open_session.ts";
import type { SessionActorStats } from "../schema/pipeline_stats.ts";
import { FastSessions } from "./fast_sessions.ts";
import { PlainSessions } from "./plain_sessions.ts";
import type { ShardMessage, ShardReport } from "./protocol.ts";
import type { DeadLetter } from "./sessionizer.ts";
import type { ShardPlace, ShardSessions } from "./sessions.ts";

/** The sessions of a shard as the setting says. */
export function openSessions(kind: Config["sessionizer"], place: ShardPlace): ShardSessions {
  switch (kind) {
    case "fast":
      return new FastSessions(place);
    case "plain":
      return new PlainSessions(place);
    default:
      return assertNever(kind);
  }
}

/** One shard's state, and the messages that change it. */
export class SessionActor {
  /** Taken in since the start: their mean size stands for that of the events held. */
  readonly #taken = { records: 0, bytes: 0 };

  /**
   * @param topic named in dead letters
   * @param report sends to the coordinator
   */
  constructor(
    private readonly shard: number,
    private readonly sessions: ShardSessions,
    private readonly topic: string,
    private readonly report: (report: ShardReport) => void,
  ) {}

  /** Handles one message; runs to its end before the next. */
  handle(message: ShardMessage): void {
    switch (message.type) {
      case "records":
        this.#taken.records += message.batch.count;
        this.#taken.bytes += message.batch.values.byteLength;
        return this.sessions.accept(message.batch);
      case "restore":
        return this.sessions.restore(message);
      case "replayed":
        return this.#replayed(message.barrier, message.verify);
      case "semantics":
        return this.sessions.setSemantics(message.partition, message.semantics);
      case "live":
        return this.report({
          type: "restored",
          shard: this.shard,
          partitions: message.partitions.map((assigned) => ({
            ...assigned,
            ...this.sessions.summary(assigned.partition),
          })),
        });
      case "drop":
        return this.sessions.drop(message.partitions);
      case "barrier":
        return this.#seal(message.epoch, message.barriers, message.snapshots);
      default:
        assertNever(message);
    }
  }

  /** What the shard holds at present. */
  get stats(): SessionActorStats {
    const { records, bytes } = this.#taken;
    const { openSessions, heldEvents } = this.sessions;
    const heldBytes = records === 0 ? null : Math.round(heldEvents * bytes / records);
    return { actor: "session", shard: this.shard, openSessions, heldEvents, heldBytes };
  }

  /** The shard's open sessions that `query` means. */
  inspect(query: OpenSessionQuery): OpenSession[] {
    return this.sessions.inspect(query);
  }

  #replayed(barrier: PartitionBarrier, verify: boolean): void {
    if (!verify) return this.sessions.replay(barrier);
    const { partition, number: barrierNumber } = barrier;
    const { rows, revisions } = this.sessions.seal([barrier]);
    this.report({ type: "remade", shard: this.shard, partition, barrierNumber, rows, revisions });
  }

  #seal(epoch: number, barriers: readonly PartitionBarrier[], snapshots: readonly number[]): void {
    const { deadLetters, ...seal } = this.sessions.seal(barriers);
    this.report({
      type: "sealed",
      shard: this.shard,
      epoch,
      ...seal,
      deadLetters: this.#deadLetters(epoch, deadLetters),
      snapshots: snapshots.map((partition) => ({
        partition,
        occurrences: this.sessions.snapshot(partition),
      })),
    });
  }

  #deadLetters(epoch: number, letters: readonly DeadLetter[]) {
    const builder = new ColumnBatchBuilder(DEAD_LETTER_KINDS);
    for (const { partition, offset, timestamp, reason, detail, key, value } of letters) {
      builder.push([this.topic, partition, offset, timestamp, reason, detail, key, value, epoch]);
    }
    return builder.finish();
  }
}
