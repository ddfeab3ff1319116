/**
 * The event contract, written once: from it come the TypeScript type, the JSON Schema that producers get
 * (`sessionary schema event`) and the compiled validator.
 */
import Type, { type Static } from "typebox";
import { Compile } from "typebox/compile";
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

const optionalText = (maxLength: number, description: string) =>
  Type.Optional(Type.Union([Type.String({ maxLength }), Type.Null()], { description }));

/** The contract as a JSON Schema (2020-12). Lengths count Unicode code points; unknown fields are ignored. */
export const UserEventSchema = Type.Object({
  event_id: Type.String({ minLength: 1, maxLength: 64, description: "Unique within its session." }),
  session_id: Type.String({ minLength: 1, maxLength: 128, description: "Also the record's key." }),
  user_id: Type.Integer({ minimum: 0, maximum: 4294967295, description: "0 to 2^32 - 1." }),
  event_type: Type.Enum([...EVENT_TYPES], { description: "session_end closes the session." }),
  timestamp: Type.Union([Type.String(), Type.Integer()], {
    description: "RFC 3339 with an offset, or integer milliseconds since 1970-01-01T00:00:00Z.",
  }),
  brand: optionalText(256, "The news site."),
  country: optionalText(256, "The reader's country."),
  city: optionalText(256, "The reader's city."),
  device_type: optionalText(256, "desktop, mobile, tablet …"),
  device_os: optionalText(256, "The operating system."),
  browser: optionalText(256, "The browser."),
  subscription_tier: optionalText(256, "free, premium …"),
  user_segment: optionalText(256, "The reader's segment."),
  page_title: optionalText(512, "The title of the page or article."),
  page_url: optionalText(2048, "The URL of the page."),
  article_id: optionalText(256, "The article's id."),
  category: optionalText(256, "The article's category."),
}, {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  $id: "urn:sessionary:user-event",
  title: "UserEvent",
  description: `One click of a reader, as JSON in UTF-8, at most ${EVENT_VALUE_BYTES_MAX} bytes.`,
});

/** An event as producers write it. */
export type UserEvent = Static<typeof UserEventSchema>;

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
] as const satisfies readonly (keyof UserEvent)[];

/** The text fields that say what an event is about, in the contract's order. */
export const PAGE_FIELDS = [
  "page_title",
  "page_url",
  "article_id",
  "category",
] as const satisfies readonly (keyof UserEvent)[];

/** The optional text fields, in the contract's order. */
export const TEXT_FIELDS = [...PROFILE_FIELDS, ...PAGE_FIELDS] as const;

export type TextField = typeof TEXT_FIELDS[number];

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

/** Compiled when first needed: most events are read without it, and a restart is quicker. */
let compiled: ReturnType<typeof compileEvent> | null = null;
const compileEvent = () => Compile(UserEventSchema);
const validator = () => compiled ??= compileEvent();
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
  if (!validator().Check(fields)) return { rejected: describeViolation(fields) };
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
  for (const name of UserEventSchema.required) {
    if (!Object.hasOwn(fields, name)) {
      return { reason: "missing_field", detail: `The field '${name}' is required.` };
    }
  }
  const violation = validator().Errors(fields)[0];
  const name = violation?.instancePath.split("/")[1] ?? "";
  const found = shown(fields[name]);
  if (name === "timestamp") {
    const detail = `A timestamp is RFC 3339 with an offset, or integer epoch milliseconds: found ${found}.`;
    return { reason: "invalid_timestamp", detail };
  }
  if (name === "event_type") {
    return { reason: "unknown_event_type", detail: `'event_type' must be one of the nine: found ${found}.` };
  }
  return { reason: "invalid_field", detail: `The field '${name}' ${violation?.message}: found ${found}.` };
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
