/** A partition that is restored at its checkpoint, and taken through the barriers that the log has recorded since. */
import type { PartitionBarrier, SessionSemantics } from "../schema/epoch.ts";
import { SourceError } from "../schema/errors.ts";
import type { RecordBatch } from "../sources/source.ts";
import type { Mailbox } from "./mailbox.ts";
import type { PartitionStart } from "./protocol.ts";
import type { Reading } from "./reading.ts";

/** Batches of a partition that are not routed yet, and the first record of the first one. */
export interface Fetched {
  readonly batches: readonly RecordBatch[];
  readonly first: number;
}

/** Where the shards get what a replay has for them. */
export interface ReplayPorts {
  /** To every shard. */
  readonly post: (message: Parameters<Mailbox["post"]>[0]) => void;
  /** Routes a partition's records up to offset `end`; returns what was not routed. */
  readonly route: (reading: Reading, fetched: Fetched, end: number) => Promise<Fetched>;
  /** Whether shards are to hand on the rows that they make again. */
  readonly verify: boolean;
}

/** One partition's restore and replay: {@linkcode Replay.begin}, then {@linkcode Replay.take} until it is `done`. */
export class Replay {
  readonly reading: Reading;
  #passed = 0;

  /**
   * @param semantics those of this run, which follow the recorded ones
   * @param end where a bounded run stops
   */
  constructor(
    private readonly start: PartitionStart,
    private readonly semantics: SessionSemantics,
    end: number,
    private readonly ports: ReplayPorts,
  ) {
    const { partition, offset, checkpoint: last } = start;
    const counts = { position: offset, records: 0, atEnd: false };
    this.reading = { partition, start: offset, end, ...counts, last, newest: null };
  }

  get partition(): number {
    return this.start.partition;
  }

  /** Whether the last recorded barrier is passed. */
  get done(): boolean {
    return this.#next === undefined;
  }

  get #next() {
    return this.start.replay[this.#passed];
  }

  /** Restores the state, and passes the barriers that no record comes before. */
  async begin(): Promise<void> {
    const { partition, checkpoint, occurrences, latestEventTime } = this.start;
    const semantics = this.#next?.semantics ?? this.semantics;
    const watermark = checkpoint?.watermark ?? null;
    this.ports.post({ type: "restore", partition, occurrences, latestEventTime, watermark, semantics });
    this.#announceSemantics();
    await this.take([]);
  }

  /** The partition's next records; those beyond the last recorded barrier are dropped, and come again, live. */
  async take(batches: readonly RecordBatch[]): Promise<void> {
    let fetched: Fetched = { batches, first: 0 };
    for (let next = this.#next; next !== undefined; next = this.#next) {
      const { barrier } = next;
      fetched = await this.ports.route(this.reading, fetched, barrier.to);
      if (this.reading.position < barrier.to) return;
      this.#pass(barrier);
    }
  }

  /** What is wrong where the partition ends before its next recorded barrier. */
  endedBefore(topic: string): SourceError {
    return new SourceError(
      `Cannot replay partition ${this.partition} of topic '${topic}': the records from offset ` +
        `${this.reading.position} to ${this.#next?.barrier.to} are needed and the log ends before them. Restore the ` +
        `topic, or start a new pipeline (PIPELINE) on a new lake.`,
    );
  }

  #pass(barrier: PartitionBarrier): void {
    this.#passed++;
    this.reading.records = 0;
    this.reading.last = barrier;
    this.ports.post({ type: "replayed", barrier, verify: this.ports.verify });
    this.#announceSemantics();
  }

  #announceSemantics(): void {
    const semantics = this.#next?.semantics ?? this.semantics;
    this.ports.post({ type: "semantics", partition: this.partition, semantics });
  }
}
