/**
 * A model of everything around `epoch.ts`: an ingest actor that posts barriers, shards that seal them, a lake that
 * stages and commits. A test decides who answers next; the model checks what must hold at every step.
 */
import { assert, assertEquals } from "@std/assert";
import { nextBarrier } from "../../actors/barrier.ts";
import {
  type Epoch,
  type EpochEffect,
  type EpochEvent,
  type EpochsState,
  initialEpochs,
  type Seal,
  type Snapshot,
  transition,
} from "../../actors/epoch.ts";
import type { IngestCommand, SealedPartition } from "../../actors/protocol.ts";
import type { PartitionBarrier, PartitionRecord } from "../../schema/epoch.ts";
import { EPOCHS_IN_FLIGHT_MAX } from "../../schema/limits.ts";
import { SEMANTICS, T0 } from "./records.ts";

type CloseCommand = Extract<IngestCommand, { type: "close" }>;

/** One shard's part of a partition: what arrived since the barrier, what is open. */
interface Part {
  arrived: number;
  dead: number;
  duplicates: number;
  held: number;
  /** Late events of committed sessions, which wait for a revision. */
  pending: number;
  latest: number | null;
}

interface Post {
  readonly epoch: number;
  readonly seal: Seal;
}

const EMPTY_BATCH = { rows: 0, columns: [] };

export interface WorldOptions {
  readonly partitions: number;
  readonly shards: number;
  readonly closeOpenAtEnd?: boolean;
  /** Idleness moves nothing in a bounded run. */
  readonly bounded?: boolean;
  readonly revisionIntervalMs?: number;
  readonly lastEpoch?: number;
}

export class EpochWorld {
  readonly state: EpochsState;
  readonly commits: Epoch[] = [];
  readonly checkpoints: (readonly Snapshot[])[] = [];
  /** The newest committed barrier and ledger, by partition. */
  readonly log = new Map<number, PartitionRecord>();
  readonly closes: CloseCommand[] = [];
  settled = 0;
  /** What may be answered: by ingest, then each shard, in order; then the lake, in any order. */
  readonly commands: CloseCommand[] = [];
  readonly fromIngest: EpochEvent[] = [];
  readonly fromShards: Post[][];
  readonly fromLake: EpochEvent[] = [];
  stopped = false;
  clock = T0;
  consumed = 0;
  readonly #barriers = new Map<number, PartitionBarrier>();
  readonly #parts: Part[][];
  readonly #positions: number[];

  constructor(private readonly options: WorldOptions) {
    const { partitions, shards, closeOpenAtEnd = false, revisionIntervalMs = 0, lastEpoch = 0 } = options;
    this.state = initialEpochs({ shards, closeOpenAtEnd, revisionIntervalMs, lastEpoch });
    const part = (): Part => ({ arrived: 0, dead: 0, duplicates: 0, held: 0, pending: 0, latest: null });
    this.#parts = Array.from({ length: partitions }, () => Array.from({ length: shards }, part));
    this.#positions = new Array(partitions).fill(0);
    this.fromShards = Array.from({ length: shards }, () => []);
  }

  /** Routes one record: an event, one for a session that is committed, a duplicate or a dead letter. */
  arrive(
    partition: number,
    shard: number,
    kind: "event" | "late" | "duplicate" | "dead",
    time: number,
  ): void {
    if (this.stopped) return;
    const part = this.#parts[partition]![shard]!;
    part.arrived++;
    this.#positions[partition]!++;
    this.consumed++;
    if (kind === "dead") part.dead++;
    else part.latest = Math.max(part.latest ?? time, time);
    if (kind === "duplicate") part.duplicates++;
    if (kind === "event") part.held++;
    if (kind === "late") part.pending++;
  }

  /** Late events that wait for a revision. */
  get pending(): number {
    return this.#parts.flat().reduce((sum, { pending }) => sum + pending, 0);
  }

  /** The latest event time that any shard has seen of the partition. */
  latest(partition: number): number | null {
    const times = this.#parts[partition]!.map(({ latest }) => latest).filter((time) => time !== null);
    return times.length === 0 ? null : Math.max(...times);
  }

  /** Hands an event to the state machine, and takes its effects up. */
  send(event: EpochEvent): EpochEffect[] {
    const effects = transition(this.state, event);
    for (const effect of effects) this.#take(effect);
    const { inFlight } = this.state;
    assert(inFlight.length <= EPOCHS_IN_FLIGHT_MAX, `${inFlight.length} epochs are in flight`);
    assert(inFlight.filter(({ phase }) => phase === "closing").length <= 1);
    if (this.settled > 0) assertEquals(inFlight.length, 0);
    return effects;
  }

  #take(effect: EpochEffect): void {
    switch (effect.type) {
      case "close":
        assert(!this.closes.at(-1)?.stop, "nothing is closed after the last close");
        this.closes.push(effect.command);
        this.commands.push(effect.command);
        return;
      case "stage":
        assertEquals(effect.epoch.seals.length, this.options.shards);
        this.fromLake.push({ type: "staged", epoch: effect.epoch.number });
        return;
      case "commit":
        return this.#commit(effect.epoch);
      case "checkpoint":
        return this.#checkpoint(effect.snapshots);
      case "settled":
        this.settled++;
        assertEquals(this.settled, 1);
        assertEquals(this.pending, 0, "no end leaves a revision pending");
    }
  }

  #commit(epoch: Epoch): void {
    assert(
      epoch.number > (this.commits.at(-1)?.number ?? this.options.lastEpoch ?? 0),
      "commits are in order",
    );
    assert(epoch.barriers.length > 0, "a commit has a barrier");
    assertEquals(epoch.partitions.map(({ barrier }) => barrier), [...epoch.barriers]);
    for (const record of epoch.partitions) {
      const { barrier } = record;
      const before = this.log.get(barrier.partition)?.barrier;
      assertEquals([barrier.number, barrier.from], [(before?.number ?? 0) + 1, before?.to ?? 0]);
      assertEquals(record.ledger.consumed, barrier.to);
      this.log.set(barrier.partition, record);
    }
    this.commits.push(epoch);
    this.fromLake.push({ type: "committed", epoch: epoch.number });
  }

  #checkpoint(snapshots: readonly Snapshot[]): void {
    for (const { barrier, ledger, occurrences } of snapshots) {
      const committed = this.log.get(barrier.partition);
      assertEquals(barrier, committed?.barrier, "a checkpoint stands at the newest committed barrier");
      assertEquals(ledger, committed?.ledger);
      const held = occurrences.reduce((sum, [count]) => sum + count!, 0);
      assertEquals(held, ledger.held, "the snapshot is of the state at that barrier");
    }
    this.checkpoints.push(snapshots);
  }

  /** Ingest carries out the oldest close request. */
  close(): void {
    const command = this.commands.shift()!;
    if (command.stop) this.stopped = true;
    const barriers: PartitionBarrier[] = [];
    this.#parts.forEach((parts, partition) => {
      const records = parts.reduce((sum, { arrived }) => sum + arrived, 0);
      const last = this.#barriers.get(partition) ?? null;
      const position = this.#positions[partition]!;
      const barrier = nextBarrier(
        { partition, last, start: 0, position, records, atEnd: true, lastRecord: null },
        {
          epoch: command.epoch,
          clock: this.clock,
          latestEventTime: command.latest.get(partition) ?? null,
          idleness: !this.options.bounded,
          closeOpen: command.closeOpen,
          revise: command.revise.includes(partition),
          final: command.stop,
        },
        SEMANTICS,
      );
      if (barrier === null) return;
      this.#barriers.set(partition, barrier);
      barriers.push(barrier);
    });
    const posted = barriers.map(({ partition }) => partition);
    const stale = command.stale.filter((partition) => !posted.includes(partition));
    const snapshots = command.checkpoint ? [...posted, ...stale] : stale;
    if (barriers.length + snapshots.length > 0) {
      this.fromShards.forEach((queue, shard) => {
        queue.push({ epoch: command.epoch, seal: this.#seal(shard, command.epoch, barriers, snapshots) });
      });
    }
    this.fromIngest.push({ type: "closed", epoch: command.epoch, barriers });
  }

  #seal(
    shard: number,
    epoch: number,
    barriers: readonly PartitionBarrier[],
    snapshots: readonly number[],
  ): Seal {
    const partitions = barriers.map(({ partition, closeOpen, revise }): SealedPartition => {
      const part = this.#parts[partition]![shard]!;
      const finished = closeOpen ? part.held : Math.floor(part.held / 2);
      const inSessions = finished + (revise ? part.pending : 0);
      part.held -= finished;
      if (revise) part.pending = 0;
      const { arrived: records, dead: deadLetters, duplicates, pending, latest: latestEventTime } = part;
      Object.assign(part, { arrived: 0, dead: 0, duplicates: 0 });
      const books = { records, duplicates, deadLetters, inSessions, held: part.held + pending };
      const counts = { ...books, openSessions: part.held, pendingRevisions: pending };
      return { partition, counts, latestEventTime };
    });
    const snapshotOf = (partition: number) => {
      const { held, pending } = this.#parts[partition]![shard]!;
      return Uint8Array.of(held + pending);
    };
    return {
      type: "sealed",
      shard,
      epoch,
      rows: EMPTY_BATCH,
      revisions: EMPTY_BATCH,
      deadLetters: EMPTY_BATCH,
      closingTimes: new Float64Array(),
      partitions,
      snapshots: snapshots.map((partition) => ({ partition, occurrences: snapshotOf(partition) })),
    };
  }

  /** What may happen next, besides new records and the outside's wishes. */
  answers(): (() => void)[] {
    const possible: (() => void)[] = [];
    if (this.commands.length > 0) possible.push(() => this.close());
    if (this.fromIngest.length > 0) possible.push(() => this.send(this.fromIngest.shift()!));
    for (const queue of this.fromShards) {
      if (queue.length > 0) possible.push(() => this.send(queue.shift()!.seal));
    }
    this.fromLake.forEach((_, i) => possible.push(() => this.send(this.fromLake.splice(i, 1)[0]!)));
    return possible;
  }

  /** Lets the first that may answer do so, until nothing is left to answer. */
  finish(): void {
    for (let steps = 0; this.answers().length > 0; steps++) {
      assert(steps < 10_000, "the epochs come to an end");
      this.answers()[0]!();
    }
  }
}
