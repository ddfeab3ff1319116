/** What is told of a session that is still open, and how it is asked for. NOUNS, no IO. */
import type { EventType } from "./user_event.ts";

/** Open sessions that one answer holds at most. */
export const OPEN_SESSIONS_LISTED_MAX = 100;

/** Which open sessions: those of an id, those of a reader, or the ones with the newest events. */
export type OpenSessionQuery =
  & { readonly limit: number }
  & (
    | { readonly by: "session_id"; readonly sessionId: string }
    | { readonly by: "user_id"; readonly userId: number }
    | { readonly by: "recent" }
  );

/** An open session, with what decides when it closes. Times are epoch milliseconds. */
export interface OpenSession {
  readonly sessionId: string;
  readonly userId: number;
  readonly partition: number;
  readonly shard: number;
  /** Offset of the event that opened it. */
  readonly firstOffset: number;
  readonly lastOffset: number;
  readonly start: number;
  /** Its greatest event time. */
  readonly end: number;
  readonly events: number;
  readonly brand: string | null;
  /** The event with the greatest time. */
  readonly lastEvent: {
    readonly type: EventType;
    readonly time: number;
    readonly offset: number;
    readonly pageUrl: string | null;
  };
  /** The greatest event time that its shard has seen of its partition. */
  readonly latestEventTime: number | null;
  /** Its partition's watermark at the newest barrier; null while unknown. */
  readonly watermark: number | null;
  readonly sessionTimeoutMs: number;
  readonly watermarkDelayMs: number;
  readonly maxSessionDurationMs: number;
  readonly maxSessionEvents: number;
  readonly maxClockSkewMs: number;
}

/** What the session actors answered. */
export interface Inspection {
  /** Newest last event first; at most the limit that was asked for. */
  readonly sessions: readonly OpenSession[];
  /** Shards that did not answer in time: their sessions are missing. */
  readonly silentShards: readonly number[];
}
