/** The topic as an instance reads it: the seam of `sources/source.ts` over a {@linkcode Topic}. */
import { SourceError } from "../../schema/errors.ts";
import type { PartitionRange, Poll, RecordBatch, Source } from "../../sources/source.ts";
import type { Network } from "./network.ts";
import type { Party, Scheduler } from "./scheduler.ts";
import type { Topic } from "./topic.ts";

export interface SimSourceOptions {
  readonly topic: Topic;
  readonly network: Network;
  readonly scheduler: Scheduler;
  readonly party: Party;
  /** The most records of a batch, and batches of a partition in a poll. */
  readonly batchRecords: number;
  readonly pollBatches: number;
}

export class SimSource implements Source {
  readonly isSettled = true;
  readonly topic: string;
  closed = false;
  readonly #positions = new Map<number, number>();
  readonly #paused = new Set<number>();
  readonly #owned = new Set<number>();
  readonly #revoked = new Set<number>();
  readonly #assigned = new Set<number>();
  /** Ends the wait of a poll. */
  #notify: () => void = () => {};

  constructor(private readonly options: SimSourceOptions) {
    this.topic = options.topic.name;
  }

  /** The group gives partitions to this instance. */
  assign(partitions: readonly number[]): void {
    for (const partition of partitions) {
      this.#owned.add(partition);
      this.#assigned.add(partition);
    }
    this.#notify();
  }

  /** The group takes partitions from this instance. */
  revoke(partitions: readonly number[]): void {
    for (const partition of partitions) {
      this.#owned.delete(partition);
      if (!this.#assigned.delete(partition)) this.#revoked.add(partition);
    }
    this.#notify();
  }

  ranges(): Promise<readonly PartitionRange[]> {
    const { partitions } = this.options.topic;
    return this.#ask(
      "ranges",
      () => partitions.map(({ start, end }, partition) => ({ partition, start, end })),
    );
  }

  seek(partition: number, offset: number): Promise<void> {
    return this.#ask(`seek ${partition} to ${offset}`, () => {
      if (!this.#owned.has(partition)) return;
      const { start, end } = this.options.topic.partitions[partition]!;
      if (offset < start || offset > end) {
        throw new SourceError(`Offset ${offset} of partition ${partition} is outside ${start} to ${end}.`);
      }
      this.#positions.set(partition, offset);
    });
  }

  async poll(_maxBytes: number, waitMs: number): Promise<Poll> {
    const { scheduler, network, party, topic } = this.options;
    const deadline = scheduler.now + waitMs;
    for (;;) {
      await new Promise<void>((resolve) => scheduler.after(network.latency(), party, resolve));
      const poll = this.#look();
      const { batches, revoked, assigned } = poll;
      if (this.closed || batches.length + revoked.length + assigned.length > 0 || scheduler.now >= deadline) {
        return poll;
      }
      await new Promise<void>((resolve) => {
        const cancel = scheduler.after(deadline - scheduler.now, party, resolve);
        const wake = () => {
          cancel();
          scheduler.after(network.latency(), party, resolve);
        };
        const forget = topic.wait(wake);
        this.#notify = () => {
          forget();
          wake();
        };
      });
      this.#notify = () => {};
    }
  }

  pause(partition: number): void {
    this.#paused.add(partition);
  }

  resume(partition: number): void {
    this.#paused.delete(partition);
  }

  recordAt(partition: number, offset: number): Promise<RecordBatch | null> {
    const { topic } = this.options;
    return this.#ask(`record ${offset} of ${partition}`, () => {
      const batch = topic.batch(partition, offset, 1);
      return batch?.offsets[0] === offset ? batch : null;
    });
  }

  commitOffsets(positions: ReadonlyMap<number, number>): Promise<void> {
    const { committed } = this.options.topic;
    return this.#ask(
      "commit offsets",
      () => positions.forEach((to, partition) => committed.set(partition, to)),
    );
  }

  /** What no restart may look at: for mutations that do. */
  committedOffset(partition: number): number {
    return this.options.topic.committed.get(partition) ?? 0;
  }

  close(): Promise<void> {
    this.closed = true;
    this.#notify();
    return Promise.resolve();
  }

  #look(): Poll {
    const { topic, batchRecords, pollBatches } = this.options;
    const [revoked, assigned] = [[...this.#revoked], [...this.#assigned]];
    this.#revoked.clear();
    this.#assigned.clear();
    // Whatever was asked for before the change was told says nothing of what comes after it.
    for (const partition of [...revoked, ...assigned]) {
      this.#positions.delete(partition);
      this.#paused.delete(partition);
    }
    const batches: RecordBatch[] = [];
    const atEnd: number[] = [];
    for (const [partition, position] of this.#positions) {
      if (this.#paused.has(partition)) continue;
      const { start, end } = topic.partitions[partition]!;
      if (position < start) throw new SourceError(`Offset ${position} of partition ${partition} is gone.`);
      let next = position;
      for (let i = 0; i < pollBatches; i++) {
        const batch = topic.batch(partition, next, batchRecords);
        if (batch === null) break;
        batches.push(batch);
        next = batch.nextOffset;
      }
      this.#positions.set(partition, next);
      if (next >= end) atEnd.push(partition);
    }
    return { batches, atEnd, revoked, assigned };
  }

  #ask<T>(name: string, apply: () => T): Promise<T> {
    const { network, party } = this.options;
    const failure = (why: string) => new SourceError(`The brokers did not answer: ${why}.`);
    return network.call({ party, service: "source", name, apply, failure });
  }
}
