/**
 * A model of everything around `epoch.ts`: an ingest actor that posts barriers, shards that seal them, a lake that
 * stages and commits, a rival that is given partitions and moves them on in the log, rightly or not. A test decides who
 * answers next; the model checks what must hold at every step.
 */
import { assert, assertEquals } from "@std/assert";
import { nextBarrier } from "../../actors/barrier.ts";
import { transition } from "../../actors/epoch.ts";
import {
  type Epoch,
  type EpochEffect,
  type EpochEvent,
  type EpochsState,
  initialEpochs,
  type Seal,
  type Snapshot,
} from "../../actors/epoch_state.ts";
import type { Assignment, IngestCommand, SealedPartition } from "../../actors/protocol.ts";
import { EMPTY_LEDGER, type PartitionBarrier, type PartitionRecord } from "../../schema/epoch.ts";
import { EPOCHS_IN_FLIGHT_MAX } from "../../schema/limits.ts";
import { barrierOf, SEMANTICS, T0 } from "./records.ts";

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

/** What the model's ingest is told. */
type Command =
  | CloseCommand
  | Extract<IngestCommand, { type: "discard" }>
  | { readonly type: "assign"; readonly starts: readonly Start[] };

interface Start extends Assignment {
  readonly from: PartitionRecord | null;
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
  readonly commands: Command[] = [];
  readonly fromIngest: EpochEvent[] = [];
  readonly fromShards: EpochEvent[][];
  readonly fromLake: EpochEvent[] = [];
  stopped = false;
  clock = T0;
  fenced = 0;
  /** The partitions that are this instance's, with the number of their assignment. */
  readonly owned = new Map<number, number>();
  /** Those that ingest reads. */
  readonly #reading = new Set<number>();
  #assignments = 0;
  readonly #startsOf = new Map<EpochEvent, readonly Start[]>();
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
    this.give(...this.#positions.keys());
    this.finish();
  }

  /** Records that are in the books, or must be with what is read now, unless others have moved a partition on. */
  get consumed(): number {
    return this.#positions.reduce(
      (sum, position, partition) =>
        sum + (this.#isOurs(partition) ? position : this.log.get(partition)?.barrier.to ?? 0),
      0,
    );
  }

  /** Ingest reads it from where the log stands. */
  #isOurs(partition: number): boolean {
    return this.#reading.has(partition) && this.log.get(partition)?.barrier === this.#barriers.get(partition);
  }

  /** The group gives partitions to this instance. */
  give(...partitions: readonly number[]): void {
    const given = partitions.filter((partition) => !this.owned.has(partition)).map((partition) => ({
      partition,
      assignment: ++this.#assignments,
    }));
    for (const { partition, assignment } of given) this.owned.set(partition, assignment);
    if (!this.stopped && given.length > 0) this.fromIngest.push({ type: "assigned", partitions: given });
  }

  /** The group takes a partition away, and ingest has seen it. */
  revoke(partition: number): void {
    if (this.stopped || !this.owned.delete(partition)) return;
    this.#reading.delete(partition);
    this.fromIngest.push({ type: "revoked", partitions: [partition] });
  }

  /** Another instance, the partition's owner or not, commits two more records of it as sessions. */
  moveOn(partition: number): void {
    const { barrier, ledger } = this.log.get(partition) ?? { barrier: null, ledger: EMPTY_LEDGER };
    const from = barrier?.to ?? 0;
    this.log.set(partition, {
      barrier: barrierOf({ partition, number: (barrier?.number ?? 0) + 1, from, to: from + 2 }),
      ledger: { ...ledger, consumed: ledger.consumed + 2, inSessions: ledger.inSessions + 2 },
    });
  }

  /** Routes one record: an event, one for a session that is committed, a duplicate or a dead letter. */
  arrive(
    partition: number,
    shard: number,
    kind: "event" | "late" | "duplicate" | "dead",
    time: number,
  ): void {
    if (this.stopped || !this.#reading.has(partition)) return;
    const part = this.#parts[partition]![shard]!;
    part.arrived++;
    this.#positions[partition]!++;
    if (kind === "dead") part.dead++;
    else part.latest = Math.max(part.latest ?? time, time);
    if (kind === "duplicate") part.duplicates++;
    if (kind === "event") part.held++;
    if (kind === "late") part.pending++;
  }

  /** Late events that wait for a revision. */
  get pending(): number {
    return this.#parts.filter((_, partition) => this.#isOurs(partition)).flat()
      .reduce((sum, { pending }) => sum + pending, 0);
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
        this.fromLake.push({ type: "staged", epoch: effect.epoch.number, attempt: effect.attempt });
        return;
      case "plan":
        return this.#plan(effect.partitions);
      case "discard":
        return void this.commands.push(effect);
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
    const movedOn = epoch.barriers.filter(({ partition, number, from }) => {
      const before = this.log.get(partition)?.barrier;
      return number !== (before?.number ?? 0) + 1 || from !== (before?.to ?? 0);
    }).map(({ partition }) => partition);
    if (movedOn.length > 0) {
      this.fenced++;
      return void this.fromLake.push({ type: "fenced", epoch: epoch.number, partitions: movedOn });
    }
    for (const record of epoch.partitions) {
      const { barrier } = record;
      assertEquals(record.ledger.consumed, barrier.to);
      this.log.set(barrier.partition, record);
    }
    this.commits.push(epoch);
    this.fromLake.push({ type: "committed", epoch: epoch.number });
  }

  #checkpoint(snapshots: readonly Snapshot[]): void {
    for (const { barrier, ledger, occurrences } of snapshots) {
      const committed = this.log.get(barrier.partition);
      // Others may have moved the partition on since: the checkpoint is right all the same, if it is older.
      if (committed?.barrier.number === barrier.number) {
        assertEquals(barrier, committed?.barrier, "a checkpoint stands at a committed barrier");
        assertEquals(ledger, committed?.ledger);
      } else assert(barrier.number < committed!.barrier.number, "a checkpoint stands at a committed barrier");
      const held = occurrences.reduce((sum, [count]) => sum + count!, 0);
      assertEquals(held, ledger.held, "the snapshot is of the state at that barrier");
    }
    this.checkpoints.push(snapshots);
  }

  /** Where the log stands when the partitions' restart is planned. */
  #plan(partitions: readonly Assignment[]): void {
    const starts = partitions.map((assigned): Start => ({
      ...assigned,
      from: this.log.get(assigned.partition) ?? null,
    }));
    const planned = starts.map(({ from, ...assigned }) => ({
      ...assigned,
      ledger: from?.ledger ?? null,
      barrier: from?.barrier ?? null,
      checkpointed: 0,
    }));
    this.fromLake.push({ type: "planned", partitions: planned });
    this.#startsOf.set(this.fromLake.at(-1)!, starts);
  }

  /** Ingest carries out the oldest command. */
  command(): void {
    const command = this.commands.shift()!;
    switch (command.type) {
      case "close":
        return this.#close(command);
      case "assign":
        return this.#restore(command.starts);
      case "discard":
        for (const { partition, assignment } of command.partitions) {
          if (this.owned.get(partition) !== assignment) continue;
          this.owned.delete(partition);
          this.#reading.delete(partition);
          this.give(partition);
        }
    }
  }

  #restore(starts: readonly Start[]): void {
    const live = starts.filter(({ partition, assignment }) => this.owned.get(partition) === assignment);
    for (const { partition, from } of live) {
      this.#reading.add(partition);
      this.#positions[partition] = from?.barrier.to ?? 0;
      if (from === null) this.#barriers.delete(partition);
      else this.#barriers.set(partition, from.barrier);
      this.#parts[partition]!.forEach((part, shard) => {
        const held = shard === 0 ? from?.ledger.held ?? 0 : 0;
        Object.assign(part, { arrived: 0, dead: 0, duplicates: 0, held, pending: 0, latest: null });
      });
    }
    this.fromShards.forEach((queue, shard) => {
      const partitions = live.map(({ partition, assignment }) => {
        const { held: openSessions, latest: latestEventTime } = this.#parts[partition]![shard]!;
        return { partition, assignment, latestEventTime, openSessions, pendingRevisions: 0 };
      });
      queue.push({ type: "restored", partitions });
    });
  }

  #close(command: CloseCommand): void {
    if (command.stop) this.stopped = true;
    const barriers: PartitionBarrier[] = [];
    this.#parts.forEach((parts, partition) => {
      if (!this.#reading.has(partition)) return;
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
    const stale = command.stale.filter((partition) =>
      !posted.includes(partition) && this.#reading.has(partition)
    );
    const snapshots = command.checkpoint ? [...posted, ...stale] : stale;
    if (barriers.length + snapshots.length > 0) {
      this.fromShards.forEach((queue, shard) => {
        queue.push(this.#seal(shard, command.epoch, barriers, snapshots));
      });
    }
    this.fromIngest.push({ type: "closed", epoch: command.epoch, barriers, snapshots });
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
    if (this.commands.length > 0) possible.push(() => this.command());
    if (this.fromIngest.length > 0) possible.push(() => this.send(this.fromIngest.shift()!));
    for (const queue of this.fromShards) {
      if (queue.length > 0) possible.push(() => this.send(queue.shift()!));
    }
    this.fromLake.forEach((_, i) => possible.push(() => this.#answer(this.fromLake.splice(i, 1)[0]!)));
    return possible;
  }

  #answer(event: EpochEvent): void {
    this.send(event);
    const starts = this.#startsOf.get(event);
    if (starts !== undefined) this.commands.push({ type: "assign", starts });
  }

  /** Lets the first that may answer do so, until nothing is left to answer. */
  finish(): void {
    for (let steps = 0; this.answers().length > 0; steps++) {
      assert(steps < 10_000, "the epochs come to an end");
      this.answers()[0]!();
    }
  }
}
