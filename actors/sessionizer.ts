/**
 * The sessionizer: PURE. A partition's state is a function of its records and of its barriers with what they carry;
 * nothing here reads a clock, a setting of its own or the outside. State is changed in place, for speed; effects are
 * returned. One instance holds the part of each partition whose session ids hash to its shard.
 *
 * The rules are those of ARCHITECTURE.md, "Sessions".
 */
import type { PartitionBarrier, SessionSemantics } from "../schema/epoch.ts";
import { textHash64 } from "../schema/hash64.ts";
import type { CloseReason } from "../schema/session.ts";
import { type AcceptedEvent, parseEvent, type Rejected, type SessionEvent } from "../schema/user_event.ts";
import { keyAt, type RecordBatch, valueAt } from "../sources/source.ts";
import { eraseOccurrences } from "./erase_occurrences.ts";
import { capped, clockSkew, KEY_MISMATCH, NO_KEY, tooLate } from "./rejections.ts";

/** An accepted event with its place in the log. */
export interface StoredEvent {
  readonly event: SessionEvent;
  readonly offset: number;
  /** The hash of its id, which stands for the id: see `hash64.ts`. */
  readonly idHash: bigint;
}

/** One session: an occurrence of its id. Open while `closed` is null; afterwards remembered until it is forgotten. */
export interface Occurrence {
  readonly sessionId: string;
  /** The key of its records, by which they were routed: the session id's bytes, unless `KAFKA_KEY=trust`. */
  readonly key: Uint8Array;
  /** Offset of the event that opened it. */
  readonly firstOffset: number;
  lastOffset: number;
  /** Least and greatest event time, epoch milliseconds. */
  start: number;
  end: number;
  /** In offset order. */
  readonly events: StoredEvent[];
  readonly eventIds: Set<bigint>;
  closed: CloseReason | null;
  /** The epoch that its newest row left with, revision {@linkcode revision}; null before the first. */
  rowEpoch: number | null;
  revision: number;
  /** Events that joined since that row left: above 0, a revision is pending. */
  amended: number;
}

/** An event that cannot be used, with the bytes it came in. */
export interface DeadLetter extends Rejected {
  readonly partition: number;
  readonly offset: number;
  readonly timestamp: number;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
}

/** What happened in a partition since its last barrier, and what it holds now; counted in records. */
export interface PartitionCounts {
  readonly records: number;
  readonly duplicates: number;
  readonly deadLetters: number;
  /** Events of the sessions that this barrier finished, those that its revisions brought in, and those that it erased. */
  readonly inSessions: number;
  /** Of these, the erased ones: in no row. Absent where there are none. */
  readonly erased?: number;
  /** Events in sessions that are still open, and those that wait for a revision. */
  readonly held: number;
  readonly openSessions: number;
  /** Sessions that wait for a revision. */
  readonly pendingRevisions: number;
}

/** One partition's part of a shard. */
export interface PartitionState {
  readonly partition: number;
  semantics: SessionSemantics;
  /** The occurrences that an event may still belong to, by session id. */
  readonly occurrences: Map<string, Occurrence[]>;
  /** Finished since the last barrier. */
  finished: Occurrence[];
  /** Those that wait for a revision. */
  readonly pending: Set<Occurrence>;
  deadLetters: DeadLetter[];
  /** The broker's timestamps of the events that ended `finished` by `session_end`; for metrics only. */
  closingTimes: number[];
  /** The latest time of an accepted event or a duplicate; null before the first. */
  latestEventTime: number | null;
  watermark: number | null;
  records: number;
  duplicates: number;
  held: number;
  openSessions: number;
}

/** A revision; the epoch whose row it replaces, and that row's events. */
export interface Revised {
  readonly occurrence: Occurrence;
  readonly replacesEpoch: number;
  readonly replacesEvents: number;
}

/** What a barrier brought out of a partition's part. */
export interface PartitionSeal {
  readonly barrier: PartitionBarrier;
  readonly finished: readonly Occurrence[];
  /** The sessions that it revised, and whose rows, as they are now, replace committed ones. */
  readonly revised: readonly Revised[];
  readonly deadLetters: readonly DeadLetter[];
  readonly closingTimes: readonly number[];
  readonly counts: PartitionCounts;
  readonly latestEventTime: number | null;
}

/** The state of a partition without a past. */
export function emptyPartition(partition: number, semantics: SessionSemantics): PartitionState {
  return {
    partition,
    semantics,
    occurrences: new Map(),
    finished: [],
    pending: new Set(),
    deadLetters: [],
    closingTimes: [],
    latestEventTime: null,
    watermark: null,
    records: 0,
    duplicates: 0,
    held: 0,
    openSessions: 0,
  };
}

const encoder = new TextEncoder();

/** Takes in a batch of the partition's records, in offset order. */
export function acceptBatch(state: PartitionState, batch: RecordBatch): void {
  for (let i = 0; i < batch.count; i++) {
    state.records++;
    const offset = batch.offsets[i]!;
    const timestamp = batch.timestamps[i]!;
    const key = keyAt(batch, i);
    const value = valueAt(batch, i);
    const parsed = parseEvent(value);
    const rejected = "rejected" in parsed
      ? parsed.rejected
      : checkRecord(parsed.event, key, timestamp, state.semantics) ??
        acceptEvent(state, parsed.event, key!, {
          offset,
          timestamp,
          idHash: textHash64(parsed.event.eventId),
        });
    if (rejected !== null) {
      // Copies: the batch's buffers are far larger than one bad record.
      const copies = { key: key?.slice() ?? null, value: value?.slice() ?? null };
      state.deadLetters.push({ ...rejected, partition: state.partition, offset, timestamp, ...copies });
    }
  }
}

/** What a valid event must agree on with the record that carries it: its key and the broker's timestamp. */
function checkRecord(
  event: AcceptedEvent,
  key: Uint8Array | null,
  timestamp: number,
  semantics: SessionSemantics,
): Rejected | null {
  if (key === null) return NO_KEY;
  if (semantics.keyCheck === "session_id" && !sameBytes(key, encoder.encode(event.sessionId))) {
    return KEY_MISMATCH;
  }
  const ahead = event.time - timestamp;
  if (event.time > timestamp + semantics.maxClockSkewMs) return clockSkew(ahead, semantics);
  return null;
}

/** Whether two byte strings are the same. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** Where a record stands in its partition, the broker's timestamp of it, and the hash of its event's id. */
interface Place {
  readonly offset: number;
  readonly timestamp: number;
  readonly idHash: bigint;
}

/** Gives the event to the occurrence it belongs to, or opens one. Returns why it cannot. */
function acceptEvent(
  state: PartitionState,
  event: AcceptedEvent,
  key: Uint8Array,
  place: Place,
): Rejected | null {
  const { semantics } = state;
  // One id under two keys may live on two shards, so those are two sessions: the number of shards must not matter.
  const candidates = (state.occurrences.get(event.sessionId) ?? []).filter((known) =>
    sameBytes(known.key, key)
  );
  const found = belongsTo(candidates, event.time, semantics.sessionTimeoutMs);
  if (found !== null) {
    if (found.eventIds.has(place.idHash)) {
      state.duplicates++;
      noteTime(state, event.time);
      return null;
    }
    const cap = passesCap(found, event.time, semantics);
    if (found.closed === null) {
      if (cap === null) return join(state, found, event, place);
      close(state, found, "cap");
      return open(state, event, key, place);
    }
    if (cap === "events") return capped(found.events.length);
    if (cap === null) return join(state, found, event, place);
  }
  const { watermark } = state;
  if (
    watermark !== null && event.time + semantics.sessionTimeoutMs + semantics.allowedLatenessMs < watermark
  ) return tooLate(watermark - event.time);
  return open(state, event, key, place);
}

/**
 * The occurrence that holds an event time within its window; the nearest, then an open one, then the lowest first
 * offset. One ended by `session_end`, a cap or a drain takes nothing after its end.
 */
function belongsTo(candidates: readonly Occurrence[], time: number, timeout: number): Occurrence | null {
  let best: Occurrence | null = null;
  let bestDistance = Infinity;
  for (const candidate of candidates) {
    const byGap = candidate.closed === null || candidate.closed === "timeout" || candidate.closed === "idle";
    if (time < candidate.start - timeout || time > candidate.end + (byGap ? timeout : 0)) continue;
    const distance = Math.max(candidate.start - time, time - candidate.end, 0);
    const goesBefore = best === null || distance < bestDistance ||
      (distance === bestDistance && precedes(candidate, best));
    if (goesBefore) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** At equal distance: an open one goes first, then the one that was opened first. */
function precedes(a: Occurrence, b: Occurrence): boolean {
  if ((a.closed === null) !== (b.closed === null)) return a.closed === null;
  return a.firstOffset < b.firstOffset;
}

/** Which cap the occurrence would pass with an event at `time`. */
function passesCap(
  occurrence: Occurrence,
  time: number,
  semantics: SessionSemantics,
): "events" | "duration" | null {
  if (occurrence.events.length >= semantics.maxSessionEvents) return "events";
  const duration = Math.max(occurrence.end, time) - Math.min(occurrence.start, time);
  return duration > semantics.maxSessionDurationMs ? "duration" : null;
}

function open(state: PartitionState, event: AcceptedEvent, key: Uint8Array, place: Place): null {
  const { offset } = place;
  const occurrence: Occurrence = {
    sessionId: event.sessionId,
    key: key.slice(),
    firstOffset: offset,
    lastOffset: offset,
    start: event.time,
    end: event.time,
    events: [],
    eventIds: new Set(),
    closed: null,
    rowEpoch: null,
    revision: 0,
    amended: 0,
  };
  remember(state, occurrence);
  state.openSessions++;
  return join(state, occurrence, event, place);
}

/** Puts an occurrence into the state, with what it means for a revision; occurrences of one id stay in the order of their first offset. */
export function remember(state: PartitionState, occurrence: Occurrence): void {
  const known = state.occurrences.get(occurrence.sessionId);
  if (known === undefined) state.occurrences.set(occurrence.sessionId, [occurrence]);
  else known.push(occurrence);
  if (occurrence.amended > 0) state.pending.add(occurrence);
}

function join(state: PartitionState, occurrence: Occurrence, event: AcceptedEvent, place: Place): null {
  const { offset, timestamp, idHash } = place;
  const { eventId: _, ...kept } = event;
  occurrence.events.push({ event: kept, offset, idHash });
  occurrence.eventIds.add(idHash);
  occurrence.lastOffset = offset;
  occurrence.start = Math.min(occurrence.start, event.time);
  occurrence.end = Math.max(occurrence.end, event.time);
  state.held++;
  noteTime(state, event.time);
  if (occurrence.rowEpoch !== null) {
    occurrence.amended++;
    state.pending.add(occurrence);
  }
  if (event.eventType === "session_end" && occurrence.closed === null) {
    close(state, occurrence, "session_end");
    state.closingTimes.push(timestamp);
  }
  return null;
}

function noteTime(state: PartitionState, time: number): void {
  state.latestEventTime = Math.max(state.latestEventTime ?? time, time);
}

function close(state: PartitionState, occurrence: Occurrence, reason: CloseReason): void {
  occurrence.closed = reason;
  state.openSessions--;
  state.finished.push(occurrence);
}

/**
 * Closes an epoch in the partition: erases, closes by the watermark, close-open, revisions, then forget. The finished sessions
 * leave with the seal, and stay remembered.
 */
export function sealPartition(state: PartitionState, barrier: PartitionBarrier): PartitionSeal {
  state.watermark = barrier.watermark;
  const erased = eraseOccurrences(state, barrier.erase ?? []);
  closeByBarrier(state, barrier);
  const { finished, deadLetters, closingTimes, records, duplicates } = state;
  let inSessions = erased;
  for (const occurrence of finished) {
    occurrence.rowEpoch = barrier.epoch;
    inSessions += occurrence.events.length;
  }
  const revised: Revised[] = [];
  if (barrier.revise) {
    for (const occurrence of state.pending) {
      inSessions += occurrence.amended;
      revised.push(revise(occurrence, barrier.epoch));
    }
    state.pending.clear();
  }
  state.held -= inSessions;
  state.finished = [];
  state.deadLetters = [];
  state.closingTimes = [];
  state.records = 0;
  state.duplicates = 0;
  if (barrier.forgetBefore !== null) forget(state, barrier.forgetBefore);
  const { held, openSessions, latestEventTime } = state;
  const [pendingRevisions, letters] = [state.pending.size, deadLetters.length];
  const books = { records, duplicates, deadLetters: letters, inSessions, held };
  const counts = { ...books, openSessions, pendingRevisions, ...(erased === 0 ? {} : { erased }) };
  return { barrier, finished, revised, deadLetters, closingTimes, counts, latestEventTime };
}

/** The session's row leaves again, with all that it holds now. */
function revise(occurrence: Occurrence, epoch: number): Revised {
  const replacesEpoch = occurrence.rowEpoch!;
  const replacesEvents = occurrence.events.length - occurrence.amended;
  occurrence.rowEpoch = epoch;
  occurrence.revision++;
  occurrence.amended = 0;
  return { occurrence, replacesEpoch, replacesEvents };
}

/** Closes every open occurrence that the barrier ends, with the reason that ended it first. */
function closeByBarrier(state: PartitionState, barrier: PartitionBarrier): void {
  const { sessionTimeoutMs } = state.semantics;
  const { watermark, eventWatermark, closeOpen } = barrier;
  if (watermark === null && !closeOpen) return;
  for (const occurrences of state.occurrences.values()) {
    for (const occurrence of occurrences) {
      if (occurrence.closed !== null) continue;
      const deadline = occurrence.end + sessionTimeoutMs;
      if (eventWatermark !== null && deadline < eventWatermark) close(state, occurrence, "timeout");
      else if (watermark !== null && deadline < watermark) close(state, occurrence, "idle");
      else if (closeOpen) close(state, occurrence, "drain");
    }
  }
}

/** Forgets the finished sessions that no event in time can reach any more, unless a revision is pending. */
function forget(state: PartitionState, before: number): void {
  const { sessionTimeoutMs } = state.semantics;
  for (const [sessionId, occurrences] of state.occurrences) {
    const kept = occurrences.filter(({ closed, end, amended }) => {
      if (closed === null || amended > 0) return true;
      const reach = closed === "timeout" || closed === "idle" ? end + sessionTimeoutMs : end;
      return reach >= before;
    });
    if (kept.length === 0) state.occurrences.delete(sessionId);
    else if (kept.length < occurrences.length) state.occurrences.set(sessionId, kept);
  }
}
