/**
 * What is erased: everything of a reader or of a session. A request, and all that is recorded of it, names them by a keyed
 * hash alone: whoever has an id can tell whether it is meant, and nothing has to hold the id itself.
 */
import { createHmac } from "node:crypto";

/** What an id names. */
export type ErasureKind = "user_id" | "session_id";

/** One erasure, as barriers and commits record it. */
export interface Erasure {
  /** The request's UUID. */
  readonly id: string;
  readonly kind: ErasureKind;
  /** The key of the hash, random for each request. */
  readonly salt: string;
  /** HMAC-SHA-256 of the id, in hexadecimal. A reader's id is a short number: this is a pseudonym, no more. */
  readonly digest: string;
}

const encoder = new TextEncoder();

/** The keyed hash of an id: of a session's id its bytes, of a reader's its decimal digits. */
function digestOf(salt: string, id: string | Uint8Array): string {
  return createHmac("sha256", salt).update(typeof id === "string" ? encoder.encode(id) : id).digest("hex");
}

/** The erasure of what `value` names. */
export function erasureOf({ id, kind, salt }: Omit<Erasure, "digest">, value: string): Erasure {
  return { id, kind, salt, digest: digestOf(salt, value) };
}

/** Whether the erasure is of what `value` names. */
export function isErasureOf(
  { kind, salt, digest }: Erasure,
  ofKind: ErasureKind,
  value: string | Uint8Array,
): boolean {
  return kind === ofKind && digestOf(salt, value) === digest;
}

/** A test of ids against some erasures; what it was asked of a reader it remembers. */
export class ErasureMatcher {
  readonly #ofUsers: readonly Erasure[];
  readonly #ofSessions: readonly Erasure[];
  readonly #users = new Map<number, boolean>();

  constructor(erasures: readonly Erasure[]) {
    this.#ofUsers = erasures.filter(({ kind }) => kind === "user_id");
    this.#ofSessions = erasures.filter(({ kind }) => kind === "session_id");
  }

  /** Whether a reader is erased. */
  user(userId: number): boolean {
    if (this.#ofUsers.length === 0) return false;
    const known = this.#users.get(userId);
    if (known !== undefined) return known;
    const matches = this.#ofUsers.some((erasure) => isErasureOf(erasure, "user_id", String(userId)));
    this.#users.set(userId, matches);
    return matches;
  }

  /** Whether a session's id, as text or as UTF-8, is erased. */
  session(sessionId: string | Uint8Array): boolean {
    return this.#ofSessions.some((erasure) => isErasureOf(erasure, "session_id", sessionId));
  }
}

/** Whether a record, given by its key and value, is of what an erasure means. */
export type RecordTest = (key: Uint8Array | null, value: Uint8Array | null) => boolean;

const decoder = new TextDecoder();

/** The test of a dead letter, for the erasure of what `value` names. */
export function letterTest(erasure: Erasure, value: string): RecordTest {
  const { kind } = erasure;
  const isEvent = eventTest(erasure);
  // What is no event has no fields: its text decides, and rather one letter too many goes.
  const pattern = kind === "user_id"
    ? new RegExp(`"user_id"\\s*:\\s*"?${value}(?![0-9])`)
    : new RegExp(RegExp.escape(JSON.stringify(value).slice(1, -1)));
  return (key, bytes) => {
    const [keyText, text] = [key, bytes].map((part) => part === null ? "" : decoder.decode(part));
    if (kind === "session_id" && keyText === value) return true;
    return pattern.test(text!) || isEvent(text!) === true;
  };
}

/** The test of a record of the topic: of an event its own field decides, of all else what decides of a dead letter. */
export function recordTest(erasure: Erasure, value: string): RecordTest {
  const isEvent = eventTest(erasure);
  const isLetter = letterTest(erasure, value);
  return (key, bytes) => {
    const text = bytes === null ? "" : decoder.decode(bytes);
    return isEvent(text) ?? isLetter(key, bytes);
  };
}

/** Whether the text is an event of what the erasure means; null where it is no JSON object with the field. */
function eventTest(erasure: Erasure): (text: string) => boolean | null {
  return (text) => {
    try {
      const field = (JSON.parse(text) as Record<string, unknown> | null)?.[erasure.kind];
      return field === undefined || field === null ? null : isErasureOf(erasure, erasure.kind, String(field));
    } catch {
      return null;
    }
  };
}
