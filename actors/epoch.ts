/**
 * The life of epochs: PURE. `transition(state, event)` changes the state in place and returns the effects that the
 * coordinator runs; their results come back as events. At most {@linkcode EPOCHS_IN_FLIGHT_MAX} epochs are between
 * their barrier and their commit, and commits keep the order of barriers.
 */
import type { EpochCloseReason } from "../schema/epoch.ts";
import { assertNever, invariant } from "../schema/errors.ts";
import { EPOCHS_IN_FLIGHT_MAX, EPOCHS_PER_CHECKPOINT } from "../schema/limits.ts";
import { advance, countRecords, newest, noteLatest, snapshot } from "./epoch_books.ts";
import type { Epoch, EpochEffect, EpochEvent, EpochsState, PlannedPartition, Seal } from "./epoch_state.ts";
import type { Assignment, IngestReport, RestoredPartition } from "./protocol.ts";

/** One step. */
export function transition(state: EpochsState, event: EpochEvent): EpochEffect[] {
  switch (event.type) {
    case "tick":
      state.now = event.at;
      return state.stage === "running" ? want(state, "interval") : [];
    case "full":
      state.now = event.at;
      return state.stage === "running" ? want(state, "size") : [];
    case "erasures":
      state.erasures = event.erasures;
      return [];
    case "end_reached":
      state.endReached = true;
      return endNext(state);
    case "drain":
      if (state.stage !== "running" && state.stage !== "ending") return [];
      state.stage = "draining";
      return want(state, "drain");
    case "assigned":
      return assigned(state, event.partitions);
    case "planned":
      return planned(state, event.partitions);
    case "restored":
      return restored(state, event.partitions);
    case "revoked":
      return revoked(state, event.partitions);
    case "closed":
      return closed(state, event);
    case "sealed":
      return sealed(state, event);
    case "staged":
      return staged(state, event.epoch, event.attempt);
    case "committed":
      return committed(state, event.epoch);
    case "fenced":
      return fenced(state, event.epoch, event.partitions);
    default:
      return assertNever(event);
  }
}

/** A bounded run's last closes must know the latest event times of everything that was restored. */
function endNext(state: EpochsState): EpochEffect[] {
  const waits = state.unplanned.size + state.restoring.size > 0;
  if (!state.endReached || waits || state.stage !== "running") return [];
  state.stage = "ending";
  return want(state, "end");
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
  const { erasures: erase, erasuresAsked } = state;
  // Checkpoints from before an erasure hold what it erases: new ones make them needless.
  const erases = erase.some(({ id }) => !erasuresAsked.has(id));
  for (const { id } of erase) erasuresAsked.add(id);
  const checkpoint = final || erases || state.epochsSinceCheckpoint + 1 >= EPOCHS_PER_CHECKPOINT;
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
    reduced: false,
    attempt: ++state.attempts,
    stale,
    snapshotAt: [],
    seals: [],
    partitions: [],
    snapshots: [],
    records: 0,
    openSessions: 0,
  });
  const latest = new Map(state.latest);
  const command = { type: "close", epoch: number, latest, closeOpen, revise, checkpoint, stale } as const;
  return [{
    type: "close",
    command: { ...command, stop: final, ...(erase.length === 0 ? {} : { erase }) },
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
function closed(state: EpochsState, report: Extract<IngestReport, { type: "closed" }>): EpochEffect[] {
  const epoch = epochOf(state, report.epoch, "closing");
  // Barriers of a partition that was fenced while the close was on its way stand in a state that is discarded.
  epoch.barriers = report.barriers.filter(({ partition }) => state.assignments.has(partition));
  epoch.reduced = epoch.barriers.length < report.barriers.length;
  for (const barrier of epoch.barriers) state.barriers.set(barrier.partition, barrier);
  epoch.snapshotAt = report.snapshots.filter((partition) => state.barriers.has(partition))
    .map((partition) => newest(state, partition));
  epoch.phase = "sealing";
  if (epoch.snapshotAt.length > 0) state.epochsSinceCheckpoint = 0;
  else if (epoch.barriers.length > 0) state.epochsSinceCheckpoint++;
  if (report.barriers.length + report.snapshots.length === 0) return unchanged(state, epoch);
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
  epoch.records = countRecords(epoch);
  epoch.openSessions = [...state.openSessions.values()].reduce((sum, count) => sum + count, 0);
  epoch.snapshots = epoch.snapshotAt.map((barrier) => snapshot(state, epoch, barrier));
  return [...stage(epoch), ...commitNext(state), ...closeNext(state)];
}

function stage(epoch: Epoch): EpochEffect[] {
  if (epoch.barriers.length > 0) {
    epoch.phase = "staging";
    return [{ type: "stage", epoch, attempt: epoch.attempt }];
  }
  // Snapshots alone: the barriers they stand at may still be on their way into the log.
  epoch.phase = "staged";
  return [];
}

/** What was uploaded before the epoch was reduced is left where it is: no commit names it. */
function staged(state: EpochsState, number: number, attempt: number): EpochEffect[] {
  const epoch = state.inFlight.find((candidate) => candidate.number === number);
  if (epoch?.attempt !== attempt) return [];
  invariant(epoch.phase === "staging", `epoch ${number} is staging: ${epoch.phase}`);
  epoch.phase = "staged";
  return commitNext(state);
}

/** Partitions that came to this instance: their restart waits for what is still in flight of them. */
function assigned(state: EpochsState, partitions: readonly Assignment[]): EpochEffect[] {
  for (const { partition, assignment } of partitions) {
    state.assignments.set(partition, assignment);
    state.unplanned.add(partition);
  }
  return planNext(state);
}

/** Plans what waits for it. A drain takes nothing more on. */
function planNext(state: EpochsState): EpochEffect[] {
  if (state.stage === "final" || state.stage === "settled") return [];
  const inFlight = new Set(
    state.inFlight.flatMap(({ barriers }) => barriers.map(({ partition }) => partition)),
  );
  const partitions = [...state.unplanned].filter((partition) => !inFlight.has(partition))
    .map((partition) => ({ partition, assignment: state.assignments.get(partition)! }));
  for (const { partition } of partitions) {
    state.unplanned.delete(partition);
    state.restoring.set(partition, state.shards);
  }
  return partitions.length === 0 ? [] : [{ type: "plan", partitions }];
}

function planned(state: EpochsState, partitions: readonly PlannedPartition[]): EpochEffect[] {
  for (const { partition, assignment, ledger, barrier, checkpointed } of partitions) {
    if (state.assignments.get(partition) !== assignment) continue;
    if (ledger !== null) state.ledgers.set(partition, ledger);
    if (barrier !== null) state.barriers.set(partition, barrier);
    state.checkpointed.set(partition, checkpointed);
    // A process that never lives for five epochs must write checkpoints too: the replays would grow for ever.
    const replayed = (barrier?.number ?? 0) - checkpointed;
    state.epochsSinceCheckpoint = Math.max(state.epochsSinceCheckpoint, replayed);
  }
  return [];
}

/** One shard has replayed its part of the partitions. */
function restored(state: EpochsState, partitions: readonly RestoredPartition[]): EpochEffect[] {
  for (const { partition, assignment, latestEventTime, openSessions, pendingRevisions } of partitions) {
    if (state.assignments.get(partition) !== assignment) continue;
    noteLatest(state, partition, latestEventTime);
    const add = (book: Map<number, number>, count: number) =>
      book.set(partition, (book.get(partition) ?? 0) + count);
    add(state.openSessions, openSessions);
    add(state.pendingRevisions, pendingRevisions);
    const left = state.restoring.get(partition)! - 1;
    if (left > 0) state.restoring.set(partition, left);
    else state.restoring.delete(partition);
  }
  return endNext(state);
}

/** Partitions that are others' now. What is about to be committed stays: the log decides whether it still may. */
function revoked(state: EpochsState, partitions: readonly number[]): EpochEffect[] {
  for (const partition of partitions) state.assignments.delete(partition);
  return drop(state, partitions);
}

/** The epoch is written again without them; what the shards hold of them is worth nothing. */
function fenced(state: EpochsState, number: number, partitions: readonly number[]): EpochEffect[] {
  const epoch = epochOf(state, number, "committing");
  epoch.phase = "staged";
  const stale = partitions.flatMap((partition): Assignment[] => {
    const assignment = state.assignments.get(partition);
    return assignment === undefined || state.unplanned.has(partition) ? [] : [{ partition, assignment }];
  });
  for (const { partition } of stale) state.assignments.delete(partition);
  const effects = drop(state, partitions);
  return stale.length === 0 ? effects : [{ type: "discard", partitions: stale }, ...effects];
}

/** Takes partitions out of an epoch that is not being committed; whether it must be staged again. */
function reduce(state: EpochsState, epoch: Epoch, gone: ReadonlySet<number>): boolean {
  if (epoch.phase === "closing" || epoch.phase === "committing") return false;
  const barriers = epoch.barriers.filter(({ partition }) => !gone.has(partition));
  epoch.snapshotAt = epoch.snapshotAt.filter(({ partition }) => !gone.has(partition));
  epoch.snapshots = epoch.snapshots.filter(({ barrier }) => !gone.has(barrier.partition));
  if (barriers.length === epoch.barriers.length) return false;
  epoch.barriers = barriers;
  epoch.reduced = true;
  if (epoch.phase === "sealing") return false;
  epoch.partitions = epoch.partitions.filter(({ barrier }) => !gone.has(barrier.partition));
  epoch.records = countRecords(epoch);
  epoch.attempt = ++state.attempts;
  return true;
}

/** Takes partitions out of the books, and out of every epoch that is not being committed. */
function drop(state: EpochsState, partitions: readonly number[]): EpochEffect[] {
  const gone = new Set(partitions);
  for (const partition of partitions) {
    if (!state.assignments.has(partition)) {
      state.unplanned.delete(partition);
      state.restoring.delete(partition);
    }
    const { latest, ledgers, openSessions, pendingRevisions, barriers, checkpointed } = state;
    const books = [latest, ledgers, openSessions, pendingRevisions, barriers, checkpointed];
    for (const book of books) book.delete(partition);
  }
  // All epochs are reduced before one moves: the next may follow it at once.
  const again = state.inFlight.filter((epoch) => reduce(state, epoch, gone));
  const effects = again.flatMap((epoch) => stage(epoch));
  effects.push(...commitNext(state));
  return [...effects, ...planNext(state), ...endNext(state)];
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
    for (const { barrier } of epoch.snapshots) {
      if (state.barriers.has(barrier.partition)) state.checkpointed.set(barrier.partition, barrier.number);
    }
    effects.push({ type: "checkpoint", snapshots: epoch.snapshots });
  }
  effects.push(...planNext(state), ...commitNext(state));
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
