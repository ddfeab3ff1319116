/** Why the sessionizer cannot use an event that is valid by itself: reason and sentence. */
import type { SessionSemantics } from "../schema/epoch.ts";
import type { Rejected } from "../schema/user_event.ts";

export const NO_KEY: Rejected = {
  reason: "no_key",
  detail: "The record has no key: its key must be the session_id.",
};

export const KEY_MISMATCH: Rejected = {
  reason: "key_mismatch",
  detail: "The record's key is not the event's session_id.",
};

/** The event is too far ahead of the broker. */
export function clockSkew(ahead: number, { maxClockSkewMs }: SessionSemantics): Rejected {
  const detail = `Event times may be at most ${maxClockSkewMs} ms ahead of the broker: this is ${ahead} ms.`;
  return { reason: "clock_skew", detail };
}

/** Its session is full. */
export function capped(events: number): Rejected {
  return { reason: "cap", detail: `Its session ended with ${events} events, the most one may have.` };
}

/** It fits no session that is known, and may not open one. */
export function tooLate(behind: number): Rejected {
  return { reason: "too_late", detail: `It arrived ${behind} ms behind its partition's watermark.` };
}
