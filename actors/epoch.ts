/**
 * The life of epochs: PURE. `transition(state, event)` changes the state in place and returns the effects that the
 * coordinator runs; their results come back as events. At most {@linkcode EPOCHS_IN_FLIGHT_MAX} epochs are between
 * their barrier and their commit, and commits keep the order of barriers.
 */
import {
  EMPTY_LEDGER,
  type EpochCloseReason,
  type Ledger,
  type PartitionBarrier,
  type PartitionRecord,
} from "../schema/epoch.ts";
import { assertNever, invariant } from "../schema/errors.ts";
import { EPOCHS_IN_FLIGHT_MAX, EPOCHS_PER_CHECKPOINT } from "../schema/limits.ts";
import type { IngestCommand, ShardReport } from "./protocol.ts";

/** A shard's part of an epoch. */
export type Seal = Extract<ShardReport, { type: "sealed" }>;

/** A snapshot that a checkpoint is to be written from. */
export interface Snapshot {
  readonly barrier: PartitionBarrier;
  readonly ledger: Ledger;
  readonly latestEventTime: number | null;
  /** One part per shard. */
  readonly occurrences: readonly Uint8Array[];
}

/** An epoch in flight. */
export interface Epoch {
  readonly number: number;
  readonly closedBy: EpochCloseReason;
  /** Nothing is read after it. */
  readonly final: boolean;
  readonly checkpoint: boolean;
  phase: "closing" | "sealing" | "staging" | "staged" | "committing";
  barriers: readonly PartitionBarrier[];
  /** Partitions to snapshot even if they get no barrier. */
  readonly stale: readonly number[];
  /** The barriers that the snapshots stand at: later epochs may post theirs before this one is sealed. */
  snapshotAt: readonly PartitionBarrier[];
  readonly seals: Seal[];
  /** Set when all shards have sealed. */
  partitions: readonly PartitionRecord[];
  snapshots: readonly Snapshot[];
  records: number;
  openSessions: number;
}

/** The coordinator's state. Maps are by partition. */
export interface EpochsState {
  readonly shards: number;
  readonly closeOpenAtEnd: boolean;
  /** The least time between two epochs that bring out revisions, milliseconds. */
  readonly revisionIntervalMs: number;
  lastEpoch: number;
  /** Oldest first. */
  readonly inFlight: Epoch[];
  /** Latest event time over the newest epoch that all shards have sealed. */
  readonly latest: Map<number, number>;
  readonly ledgers: Map<number, Ledger>;
  readonly openSessions: Map<number, number>;
  /** Sessions that wait for a revision, as of the newest epoch that all shards have sealed. */
  readonly pendingRevisions: Map<number, number>;
  /** When revisions were last asked for, and the newest time that an event told; monotonic milliseconds. */
  revisedAt: number;
  now: number;
  /** The newest barrier that was posted. */
  readonly barriers: Map<number, PartitionBarrier>;
  /** The number of the barrier that the newest checkpoint stands at. */
  readonly checkpointed: Map<number, number>;
  epochsSinceCheckpoint: number;
  /** `ending`: a bounded run repeats barriers until nothing changes; `final`: the last close is asked for. */
  stage: "running" | "ending" | "draining" | "final" | "settled";
  /** A close that waits for room in flight. */
  wanted: EpochCloseReason | null;
}

export type EpochEvent =
  /** `at`: monotonic milliseconds. */
  | { readonly type: "tick"; readonly at: number }
  | { readonly type: "full"; readonly at: number }
  | { readonly type: "end_reached" }
  | { readonly type: "drain" }
  | { readonly type: "closed"; readonly epoch: number; readonly barriers: readonly PartitionBarrier[] }
  | Seal
  | { readonly type: "staged"; readonly epoch: number }
  | { readonly type: "committed"; readonly epoch: number };

export type EpochEffect =
  | { readonly type: "close"; readonly command: Extract<IngestCommand, { type: "close" }> }
  /** Upload the epoch's rows and dead letters. */
  | { readonly type: "stage"; readonly epoch: Epoch }
  | { readonly type: "commit"; readonly epoch: Epoch }
  /** Write checkpoints; what they stand on is committed. */
  | { readonly type: "checkpoint"; readonly snapshots: readonly Snapshot[] }
  /** Nothing is in flight and nothing will be. */
  | { readonly type: "settled" };

/** The state of a coordinator that starts after `lastEpoch`. */
export function initialEpochs(
  start: Pick<EpochsState, "shards" | "closeOpenAtEnd" | "revisionIntervalMs" | "lastEpoch">,
): EpochsState {
  return {
    ...start,
    inFlight: [],
    latest: new Map(),
    ledgers: new Map(),
    openSessions: new Map(),
    pendingRevisions: new Map(),
    revisedAt: -Infinity,
    now: 0,
    barriers: new Map(),
    checkpointed: new Map(),
    epochsSinceCheckpoint: 0,
    stage: "running",
    wanted: null,
  };
}

/** One step. */
export function transition(state: EpochsState, event: EpochEvent): EpochEffect[] {
  switch (event.type) {
    case "tick":
      state.now = event.at;
      return state.stage === "running" ? want(state, "interval") : [];
    case "full":
      state.now = event.at;
      return state.stage === "running" ? want(state, "size") : [];
    case "end_reached":
      if (state.stage !== "running") return [];
      state.stage = "ending";
      return want(state, "end");
    case "drain":
      if (state.stage !== "running" && state.stage !== "ending") return [];
      state.stage = "draining";
      return want(state, "drain");
    case "closed":
      return closed(state, event.epoch, event.barriers);
    case "sealed":
      return sealed(state, event);
    case "staged":
      epochOf(state, event.epoch, "staging").phase = "staged";
      return commitNext(state);
    case "committed":
      return committed(state, event.epoch);
    default:
      return assertNever(event);
  }
}

/** Asks for a close, now or as soon as there is room. A drain is never displaced by a lesser reason. */
function want(state: EpochsState, reason: EpochCloseReason): EpochEffect[] {
  if (state.wanted !== "drain") state.wanted = reason;
  return closeNext(state);
}

function closeNext(state: EpochsState): EpochEffect[] {
  const reason = state.wanted;
  const closing = state.inFlight.some(({ phase }) => phase === "closing");
  // At the end of a bounded run every close must know the event times of all before it: only then does a close
  // that changes nothing say that nothing will change any more.
  const room = state.stage === "ending" ? 1 : EPOCHS_IN_FLIGHT_MAX;
  if (reason === null || closing || state.inFlight.length >= room) return [];
  const final = reason === "drain";
  // The last close must know of every revision that is pending: nothing comes after it.
  if (final && state.inFlight.some(({ phase }) => phase === "sealing")) return [];
  state.wanted = null;
  const closeOpen = final && state.stage === "ending" && state.closeOpenAtEnd;
  if (final) state.stage = "final";
  const checkpoint = final || state.epochsSinceCheckpoint + 1 >= EPOCHS_PER_CHECKPOINT;
  const stale = checkpoint ? stalePartitions(state) : [];
  const revise = revisionsDue(state, final);
  const number = (state.inFlight.at(-1)?.number ?? state.lastEpoch) + 1;
  state.inFlight.push({
    number,
    closedBy: reason,
    final,
    checkpoint,
    phase: "closing",
    barriers: [],
    stale,
    snapshotAt: [],
    seals: [],
    partitions: [],
    snapshots: [],
    records: 0,
    openSessions: 0,
  });
  const latest = new Map(state.latest);
  return [{
    type: "close",
    command: { type: "close", epoch: number, latest, closeOpen, revise, checkpoint, stale, stop: final },
  }];
}

/**
 * The partitions whose revisions the next barriers bring out: all together and seldom, because the lake rewrites files
 * for them.
 */
function revisionsDue(state: EpochsState, final: boolean): number[] {
  const due = [...state.pendingRevisions].filter(([, count]) => count > 0).map(([partition]) => partition);
  const early = state.now < state.revisedAt + state.revisionIntervalMs;
  if (due.length === 0 || (early && !final)) return [];
  state.revisedAt = state.now;
  return due;
}

/** Partitions whose newest barrier no checkpoint stands at. */
function stalePartitions(state: EpochsState): number[] {
  return [...state.barriers.values()]
    .filter(({ partition, number }) => number > (state.checkpointed.get(partition) ?? 0))
    .map(({ partition }) => partition);
}

/** Ingest has posted the barriers; without any, and without snapshots, there is nothing to seal. */
function closed(state: EpochsState, number: number, barriers: readonly PartitionBarrier[]): EpochEffect[] {
  const epoch = epochOf(state, number, "closing");
  epoch.barriers = barriers;
  for (const barrier of barriers) state.barriers.set(barrier.partition, barrier);
  const posted = epoch.checkpoint ? barriers.map(({ partition }) => partition) : [];
  epoch.snapshotAt = [...new Set([...posted, ...epoch.stale])].map((partition) => newest(state, partition));
  epoch.phase = "sealing";
  if (epoch.snapshotAt.length > 0) state.epochsSinceCheckpoint = 0;
  else if (barriers.length > 0) state.epochsSinceCheckpoint++;
  if (barriers.length === 0 && epoch.snapshotAt.length === 0) return unchanged(state, epoch);
  return [...gathered(state, epoch), ...closeNext(state)];
}

/** Nothing changed since the last barriers: the number is used again, and a bounded run is at its end. */
function unchanged(state: EpochsState, epoch: Epoch): EpochEffect[] {
  state.inFlight.splice(state.inFlight.indexOf(epoch), 1);
  // A close that was asked for before the end was reached may not have known the newest event times.
  const ended = state.stage === "ending" && epoch.closedBy === "end";
  return [...(ended ? want(state, "drain") : closeNext(state)), ...settle(state)];
}

/** A shard's seal may overtake ingest's word of the barriers: ports are FIFO each, not together. */
function sealed(state: EpochsState, seal: Seal): EpochEffect[] {
  const epoch = state.inFlight.find(({ number }) => number === seal.epoch);
  invariant(epoch !== undefined, `epoch ${seal.epoch} is in flight when shard ${seal.shard} seals it`);
  epoch.seals.push(seal);
  return epoch.phase === "closing" ? [] : gathered(state, epoch);
}

/** Goes on once all shards have sealed. */
function gathered(state: EpochsState, epoch: Epoch): EpochEffect[] {
  if (epoch.seals.length < state.shards) return [];
  epoch.partitions = epoch.barriers.map((barrier) => ({
    barrier,
    ledger: advance(state, epoch, barrier.partition),
  }));
  epoch.openSessions = [...state.openSessions.values()].reduce((sum, count) => sum + count, 0);
  epoch.snapshots = epoch.snapshotAt.map((barrier) => snapshot(state, epoch, barrier));
  if (epoch.barriers.length > 0) {
    epoch.phase = "staging";
    return [{ type: "stage", epoch }, ...closeNext(state)];
  }
  // Snapshots alone: the barriers they stand at may still be on their way into the log.
  epoch.phase = "staged";
  return [...commitNext(state), ...closeNext(state)];
}

/** Takes one partition's counts into the books, and proves that they balance. */
function advance(state: EpochsState, epoch: Epoch, partition: number): Ledger {
  const before = state.ledgers.get(partition) ?? EMPTY_LEDGER;
  const ledger = { ...before, held: 0 };
  let [openSessions, pendingRevisions] = [0, 0];
  for (const seal of epoch.seals) {
    const sealed = seal.partitions.find((candidate) => candidate.partition === partition);
    invariant(
      sealed !== undefined,
      `shard ${seal.shard} seals partition ${partition} of epoch ${epoch.number}`,
    );
    const { counts, latestEventTime } = sealed;
    ledger.consumed += counts.records;
    ledger.inSessions += counts.inSessions;
    ledger.duplicates += counts.duplicates;
    ledger.deadLetters += counts.deadLetters;
    ledger.held += counts.held;
    epoch.records += counts.records;
    openSessions += counts.openSessions;
    pendingRevisions += counts.pendingRevisions;
    if (latestEventTime !== null) {
      state.latest.set(partition, Math.max(state.latest.get(partition) ?? latestEventTime, latestEventTime));
    }
  }
  const accounted = ledger.inSessions + ledger.duplicates + ledger.deadLetters + ledger.held;
  invariant(
    ledger.consumed === accounted,
    `the ledger of partition ${partition} balances in epoch ${epoch.number}: ${JSON.stringify(ledger)}`,
  );
  state.ledgers.set(partition, ledger);
  state.openSessions.set(partition, openSessions);
  state.pendingRevisions.set(partition, pendingRevisions);
  return ledger;
}

function newest(state: EpochsState, partition: number): PartitionBarrier {
  const barrier = state.barriers.get(partition);
  invariant(barrier !== undefined, `a snapshot of partition ${partition} stands at a barrier`);
  return barrier;
}

function snapshot(state: EpochsState, epoch: Epoch, barrier: PartitionBarrier): Snapshot {
  const { partition } = barrier;
  const occurrences = epoch.seals.map(({ shard, snapshots }) => {
    const part = snapshots.find((candidate) => candidate.partition === partition);
    invariant(part !== undefined, `shard ${shard} snapshots partition ${partition} in epoch ${epoch.number}`);
    return part.occurrences;
  });
  const ledger = state.ledgers.get(partition) ?? EMPTY_LEDGER;
  return { barrier, ledger, latestEventTime: state.latest.get(partition) ?? null, occurrences };
}

/** Commits go in order: only the oldest epoch may. */
function commitNext(state: EpochsState): EpochEffect[] {
  const oldest = state.inFlight[0];
  if (oldest?.phase !== "staged") return [];
  if (oldest.barriers.length === 0) return done(state, oldest);
  oldest.phase = "committing";
  return [{ type: "commit", epoch: oldest }];
}

function committed(state: EpochsState, number: number): EpochEffect[] {
  const epoch = epochOf(state, number, "committing");
  state.lastEpoch = number;
  return done(state, epoch);
}

/** The oldest epoch is through: its checkpoint may be written, and the next may move. */
function done(state: EpochsState, epoch: Epoch): EpochEffect[] {
  state.inFlight.shift();
  const effects: EpochEffect[] = [];
  if (epoch.snapshots.length > 0) {
    for (const { barrier } of epoch.snapshots) state.checkpointed.set(barrier.partition, barrier.number);
    effects.push({ type: "checkpoint", snapshots: epoch.snapshots });
  }
  effects.push(...commitNext(state));
  const again = state.stage === "ending" && state.inFlight.length === 0;
  effects.push(...(again ? want(state, "end") : closeNext(state)));
  return [...effects, ...settle(state)];
}

function settle(state: EpochsState): EpochEffect[] {
  if (state.stage !== "final" || state.inFlight.length > 0 || state.wanted !== null) return [];
  state.stage = "settled";
  return [{ type: "settled" }];
}

function epochOf(state: EpochsState, number: number, phase: Epoch["phase"]): Epoch {
  const epoch = state.inFlight.find((candidate) => candidate.number === number);
  invariant(epoch?.phase === phase, `epoch ${number} is ${phase}: ${epoch?.phase ?? "not in flight"}`);
  return epoch;
}
