/**
 * An event: its fields and reasons of rejection, and the parser that the compiled contract (`event_contract.ts`) decides for.
 */
import { createRequire } from "node:module";
import { EVENT_TIME_MIN_MS, EVENT_VALUE_BYTES_MAX } from "./limits.ts";
import { parseRfc3339 } from "./rfc3339.ts";

/** The nine kinds of event; `session_end` closes its session. */
export const EVENT_TYPES = [
  "article_view",
  "article_click",
  "video_play",
  "newsletter_signup",
  "ad_click",
  "search",
  "navigation",
  "subscription_prompt",
  "session_end",
] as const;

export type EventType = typeof EVENT_TYPES[number];

/** The most Unicode code points of each optional text field. */
export const TEXT_LENGTHS_MAX = {
  brand: 256,
  country: 256,
  city: 256,
  device_type: 256,
  device_os: 256,
  browser: 256,
  subscription_tier: 256,
  user_segment: 256,
  page_title: 512,
  page_url: 2048,
  article_id: 256,
  category: 256,
} as const;

export type TextField = keyof typeof TEXT_LENGTHS_MAX;

/** The text fields that are mostly the same in all events of a session, in the contract's order. */
export const PROFILE_FIELDS = [
  "brand",
  "country",
  "city",
  "device_type",
  "device_os",
  "browser",
  "subscription_tier",
  "user_segment",
] as const satisfies readonly TextField[];

/** The text fields that say what an event is about, in the contract's order. */
export const PAGE_FIELDS = [
  "page_title",
  "page_url",
  "article_id",
  "category",
] as const satisfies readonly TextField[];

/** The optional text fields, in the contract's order. */
export const TEXT_FIELDS = [...PROFILE_FIELDS, ...PAGE_FIELDS] as const;

/** Why an event cannot be used. `late`, `too_late` and `cap` are the sessionizer's, the others the contract's. */
export const DEAD_LETTER_REASONS = [
  "null_value",
  "too_large",
  "invalid_utf8",
  "invalid_json",
  "not_an_object",
  "missing_field",
  "invalid_field",
  "unknown_event_type",
  "invalid_timestamp",
  "invalid_text",
  "no_key",
  "key_mismatch",
  "time_range",
  "clock_skew",
  "too_late",
  "cap",
] as const;

export type DeadLetterReason = typeof DEAD_LETTER_REASONS[number];

/** Bad data is a value, not an exception: why, and a sentence with the value found. */
export interface Rejected {
  readonly reason: DeadLetterReason;
  readonly detail: string;
}

/** What a session keeps of an event, with its time in epoch milliseconds. Absent, null and empty text fields are null. */
export interface SessionEvent extends Readonly<Record<TextField, string | null>> {
  readonly sessionId: string;
  readonly userId: number;
  readonly eventType: EventType;
  /** Event time, epoch milliseconds (finer digits of an RFC 3339 time are cut off). */
  readonly time: number;
}

/** An accepted event. */
export interface AcceptedEvent extends SessionEvent {
  readonly eventId: string;
}

export type ParsedEvent = { readonly event: AcceptedEvent } | { readonly rejected: Rejected };

/**
 * The contract, loaded and compiled when it is first needed: most events are read without it, and each thread that
 * starts without it reads sooner after a restart. Required, because whoever parses an event cannot wait.
 */
let loaded: typeof import("./event_contract.ts") | null = null;
const require = createRequire(import.meta.url);
const contract = () => loaded ??= require("./event_contract.ts") as typeof import("./event_contract.ts");
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const STRING_FIELDS = ["event_id", "session_id", "timestamp", ...TEXT_FIELDS] as const;

/**
 * Parses and validates one message.
 *
 * @param value the record's value, or null for a tombstone
 * @returns the event, or why it is rejected; it never throws
 */
export function parseEvent(value: Uint8Array | null): ParsedEvent {
  if (value === null) return reject("null_value", "The record has no value.");
  if (value.length > EVENT_VALUE_BYTES_MAX) {
    return reject(
      "too_large",
      `A message is at most ${EVENT_VALUE_BYTES_MAX} bytes: this one has ${value.length}.`,
    );
  }
  let text: string;
  try {
    text = decoder.decode(value);
  } catch {
    return reject("invalid_utf8", "The value is not UTF-8.");
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    const problem = (error as Error).message.toWellFormed(); // it may cut a character in two
    return reject("invalid_json", `The value is not one JSON document: ${problem}.`);
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    const found = parsed === null ? "null" : Array.isArray(parsed) ? "an array" : `a ${typeof parsed}`;
    return reject("not_an_object", `An event is a JSON object: this is ${found}.`);
  }
  return validateEvent(parsed as Record<string, unknown>);
}

/** The rest of {@linkcode parseEvent}, from the parsed object on. */
function validateEvent(fields: Record<string, unknown>): ParsedEvent {
  if (!contract().isUserEvent(fields)) return { rejected: describeViolation(fields) };
  for (const name of STRING_FIELDS) {
    const text = (fields as Record<string, unknown>)[name];
    if (typeof text === "string" && !text.isWellFormed()) {
      return reject("invalid_text", `The field '${name}' holds a lone surrogate.`);
    }
  }
  const { timestamp } = fields;
  const time = typeof timestamp === "string" ? parseRfc3339(timestamp) : timestamp;
  if (time === null) {
    return reject(
      "invalid_timestamp",
      `A timestamp is RFC 3339 with an offset, or integer epoch milliseconds: found ${shown(timestamp)}.`,
    );
  }
  if (time < EVENT_TIME_MIN_MS) {
    return reject("time_range", `Event times begin at 1990-01-01T00:00:00Z: found ${shown(timestamp)}.`);
  }
  const texts = {} as Record<TextField, string | null>;
  for (const name of TEXT_FIELDS) texts[name] = fields[name] || null;
  return {
    event: {
      eventId: fields.event_id,
      sessionId: fields.session_id,
      userId: fields.user_id === 0 ? 0 : fields.user_id, // JSON's -0 is 0
      eventType: fields.event_type as EventType,
      time,
      ...texts,
    },
  };
}

/** The reason and the sentence of the contract's first violation. */
function describeViolation(fields: Record<string, unknown>): Rejected {
  const { UserEventSchema, firstViolation } = contract();
  for (const name of UserEventSchema.required) {
    if (!Object.hasOwn(fields, name)) {
      return { reason: "missing_field", detail: `The field '${name}' is required.` };
    }
  }
  const { name, message } = firstViolation(fields);
  const found = shown(fields[name]);
  if (name === "timestamp") {
    const detail = `A timestamp is RFC 3339 with an offset, or integer epoch milliseconds: found ${found}.`;
    return { reason: "invalid_timestamp", detail };
  }
  if (name === "event_type") {
    return { reason: "unknown_event_type", detail: `'event_type' must be one of the nine: found ${found}.` };
  }
  return { reason: "invalid_field", detail: `The field '${name}' ${message}: found ${found}.` };
}

function reject(reason: DeadLetterReason, detail: string): { rejected: Rejected } {
  return { rejected: { reason, detail } };
}

/** A value as a sentence shows it: JSON, at most 80 characters, always well-formed. */
function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  const cut = text.length > 80 ? `${text.slice(0, 77)}...` : text;
  return cut.toWellFormed();
}
