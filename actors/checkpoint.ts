/** The plain sessionizer's state as a checkpoint's part, and back. PURE. */
import { invariant } from "../schema/errors.ts";
import { joinLanes } from "../schema/hash64.ts";
import { CLOSE_REASONS } from "../schema/session.ts";
import {
  EVENT_TYPES,
  PAGE_FIELDS,
  PROFILE_FIELDS,
  type SessionEvent,
  type TextField,
} from "../schema/user_event.ts";
import {
  makePart,
  type OccurrenceColumns,
  type Part,
  type PartCounts,
  readParts,
} from "./checkpoint_part.ts";
import {
  type Occurrence,
  type PartitionState,
  remember,
  sameBytes,
  type StoredEvent,
} from "./sessionizer.ts";
import { routingHash } from "./shard.ts";

const encoder = new TextEncoder();
// A leading U+FEFF is a character of the value, not a byte order mark.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Gives the same texts the same id, counted from 1. */
class Texts {
  readonly #ids = new Map<string, number>();
  readonly parts: Uint8Array[] = [];
  bytes = 0;

  idOf(text: string | null): number {
    if (text === null) return 0;
    const known = this.#ids.get(text);
    if (known !== undefined) return known;
    const id = this.add(encoder.encode(text));
    this.#ids.set(text, id);
    return id;
  }

  add(bytes: Uint8Array): number {
    this.bytes += bytes.length;
    return this.parts.push(bytes);
  }
}

/** Gives events with the same texts in some fields the same id, counted from 0. */
class Tuples {
  readonly #ids = new Map<string, number>();
  /** The ids of the texts. */
  readonly tuples: (readonly number[])[] = [];
  /** The event before is mostly of the same session, and alike. */
  #last: { readonly event: SessionEvent; readonly id: number } | null = null;

  constructor(private readonly fields: readonly TextField[], private readonly texts: Texts) {}

  idOf(event: SessionEvent): number {
    const last = this.#last;
    if (last !== null && this.fields.every((field) => event[field] === last.event[field])) return last.id;
    const tuple = this.fields.map((field) => this.texts.idOf(event[field]));
    const name = tuple.join();
    const id = this.#ids.get(name) ?? this.tuples.push(tuple) - 1;
    this.#ids.set(name, id);
    this.#last = { event, id };
    return id;
  }
}

/** A partition's occurrences, open and remembered, as a part's bytes. It must stand at a barrier. */
export function encodeOccurrences(state: PartitionState): Uint8Array {
  invariant(state.finished.length === 0 && state.records === 0, "a checkpoint is of the state at a barrier");
  const occurrences = [...state.occurrences.values()].flat();
  if (occurrences.length === 0) return new Uint8Array(0);
  const texts = new Texts();
  const [profiles, pages] = [new Tuples(PROFILE_FIELDS, texts), new Tuples(PAGE_FIELDS, texts)];
  const ids = occurrences.map(({ sessionId, key, events }) => {
    const id = texts.idOf(sessionId);
    return {
      sessionId: id,
      key: sameBytes(key, texts.parts[id - 1]!) ? id : texts.add(key),
      profiles: events.map(({ event }) => profiles.idOf(event)),
      pages: events.map(({ event }) => pages.idOf(event)),
    };
  });
  const { columns, bytes } = makePart({
    occurrences: occurrences.length,
    events: occurrences.reduce((sum, { events }) => sum + events.length, 0),
    profiles: profiles.tuples.length,
    pages: pages.tuples.length,
    strings: texts.parts.length,
    stringBytes: texts.bytes,
  });
  let event = 0;
  occurrences.forEach((occurrence, i) => {
    columns.sessionId[i] = ids[i]!.sessionId;
    columns.key[i] = ids[i]!.key;
    columns.profile.set(ids[i]!.profiles, event);
    columns.page.set(ids[i]!.pages, event);
    event = writeOccurrence(columns, occurrence, i, event);
  });
  columns.profiles.set(profiles.tuples.flat());
  columns.pages.set(pages.tuples.flat());
  let end = 0;
  texts.parts.forEach((text, i) => {
    columns.stringBytes.set(text, end);
    columns.stringEnds[i] = end += text.length;
  });
  return bytes;
}

/** Writes what is not an id of a text; returns the event after the occurrence's last. */
function writeOccurrence(
  columns: OccurrenceColumns,
  occurrence: Occurrence,
  i: number,
  first: number,
): number {
  const { key, firstOffset, closed, rowEpoch, revision, amended, events } = occurrence;
  columns.keyHash[i] = routingHash(key);
  columns.firstOffset[i] = firstOffset;
  columns.rowEpoch[i] = rowEpoch ?? NaN;
  columns.revision[i] = revision;
  columns.amended[i] = amended;
  columns.closed[i] = closed === null ? 0 : 1 + CLOSE_REASONS.indexOf(closed);
  let at = first;
  for (const { event, offset, idHash } of events) {
    columns.offset[at] = offset;
    columns.time[at] = event.time;
    columns.idHash[2 * at] = Number(idHash & 0xffffffffn);
    columns.idHash[2 * at + 1] = Number(idHash >> 32n);
    columns.userId[at] = event.userId;
    columns.eventType[at] = EVENT_TYPES.indexOf(event.eventType);
    at++;
  }
  return columns.eventEnds[i] = at;
}

/**
 * Puts the occurrences of one or several joined {@linkcode encodeOccurrences} back, those whose key's routing hash
 * `isMine`.
 *
 * @param state an empty partition
 */
export function restoreOccurrences(
  state: PartitionState,
  parts: Uint8Array,
  isMine: (keyHash: number) => boolean,
): void {
  for (const part of readParts(parts)) {
    const reader = new PartReader(part);
    for (let i = 0; i < part.counts.occurrences; i++) {
      if (!isMine(part.columns.keyHash[i]!)) continue;
      const occurrence = reader.occurrence(i);
      remember(state, occurrence);
      if (occurrence.closed === null) state.openSessions++;
      state.held += occurrence.closed === null ? occurrence.events.length : occurrence.amended;
    }
  }
}

/** Makes objects of a part's columns; texts, profiles and pages are made once. */
class PartReader {
  readonly #columns: OccurrenceColumns;
  readonly #texts: (string | undefined)[];
  readonly #profiles: readonly Partial<SessionEvent>[];
  readonly #pages: readonly Partial<SessionEvent>[];

  constructor({ columns, counts }: Part) {
    this.#columns = columns;
    this.#texts = new Array(counts.strings + 1);
    this.#profiles = this.#tuples(columns.profiles, counts.profiles, PROFILE_FIELDS);
    this.#pages = this.#tuples(columns.pages, counts.pages, PAGE_FIELDS);
  }

  occurrence(index: number): Occurrence {
    const { eventEnds, firstOffset, closed, rowEpoch, revision, amended, sessionId, key } = this.#columns;
    const id = this.#text(sessionId[index]!)!;
    const events: StoredEvent[] = [];
    let [start, end] = [Infinity, -Infinity];
    for (let e = index === 0 ? 0 : eventEnds[index - 1]!; e < eventEnds[index]!; e++) {
      const stored = this.#event(e, id);
      start = Math.min(start, stored.event.time);
      end = Math.max(end, stored.event.time);
      events.push(stored);
    }
    return {
      sessionId: id,
      key: this.#bytes(key[index]!).slice(),
      firstOffset: firstOffset[index]!,
      lastOffset: events[events.length - 1]!.offset,
      start,
      end,
      events,
      eventIds: new Set(events.map(({ idHash }) => idHash)),
      closed: closed[index] === 0 ? null : CLOSE_REASONS[closed[index]! - 1]!,
      rowEpoch: Number.isNaN(rowEpoch[index]!) ? null : rowEpoch[index]!,
      revision: revision[index]!,
      amended: amended[index]!,
    };
  }

  #event(index: number, sessionId: string): StoredEvent {
    const { time, offset, idHash, userId, eventType, profile, page } = this.#columns;
    const event = {
      sessionId,
      userId: userId[index]!,
      eventType: EVENT_TYPES[eventType[index]!]!,
      time: time[index]!,
      ...this.#profiles[profile[index]!],
      ...this.#pages[page[index]!],
    } as SessionEvent;
    return { event, offset: offset[index]!, idHash: joinLanes(idHash[2 * index]!, idHash[2 * index + 1]!) };
  }

  #tuples(
    ids: Uint32Array,
    count: PartCounts["pages"],
    fields: readonly TextField[],
  ): Partial<SessionEvent>[] {
    return Array.from({ length: count }, (_, tuple) =>
      Object.fromEntries(
        fields.map((field, i) => [field, this.#text(ids[tuple * fields.length + i]!)]),
      ));
  }

  #text(id: number): string | null {
    if (id === 0) return null;
    return this.#texts[id] ??= decoder.decode(this.#bytes(id));
  }

  #bytes(id: number): Uint8Array {
    const { stringEnds, stringBytes } = this.#columns;
    return stringBytes.subarray(id === 1 ? 0 : stringEnds[id - 2]!, stringEnds[id - 1]!);
  }
}
