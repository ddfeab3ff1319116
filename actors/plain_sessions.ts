/** A shard's sessions by the plain sessionizer: the reference that the fast one is tested against. */
import type { PartitionBarrier, SessionSemantics } from "../schema/epoch.ts";
import { invariant } from "../schema/errors.ts";
import type { OpenSession, OpenSessionQuery } from "../schema/open_session.ts";
import type { RecordBatch } from "../sources/source.ts";
import { encodeOccurrences, restoreOccurrences } from "./checkpoint.ts";
import { inspectSessions } from "./inspect.ts";
import { revisionRows, sessionRows } from "./session_rows.ts";
import { acceptBatch, emptyPartition, type PartitionState, sealPartition } from "./sessionizer.ts";
import type { PartitionRestore, PartitionSummary, ShardPlace, ShardSeal, ShardSessions } from "./sessions.ts";

/** One shard's sessions as objects. */
export class PlainSessions implements ShardSessions {
  readonly #partitions = new Map<number, PartitionState>();

  constructor(private readonly place: ShardPlace) {}

  get openSessions(): number {
    return [...this.#partitions.values()].reduce((sum, { openSessions }) => sum + openSessions, 0);
  }

  get heldEvents(): number {
    return [...this.#partitions.values()].reduce((sum, { held }) => sum + held, 0);
  }

  restore({ partition, semantics, latestEventTime, watermark, occurrences }: PartitionRestore): void {
    const { shard, shards } = this.place;
    const state = emptyPartition(partition, semantics);
    state.latestEventTime = latestEventTime;
    state.watermark = watermark;
    restoreOccurrences(state, occurrences, (keyHash) => keyHash % shards === shard);
    this.#partitions.set(partition, state);
  }

  drop(partitions: readonly number[]): void {
    for (const partition of partitions) this.#partitions.delete(partition);
  }

  setSemantics(partition: number, semantics: SessionSemantics): void {
    this.#state(partition).semantics = semantics;
  }

  accept(batch: RecordBatch): void {
    acceptBatch(this.#state(batch.partition), batch);
  }

  seal(barriers: readonly PartitionBarrier[]): ShardSeal {
    const seals = barriers.map((barrier) => sealPartition(this.#state(barrier.partition), barrier));
    return {
      rows: sessionRows(seals).finish(),
      revisions: revisionRows(seals).finish(),
      deadLetters: seals.flatMap(({ deadLetters }) => deadLetters),
      closingTimes: Float64Array.from(seals.flatMap(({ closingTimes }) => closingTimes)),
      partitions: seals.map(({ barrier, counts, latestEventTime }) => ({
        partition: barrier.partition,
        counts,
        latestEventTime,
      })),
    };
  }

  replay(barrier: PartitionBarrier): void {
    sealPartition(this.#state(barrier.partition), barrier);
  }

  summary(partition: number): PartitionSummary {
    const { latestEventTime, openSessions, pending } = this.#state(partition);
    return { latestEventTime, openSessions, pendingRevisions: pending.size };
  }

  snapshot(partition: number): Uint8Array {
    return encodeOccurrences(this.#state(partition));
  }

  inspect(query: OpenSessionQuery): OpenSession[] {
    return inspectSessions(this.#partitions.values(), this.place.shard, query);
  }

  #state(partition: number): PartitionState {
    const state = this.#partitions.get(partition);
    invariant(state !== undefined, `partition ${partition} is restored before anything else is posted of it`);
    return state;
  }
}
