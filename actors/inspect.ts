/** What a shard tells of its open sessions: PURE, reads the state and changes nothing. */
import { OPEN_SESSIONS_LISTED_MAX, type OpenSession, type OpenSessionQuery } from "../schema/open_session.ts";
import type { Occurrence, PartitionState, StoredEvent } from "./sessionizer.ts";

/** An open occurrence with the partition that it is in. */
interface Found {
  readonly state: PartitionState;
  readonly occurrence: Occurrence;
}

/** The open sessions of `states` that the query means, the newest last event first, at most its limit. */
export function inspectSessions(
  states: Iterable<PartitionState>,
  shard: number,
  query: OpenSessionQuery,
): OpenSession[] {
  const limit = Math.min(query.limit, OPEN_SESSIONS_LISTED_MAX);
  let found: Found[] = [];
  for (const state of states) {
    for (const occurrence of candidates(state, query)) {
      if (occurrence.closed !== null) continue;
      if (query.by === "user_id" && occurrence.events[0]!.event.userId !== query.userId) continue;
      found.push({ state, occurrence });
      // Few are wanted of many: what can't be among them is let go now and then.
      if (found.length >= 16 * OPEN_SESSIONS_LISTED_MAX) found = newest(found, limit);
    }
  }
  return newest(found, limit).map(({ state, occurrence }) => describe(state, occurrence, shard));
}

function* candidates(state: PartitionState, query: OpenSessionQuery): Generator<Occurrence> {
  if (query.by === "session_id") return yield* state.occurrences.get(query.sessionId) ?? [];
  for (const occurrences of state.occurrences.values()) yield* occurrences;
}

function newest(found: Found[], limit: number): Found[] {
  return found.sort((a, b) => b.occurrence.end - a.occurrence.end).slice(0, limit);
}

function describe(state: PartitionState, occurrence: Occurrence, shard: number): OpenSession {
  const { semantics, partition, latestEventTime, watermark } = state;
  const { sessionId, firstOffset, lastOffset, start, end, events } = occurrence;
  const last = events.reduce((a, b) => isLater(b, a) ? b : a);
  const { sessionTimeoutMs, watermarkDelayMs, maxSessionDurationMs } = semantics;
  const { maxSessionEvents, maxClockSkewMs } = semantics;
  return {
    sessionId,
    userId: events[0]!.event.userId,
    partition,
    shard,
    firstOffset,
    lastOffset,
    start,
    end,
    events: events.length,
    brand: events.find(({ event }) => event.brand !== null)?.event.brand ?? null,
    lastEvent: {
      type: last.event.eventType,
      time: last.event.time,
      offset: last.offset,
      pageUrl: last.event.page_url,
    },
    latestEventTime,
    watermark,
    sessionTimeoutMs,
    watermarkDelayMs,
    maxSessionDurationMs,
    maxSessionEvents,
    maxClockSkewMs,
  };
}

function isLater(a: StoredEvent, b: StoredEvent): boolean {
  return a.event.time > b.event.time || (a.event.time === b.event.time && a.offset > b.offset);
}
