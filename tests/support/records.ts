/** Events, settings and barriers for tests, with what a test does not care about filled in. */
import fc from "fast-check";
import type { PartitionBarrier, SessionSemantics } from "../../schema/epoch.ts";
import { type AcceptedEvent, EVENT_TYPES, TEXT_FIELDS, type TextField } from "../../schema/user_event.ts";

export const MINUTE = 60_000;

/** 2023-11-14T22:13:20Z. */
export const T0 = 1_700_000_000_000;

export const SEMANTICS: SessionSemantics = {
  sessionTimeoutMs: 30 * MINUTE,
  watermarkDelayMs: MINUTE,
  allowedLatenessMs: 2 * MINUTE,
  maxSessionDurationMs: 24 * 60 * MINUTE,
  maxSessionEvents: 50_000,
  maxClockSkewMs: MINUTE,
  keyCheck: "session_id",
};

const NO_TEXTS = Object.fromEntries(TEXT_FIELDS.map((field) => [field, null])) as Record<TextField, null>;

/** An accepted event. */
export function eventOf(fields: Partial<AcceptedEvent> = {}): AcceptedEvent {
  return {
    eventId: "e1",
    sessionId: "s1",
    userId: 7,
    eventType: "search",
    time: T0,
    ...NO_TEXTS,
    ...fields,
  };
}

/** The bytes of an event as a producer writes it. */
export function eventBytes(fields: Readonly<Record<string, unknown>> = {}): Uint8Array {
  const required = { event_id: "e1", session_id: "s1", user_id: 7, event_type: "search", timestamp: T0 };
  return new TextEncoder().encode(JSON.stringify({ ...required, ...fields }));
}

/** A partition's first barrier, over no records. */
export function barrierOf(fields: Partial<PartitionBarrier> = {}): PartitionBarrier {
  return {
    partition: 0,
    number: 1,
    epoch: 1,
    from: 0,
    to: 0,
    clock: T0,
    eventWatermark: null,
    watermark: null,
    idleSince: null,
    forgetBefore: null,
    closeOpen: false,
    revise: false,
    lastRecord: null,
    ...fields,
  };
}

/** Any well-formed text, often empty, with BOM, NUL and characters beyond the BMP. */
export const anyText: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom("", "\ufeff", "\ufeffx", "\0", "__proto__", "a\nb", "\u{1f600}", "e\u0301"),
  fc.string({ unit: "binary", maxLength: 12 }),
);

/** An accepted event: few values each, so that they meet. */
export const anyEvent: fc.Arbitrary<AcceptedEvent> = fc.record({
  eventId: fc.uuid(),
  sessionId: fc.constantFrom("s1", "__proto__", "\ufeffs", "\0"),
  userId: fc.nat({ max: 2 ** 32 - 1 }),
  eventType: fc.constantFrom(...EVENT_TYPES),
  time: fc.integer({ min: T0, max: T0 + 10 * MINUTE }),
  ...Object.fromEntries(
    TEXT_FIELDS.map((field) => [field, fc.constantFrom(null, null, "a", "b", "\u{1f600}", "__proto__")]),
  ) as Record<TextField, fc.Arbitrary<string | null>>,
}, { noNullPrototype: true });
