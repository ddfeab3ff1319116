/** What a shard tells of its open sessions, from the fast state: what `inspect.ts` tells. PURE, changes nothing. */
import { OPEN_SESSIONS_LISTED_MAX, type OpenSession, type OpenSessionQuery } from "../schema/open_session.ts";
import { hashBytes } from "../schema/text_table.ts";
import { EVENT_TYPES, PAGE_FIELDS, PROFILE_FIELDS } from "../schema/user_event.ts";
import { EventBlock } from "./event_blocks.ts";
import type { FastPartition } from "./fast_partition.ts";

const URL_FIELD = PAGE_FIELDS.indexOf("page_url");
const encoder = new TextEncoder();
// A leading U+FEFF is a character of the value, not a byte order mark.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** An open occurrence with the partition that it is in. */
interface Found {
  readonly partition: FastPartition;
  readonly occurrence: number;
}

/** The open sessions that the query means, the newest last event first, at most its limit. */
export function inspectPartitions(
  partitions: Iterable<FastPartition>,
  shard: number,
  query: OpenSessionQuery,
): OpenSession[] {
  const limit = Math.min(query.limit, OPEN_SESSIONS_LISTED_MAX);
  const isMeant = predicate(query);
  let found: Found[] = [];
  for (const partition of partitions) {
    const { top, count, closed } = partition.table;
    for (let occurrence = 1; occurrence <= top; occurrence++) {
      if (count[occurrence] === 0 || closed[occurrence] !== 0 || !isMeant(partition, occurrence)) continue;
      found.push({ partition, occurrence });
      // Few are wanted of many: what can't be among them is let go now and then.
      if (found.length >= 16 * OPEN_SESSIONS_LISTED_MAX) found = newest(found, limit);
    }
  }
  return newest(found, limit).map(({ partition, occurrence }) => describe(partition, occurrence, shard));
}

function predicate(query: OpenSessionQuery): (partition: FastPartition, occurrence: number) => boolean {
  switch (query.by) {
    case "recent":
      return () => true;
    case "user_id":
      // The table's is the reader of the first event.
      return ({ table }, occurrence) => table.userId[occurrence] === query.userId;
    case "session_id": {
      if (!query.sessionId.isWellFormed()) return () => false;
      const bytes = encoder.encode(query.sessionId);
      const hash = hashBytes(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length);
      return ({ table }, occurrence) => table.hasId(occurrence, bytes, hash);
    }
  }
}

function newest(found: Found[], limit: number): Found[] {
  const endOf = ({ partition, occurrence }: Found) => partition.table.end[occurrence]!;
  return found.sort((a, b) => endOf(b) - endOf(a)).slice(0, limit);
}

function describe(
  { table, memory, ...state }: FastPartition,
  occurrence: number,
  shard: number,
): OpenSession {
  const { arena, known: { texts, profiles, pages } } = memory;
  const { sessionTimeoutMs, watermarkDelayMs, maxSessionDurationMs, maxSessionEvents, maxClockSkewMs } =
    state.semantics;
  const textOf = (id: number) => id === 0 ? null : decoder.decode(texts.bytesOf(id));
  const block = new EventBlock(arena);
  table.open(block, occurrence);
  const count = table.count[occurrence]!;
  let last = 0;
  let brand = 0;
  for (let i = 0; i < count; i++) {
    if (block.timeOf(i) >= block.timeOf(last)) last = i;
    brand ||= profiles.values[block.profileOf(i) * PROFILE_FIELDS.length]!;
  }
  const what = block.what(last);
  return {
    sessionId: decoder.decode(table.sessionId(occurrence)),
    userId: block.userIdOf(0),
    partition: state.partition,
    shard,
    firstOffset: table.firstOffset[occurrence]!,
    lastOffset: block.offsetOf(count - 1),
    start: table.start[occurrence]!,
    end: table.end[occurrence]!,
    events: count,
    brand: textOf(brand),
    lastEvent: {
      type: EVENT_TYPES[what & 15]!,
      time: block.timeOf(last),
      offset: block.offsetOf(last),
      pageUrl: textOf(pages.values[(what >>> 4) * PAGE_FIELDS.length + URL_FIELD]!),
    },
    latestEventTime: state.latestEventTime,
    watermark: state.watermark,
    sessionTimeoutMs,
    watermarkDelayMs,
    maxSessionDurationMs,
    maxSessionEvents,
    maxClockSkewMs,
  };
}
