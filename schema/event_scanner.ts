/**
 * Reads events from their JSON bytes in one strict pass, without objects and strings: a flat object of known fields, each
 * once, no escapes. Whatever else comes is left to `parseEvent`, which decides alone what is wrong with an event; the
 * two agree on every event that this one reads (tests/schema/event_scanner_test.ts).
 */
import type { EventTexts } from "./event_texts.ts";
import { EVENT_TIME_MIN_MS, EVENT_VALUE_BYTES_MAX } from "./limits.ts";
import { TimeScanner } from "./scan_time.ts";
import { hashBytes, hashEnd, hashWord, TextTable } from "./text_table.ts";
import {
  type AcceptedEvent,
  EVENT_TYPES,
  type EventType,
  PROFILE_FIELDS,
  TEXT_FIELDS,
  TEXT_LENGTHS_MAX,
} from "./user_event.ts";

/** Bytes that must be readable after a value: keys and times are compared by words. */
export const SCAN_PADDING_BYTES = 40;

const [QUOTE, COMMA, OPEN, CLOSE, BLANK] = [0x22, 0x2c, 0x7b, 0x7d, 0x20];
const NULL_WORD = 0x6c6c756e;
const [EVENT_ID, SESSION_ID, USER_ID, EVENT_TYPE, TIMESTAMP] = [0, 1, 2, 3, 4];
const FIELDS = ["event_id", "session_id", "user_id", "event_type", "timestamp", ...TEXT_FIELDS] as const;
/** The fields before the texts are required, the texts are those of a profile, then those of a page. */
const FIRST_PROFILE = 5;
const FIRST_PAGE = FIRST_PROFILE + PROFILE_FIELDS.length;
const REQUIRED = (1 << FIRST_PROFILE) - 1;
const PROFILE_BITS = (1 << FIRST_PAGE) - 1 & ~REQUIRED;
const PAGE_BITS = (1 << FIELDS.length) - 1 & ~REQUIRED & ~PROFILE_BITS;
/** A profile's run has the bytes that follow it too, which tell that no other member of a profile does. */
const FOLLOWING_BYTES = 4;
const KEY_WORDS_MAX = 6;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The keys with quotes and colon as words: whole ones, then a last one under a mask. */
const KEYS = FIELDS.map((name) => encoder.encode(`"${name}":`));
const KEY_BYTES = Uint8Array.from(KEYS, ({ length }) => length);
const KEY_WORDS = new Int32Array(FIELDS.length * KEY_WORDS_MAX);
const KEY_MASKS = Int32Array.from(KEYS, ({ length }) => (1 << 8 * (length & 3)) - 1);
KEYS.forEach((key, field) => new Uint8Array(KEY_WORDS.buffer).set(key, field * KEY_WORDS_MAX * 4));

/** The most characters of a text field; so many bytes are never more. */
const TEXT_BYTES_MAX = Uint16Array.from(TEXT_FIELDS, (field) => TEXT_LENGTHS_MAX[field]);
const EVENT_ID_BYTES_MAX = 64;
const SESSION_ID_BYTES_MAX = 128;
const USER_ID_MAX = 2 ** 32 - 1;
/** Integers with more digits are left to JSON. */
const TIME_DIGITS_MAX = 15;

/** The event read last, and how to read the next. */
export class EventScanner {
  /** What holds the ids: the bytes read from, or a copy. */
  bytes: Uint8Array = new Uint8Array(0);
  view = new DataView(this.bytes.buffer);
  eventIdStart = 0;
  eventIdLength = 0;
  sessionIdStart = 0;
  sessionIdLength = 0;
  /** `hashBytes` of the session id. */
  sessionIdHash = 0;
  userId = 0;
  /** The type's index in EVENT_TYPES. */
  eventType = 0;
  /** Epoch milliseconds. */
  time = 0;
  /** The number of its profile (PROFILE_FIELDS), and of its page (PAGE_FIELDS). */
  profile = 0;
  page = 0;
  /** Numbers of TEXT_FIELDS. */
  readonly #texts = new Uint32Array(TEXT_FIELDS.length);
  readonly #types = new TextTable();
  readonly #times = new TimeScanner();
  /** Which field came after each one, and first of all, last time. */
  readonly #next = Uint8Array.from({ length: FIELDS.length + 1 }, (_, i) => (i + 1) % (FIELDS.length + 1));
  #end = 0;
  /** The fields that were read, as bits. */
  #seen = 0;
  /** Where the members of a profile begin and end; 0: nowhere, -1: they do not stand together. */
  #profileStart = 0;
  #profileEnd = 0;
  /** Where the members of a page begin that reach to the end; 0 and -1 likewise. */
  #pageStart = 0;
  #pageHash = 0;
  /** The known runs that were taken over; 0: none. */
  #profileRun = 0;
  #pageRun = 0;
  /** Of the string scanned last: its hash, and all its words or-ed together. */
  #hash = 0;
  #bits = 0;
  readonly #ids = new Uint8Array(2 * 4 * SESSION_ID_BYTES_MAX);
  readonly #idsView = new DataView(this.#ids.buffer);

  constructor(private readonly known: EventTexts) {
    this.#next[FIELDS.length] = 0;
    for (const type of EVENT_TYPES) this.#types.idOf(encoder.encode(type));
  }

  /**
   * Reads the event in `bytes[start … end]`.
   *
   * @param view of all of `bytes`, which hold {@linkcode SCAN_PADDING_BYTES} more after `end`
   * @returns false where it must be left to `parseEvent`: nothing is said then
   */
  scan(bytes: Uint8Array, view: DataView, start: number, end: number): boolean {
    if (end - start > EVENT_VALUE_BYTES_MAX) return false;
    this.bytes = bytes;
    this.view = view;
    this.#end = end;
    this.#seen = 0;
    this.#profileStart =
      this.#pageStart =
      this.#profileRun =
      this.#pageRun =
        0;
    this.#texts.fill(0);
    const next = this.#next;
    let previous: number = FIELDS.length;
    let at = this.#skip(start);
    if (bytes[at] !== OPEN) return false;
    for (;;) {
      at = bytes[at + 1]! <= BLANK ? this.#skip(at + 1) : at + 1;
      let field = next[previous]!;
      if (!isKey(view, at, field)) {
        field = fieldAt(view, at);
        if (field < 0) return false;
        next[previous] = field;
      }
      const after = this.#run(at, field, previous);
      if (after !== 0) {
        at = after;
        previous = field < FIRST_PAGE ? FIRST_PAGE - 1 : FIELDS.length - 1;
      } else {
        if (this.#seen >> field & 1) return false;
        this.#seen |= 1 << field;
        at += KEY_BYTES[field]!;
        if (bytes[at]! <= BLANK) at = this.#skip(at);
        at = field >= FIRST_PROFILE ? this.#text(at, field - FIRST_PROFILE) : this.#required(at, field);
        if (at < 0) return false;
        if (field >= FIRST_PROFILE && field < FIRST_PAGE) this.#profileEnd = at;
        previous = field;
      }
      if (bytes[at]! <= BLANK) at = this.#skip(at);
      if (bytes[at] !== COMMA) break;
    }
    if (bytes[at] !== CLOSE || this.#skip(at + 1) !== end || (this.#seen & REQUIRED) !== REQUIRED) {
      return false;
    }
    return this.#finish();
  }

  /**
   * Where members of a known run begin at `at`, takes them over: those of a profile up to what follows them, those of a
   * page up to the object's end.
   *
   * @returns the position after them; 0 where `field` is to be read by itself
   */
  #run(at: number, field: number, previous: number): number {
    if (field < FIRST_PROFILE) {
      // A member that is no page's stands behind a page's: its run does not reach to the end.
      if (this.#pageStart > 0) this.#pageStart = -1;
      return 0;
    }
    if (field < FIRST_PAGE) {
      if (this.#pageStart > 0) this.#pageStart = -1;
      if ((this.#seen & PROFILE_BITS) !== 0) {
        if (this.#profileRun !== 0 || previous < FIRST_PROFILE || previous >= FIRST_PAGE) {
          this.#profileStart = -1;
        }
        return 0;
      }
      if ((this.#seen >> SESSION_ID & 1) === 0) return 0;
      this.#profileStart = at;
      const { profileRuns } = this.known;
      const run = profileRuns.expected(this.sessionIdHash, this.view, at, this.#end);
      if (run === 0) return 0;
      this.#profileRun = run;
      this.#seen |= profileRuns.fieldsOf(run);
      return at + profileRuns.lengthOf(run) - FOLLOWING_BYTES;
    }
    if ((this.#seen & PAGE_BITS) !== 0 || this.bytes[this.#end - 1] !== CLOSE) return 0;
    this.#pageStart = at;
    const { pageRuns } = this.known;
    this.#pageHash = hashBytes(this.view, at, this.#end - at);
    const run = pageRuns.find(this.view, at, this.#end - at, this.#pageHash);
    if (run === 0) return 0;
    this.#pageRun = run;
    this.#seen |= pageRuns.fieldsOf(run);
    return this.#end - 1;
  }

  /** Finds the numbers of profile and page, and remembers their runs for the next. */
  #finish(): boolean {
    const { profiles, pages, profileRuns, pageRuns } = this.known;
    const { bytes, view } = this;
    if (this.#profileRun === 0) {
      this.profile = profiles.idOf(this.#texts, 0);
      const [start, end] = [this.#profileStart, this.#profileEnd];
      if (start > 0 && bytes[end] === COMMA) {
        const length = end - start + FOLLOWING_BYTES;
        const run = profileRuns.remember(bytes, view, start, length, hashBytes(view, start, length));
        profileRuns.describe(run, this.profile, this.#seen & PROFILE_BITS);
        profileRuns.expect(this.sessionIdHash, run);
      }
    } else {
      // A member that the run lacks, although what follows the run looked as it did before.
      if (this.#profileStart < 0) return false;
      this.profile = profileRuns.tupleOf(this.#profileRun);
    }
    if (this.#pageRun === 0) {
      this.page = pages.idOf(this.#texts, PROFILE_FIELDS.length);
      if (this.#pageStart > 0) {
        const length = this.#end - this.#pageStart;
        const run = pageRuns.remember(bytes, view, this.#pageStart, length, this.#pageHash);
        pageRuns.describe(run, this.page, this.#seen & PAGE_BITS);
      }
    } else {
      this.page = pageRuns.tupleOf(this.#pageRun);
    }
    return true;
  }

  /** Takes over an event that was parsed. */
  take(event: AcceptedEvent): void {
    this.bytes = this.#ids;
    this.view = this.#idsView;
    const { written } = encoder.encodeInto(event.eventId, this.#ids);
    this.eventIdStart = 0;
    this.eventIdLength = this.sessionIdStart = written;
    this.sessionIdLength = encoder.encodeInto(event.sessionId, this.#ids.subarray(written)).written;
    this.sessionIdHash = hashBytes(this.#idsView, this.sessionIdStart, this.sessionIdLength);
    this.userId = event.userId;
    this.eventType = EVENT_TYPES.indexOf(event.eventType as EventType);
    this.time = event.time;
    const { texts, profiles, pages } = this.known;
    TEXT_FIELDS.forEach((field, i) => this.#texts[i] = texts.idOf(encoder.encode(event[field] ?? "")));
    this.profile = profiles.idOf(this.#texts, 0);
    this.page = pages.idOf(this.#texts, PROFILE_FIELDS.length);
  }

  /** The position of the first byte from `at` on that is no blank, at most the value's end. */
  #skip(at: number): number {
    const bytes = this.bytes;
    for (; at < this.#end; at++) {
      const byte = bytes[at];
      if (byte !== BLANK && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break;
    }
    return at;
  }

  /** Reads a text field's value; returns the position after it, -1 where it is left to JSON. */
  #text(at: number, field: number): number {
    if (this.bytes[at] !== QUOTE) return this.view.getInt32(at, true) === NULL_WORD ? at + 4 : -1;
    const start = at + 1;
    const end = this.#string(start);
    const length = end - start;
    if (length <= 0) return length === 0 ? end + 1 : -1;
    if (length > TEXT_BYTES_MAX[field]!) return -1;
    const { texts } = this.known;
    let id = texts.find(this.view, start, length, this.#hash);
    if (id === 0) {
      // What is known was checked when it was new.
      if ((this.#bits & 0x80808080) !== 0 && !isUtf8(this.bytes, start, end)) return -1;
      id = texts.add(this.bytes, start, length, this.#hash);
    }
    this.#texts[field] = id;
    return end + 1;
  }

  /** Reads a required field's value; returns the position after it, -1 where it is left to JSON. */
  #required(at: number, field: number): number {
    if (field === USER_ID) return this.#userId(at);
    if (this.bytes[at] !== QUOTE) return field === TIMESTAMP ? this.#integerTime(at) : -1;
    const start = at + 1;
    if (field === TIMESTAMP) {
      const end = this.#times.scan(this.bytes, this.view, start);
      this.time = this.#times.time;
      return end < 0 || this.time < EVENT_TIME_MIN_MS ? -1 : end;
    }
    const end = this.#string(start);
    const length = end - start;
    if (length <= 0 || (this.#bits & 0x80808080) !== 0) return -1;
    if (field === EVENT_ID) {
      if (length > EVENT_ID_BYTES_MAX) return -1;
      this.eventIdStart = start;
      this.eventIdLength = length;
    } else if (field === SESSION_ID) {
      if (length > SESSION_ID_BYTES_MAX) return -1;
      this.sessionIdStart = start;
      this.sessionIdLength = length;
      this.sessionIdHash = this.#hash;
    } else if (field === EVENT_TYPE) {
      this.eventType = this.#types.find(this.view, start, length, this.#hash) - 1;
      if (this.eventType < 0) return -1;
    }
    return end + 1;
  }

  /** Scans a string from after its quote; returns the position of the closing one, -1 where JSON must read it. */
  #string(start: number): number {
    const { view } = this;
    const end = this.#end;
    let hash = 0;
    let bits = 0;
    for (let at = start; at < end; at += 4) {
      const word = view.getInt32(at, true);
      const quote = word ^ 0x22222222;
      const backslash = word ^ 0x5c5c5c5c;
      // The lowest byte with its highest bit set is the first quote, backslash or control character.
      const stop =
        (quote - 0x01010101 & ~quote | backslash - 0x01010101 & ~backslash | word - 0x20202020 & ~word) &
        0x80808080;
      if (stop === 0) {
        hash = hashWord(hash, word);
        bits |= word;
        continue;
      }
      const rest = 31 - Math.clz32(stop & -stop) >> 3;
      if ((word >>> 8 * rest & 0xff) !== QUOTE) return -1;
      const last = word & (1 << 8 * rest) - 1;
      this.#hash = hashEnd(hash, last, at + rest - start);
      this.#bits = bits | last;
      return at + rest;
    }
    return -1;
  }

  #userId(at: number): number {
    const { bytes } = this;
    let value = 0;
    let digit = bytes[at]! - 48;
    if (digit === 0) {
      this.userId = 0;
      return at + 1;
    }
    const first = at;
    for (; digit >= 0 && digit <= 9; digit = bytes[++at]! - 48) {
      value = value * 10 + digit;
      if (value > USER_ID_MAX) return -1;
    }
    this.userId = value;
    return at === first ? -1 : at;
  }

  #integerTime(at: number): number {
    const { bytes } = this;
    let value = 0;
    const first = at;
    if (bytes[at] === 48) return -1;
    for (let digit = bytes[at]! - 48; digit >= 0 && digit <= 9; digit = bytes[++at]! - 48) {
      if (at - first >= TIME_DIGITS_MAX) return -1;
      value = value * 10 + digit;
    }
    this.time = value;
    return value < EVENT_TIME_MIN_MS ? -1 : at;
  }
}

/** Whether the key of `field`, with quotes and colon, stands at `at`. */
function isKey(view: DataView, at: number, field: number): boolean {
  const first = field * KEY_WORDS_MAX;
  const words = KEY_BYTES[field]! >> 2;
  for (let i = 0; i < words; i++) {
    if (view.getInt32(at + 4 * i, true) !== KEY_WORDS[first + i]) return false;
  }
  return (view.getInt32(at + 4 * words, true) & KEY_MASKS[field]!) === KEY_WORDS[first + words];
}

function fieldAt(view: DataView, at: number): number {
  for (let field = 0; field < FIELDS.length; field++) if (isKey(view, at, field)) return field;
  return -1;
}

function isUtf8(bytes: Uint8Array, start: number, end: number): boolean {
  try {
    decoder.decode(bytes.subarray(start, end));
    return true;
  } catch {
    return false;
  }
}
