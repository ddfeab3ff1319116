/** The sessionizer's state as text, a line an occurrence: what a checkpoint holds. PURE. */
import { invariant } from "../schema/errors.ts";
import type { CloseReason } from "../schema/session.ts";
import { type AcceptedEvent, type EventType, TEXT_FIELDS, type TextField } from "../schema/user_event.ts";
import {
  type Occurrence,
  type PartitionState,
  remember,
  sameBytes,
  type StoredEvent,
} from "./sessionizer.ts";

/** An occurrence as a line's JSON; its events' text fields are in the order of the contract. */
interface OccurrenceLine {
  id: string;
  /** The records' key as bytes, where it is not the id. */
  key?: number[];
  first: number;
  closed: CloseReason | null;
  events: EventLine[];
  /** Of its newest row: the epoch (checkpoints before semantics version 2 lack it) and the revision, where not 0. */
  row?: number;
  revision?: number;
  /** Events that wait for a revision, where there are any. */
  amended?: number;
}

type EventLine = [
  offset: number,
  eventId: string,
  userId: number,
  type: EventType,
  time: number,
  ...(string | null)[],
];

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A partition's occurrences, open and remembered, as UTF-8 lines. It must stand at a barrier. */
export function encodeOccurrences(state: PartitionState): Uint8Array {
  invariant(state.finished.length === 0 && state.records === 0, "a checkpoint is of the state at a barrier");
  const lines: string[] = [];
  for (const occurrences of state.occurrences.values()) {
    for (const { sessionId, key, firstOffset, closed, events, rowEpoch, revision, amended } of occurrences) {
      const line: OccurrenceLine = {
        id: sessionId,
        first: firstOffset,
        closed,
        events: events.map(eventLine),
      };
      if (rowEpoch !== null) line.row = rowEpoch;
      if (revision > 0) line.revision = revision;
      if (amended > 0) line.amended = amended;
      if (!sameBytes(key, encoder.encode(sessionId))) line.key = [...key];
      lines.push(JSON.stringify(line) + "\n");
    }
  }
  return encoder.encode(lines.join(""));
}

function eventLine({ event, offset }: StoredEvent): EventLine {
  const { eventId, userId, eventType, time } = event;
  return [offset, eventId, userId, eventType, time, ...TEXT_FIELDS.map((field) => event[field])];
}

/**
 * Puts the occurrences of {@linkcode encodeOccurrences} back, those whose key `isMine`.
 *
 * @param state an empty partition
 */
export function restoreOccurrences(
  state: PartitionState,
  lines: Uint8Array,
  isMine: (key: Uint8Array) => boolean,
): void {
  for (const line of decoder.decode(lines).split("\n")) {
    if (line === "") continue;
    const occurrence = occurrenceOf(JSON.parse(line) as OccurrenceLine);
    if (!isMine(occurrence.key)) continue;
    remember(state, occurrence);
    if (occurrence.closed === null) state.openSessions++;
    state.held += occurrence.closed === null ? occurrence.events.length : occurrence.amended;
  }
}

/** Stands for a row's epoch that a checkpoint does not say: below all epochs, so no file is found by it. */
const UNKNOWN_EPOCH = 0;

function occurrenceOf(line: OccurrenceLine): Occurrence {
  const { id, key, first, closed, events, row = UNKNOWN_EPOCH, revision = 0, amended = 0 } = line;
  const stored = events.map((line) => storedEvent(id, line));
  const times = stored.map(({ event }) => event.time);
  return {
    sessionId: id,
    key: key === undefined ? encoder.encode(id) : Uint8Array.from(key),
    firstOffset: first,
    lastOffset: stored[stored.length - 1]!.offset,
    start: times.reduce((a, b) => Math.min(a, b)),
    end: times.reduce((a, b) => Math.max(a, b)),
    events: stored,
    eventIds: new Set(stored.map(({ event }) => event.eventId)),
    closed,
    rowEpoch: closed === null ? null : row,
    revision,
    amended,
  };
}

function storedEvent(sessionId: string, line: EventLine): StoredEvent {
  const [offset, eventId, userId, eventType, time, ...values] = line;
  const texts = {} as Record<TextField, string | null>;
  TEXT_FIELDS.forEach((field, i) => texts[field] = values[i] ?? null);
  const event: AcceptedEvent = { eventId, sessionId, userId, eventType, time, ...texts };
  return { event, offset };
}
