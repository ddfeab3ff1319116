/** Values that are events, nearly events, or once were: what the scanner and the validator must agree on. */
import { EventScanner, SCAN_PADDING_BYTES } from "../../schema/event_scanner.ts";
import { EventTexts } from "../../schema/event_texts.ts";
import {
  EVENT_TYPES,
  PAGE_FIELDS,
  parseEvent,
  PROFILE_FIELDS,
  TEXT_FIELDS,
} from "../../schema/user_event.ts";
import { Random } from "../../sources/random.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

const LONG = "x".repeat(300);
/** Contents of strings, as they stand in JSON. */
const TEXTS = [
  ...[
    "",
    "a",
    "ab",
    "abc",
    "abcd",
    "news",
    "The Daily Herald",
    "Zürich",
    "日本語",
    "\u{1f600}",
    "e\u0301",
    "\ufeff",
  ],
  ...[
    "\\n",
    "\\u0041",
    "\\ud83d\\ude00",
    "\\ud800",
    "a\\\\",
    '\\"',
    "\\/",
    "\\x",
    "\0",
    "\n",
    "\x7f",
    "\u2028",
    "'",
  ],
  ...[
    "__proto__",
    "null",
    "}",
    "{",
    ",",
    ":",
    "toString",
    "é".repeat(200),
    LONG,
    "日".repeat(257),
    "x".repeat(2049),
  ],
];
const NUMBERS = [
  ...[
    "0",
    "7",
    "42",
    "4294967295",
    "4294967296",
    "99999999999",
    "-1",
    "-0",
    "1.0",
    "1.5",
    "1e3",
    "1E+3",
    "12e-1",
  ],
  ...[
    "01",
    "+1",
    ".5",
    "1.",
    "0x10",
    "1e400",
    "NaN",
    "9007199254740993",
    "true",
    "false",
    "null",
    '"7"',
    "[7]",
  ],
];
const TIMES = [
  ...[
    "1700000000000",
    "1700000000000.0",
    "1.7e12",
    "631152000000",
    "631151999999",
    "0",
    "-1",
    "01700000000000",
  ],
  ...["123456789012345", "1234567890123456", "99999999999999999999", '"1700000000000"', "null", '""'],
];
const DATE_TIMES = [
  ...["2026-01-05T12:00:00.123Z", "2026-01-05T12:00:00Z", "2026-01-05t12:00:00z", "2026-01-05 12:00:00Z"],
  ...[
    "2026-01-05T12:00:00+05:30",
    "2026-01-05T00:10:00.5-23:59",
    "2026-01-05T12:00:00",
    "2026-01-05T12:00:00.Z",
  ],
  ...["2026-02-29T12:00:00Z", "2024-02-29T12:00:00Z", "2026-13-01T00:00:00Z", "2026-00-10T00:00:00Z"],
  ...["2026-01-05T23:59:60Z", "2016-12-31T23:59:60Z", "2026-01-05T24:00:00Z", "2026-01-05T12:60:00Z"],
  ...["1989-12-31T23:59:59Z", "1990-01-01T00:00:00Z", "1990-01-01T00:30:00+01:00", "0000-01-01T00:00:00Z"],
  ...[
    "2026-01-05T12:00:00.1234567890123456789Z",
    "2026-01-05T12:00:00.123456789+00:00",
    "9999-12-31T23:59:59Z",
  ],
  ...["2026-01-05T12:00:00+24:00", "2026-01-05T12:00:00+0530", "2026-1-5T12:00:00Z", "20a6-01-05T12:00:00Z"],
  ...["2026-01-05T12:00:0é", "+026-01-05T12:00:00Z", "2026-01-05T12:00:00.12Z", "2026-01-05T12:00:00.1Z"],
];
const VALUES = ["{}", "[]", "[1,2]", '{"a":{"b":[]}}', "true", "null", '"x"', "1", "[[[[]]]]"];
const BLANKS = ["", "", "", "", " ", "\n", "\t", "\r\n", "  ", "\u00a0", "\v"];
const TOKENS = [
  ...[
    '"',
    "\\",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "null",
    '\\"',
    "\ufeff",
    " ",
    "\0",
    "\n",
    '"__proto__":{},',
    '"x":1,',
  ],
  ...['"brand":"twice",', '"session_id":"twice",', "\u{1f600}", "é", "\\u0000", "//", "/**/"],
];

type Member = [name: string, value: string];

function members(random: Random): Member[] {
  // Of some values many fields are odd, of most none or one.
  const rarely = random.pick([8, 100, 100, 100]);
  const isOdd = () => random.below(rarely) === 0;
  const odd = (usual: string, others: readonly string[]) => isOdd() ? random.pick(others) : usual;
  const text = (usual: string) => isOdd() ? `"${random.pick(TEXTS)}"` : `"${usual}"`;
  const time = random.below(3) === 0
    ? odd("1767614400000", TIMES)
    : `"${
      odd(`2026-01-0${1 + random.below(9)}T12:00:0${random.below(10)}.12${random.below(10)}Z`, DATE_TIMES)
    }"`;
  const found: Member[] = [
    ["event_id", odd(text(random.uuid()), VALUES)],
    ["session_id", odd(text(`session-${random.below(50)}`), VALUES)],
    ["user_id", odd(String(random.uint32()), NUMBERS)],
    ["event_type", isOdd() ? text("page_view") : `"${random.pick(EVENT_TYPES)}"`],
    ["timestamp", time],
  ];
  for (const field of TEXT_FIELDS) {
    const kind = random.below(10);
    if (kind === 0) continue;
    const value = kind === 1 ? "null" : odd(text(`${field} ${random.below(20)}`), VALUES);
    found.push([field, value]);
  }
  return found;
}

/** A value: often an event as producers write it, often with something odd in it, sometimes broken. */
export function anyValue(random: Random): Uint8Array {
  const found = members(random);
  const kind = random.below(8);
  if (kind === 0) found.splice(random.below(found.length), 1);
  if (kind === 1) found.push(random.pick(found));
  if (kind === 2) {
    found.push([random.pick(["extra", "__proto__", "Brand", "brand ", ""]), random.pick(VALUES)]);
  }
  if (kind === 3) found.sort(() => random.below(3) - 1);
  const blank = random.below(4) === 0 ? () => random.pick(BLANKS) : () => "";
  const body = found.map(([name, value]) => `${blank()}"${name}"${blank()}:${blank()}${value}${blank()}`)
    .join(",");
  const value = encoder.encode(`${blank()}{${body}}${blank()}`);
  return random.below(4) === 0 ? mutated(value, random) : value;
}

function mutated(value: Uint8Array, random: Random): Uint8Array {
  const at = random.below(value.length);
  switch (random.below(4)) {
    case 0: {
      const changed = value.slice();
      changed[at] = random.below(256);
      return changed;
    }
    case 1:
      return value.slice(0, at);
    case 2: {
      const token = encoder.encode(random.pick(TOKENS));
      return Uint8Array.of(...value.subarray(0, at), ...token, ...value.subarray(at));
    }
    default:
      return Uint8Array.of(
        ...value.subarray(0, at),
        ...value.subarray(Math.min(at + 1 + random.below(8), value.length)),
      );
  }
}

/** What both say of values, one after the other: a scanner remembers what it has seen. */
export class Agreement {
  readonly #known = new EventTexts();
  readonly #scanner = new EventScanner(this.#known);
  readonly counts = { scanned: 0, parsed: 0, rejected: 0 };

  /** @returns what is wrong; null where both agree */
  check(value: Uint8Array): string | null {
    // What follows a value in a batch must not matter.
    const padded = new Uint8Array(value.length + SCAN_PADDING_BYTES).fill(
      this.counts.parsed % 2 ? 0x22 : 0x7d,
    );
    padded.set(value, 0);
    const scanned = this.#scanner.scan(padded, new DataView(padded.buffer), 0, value.length);
    const parsed = parseEvent(value);
    if (!scanned) {
      this.counts["event" in parsed ? "parsed" : "rejected"]++;
      if ("rejected" in parsed) return null;
      this.#scanner.take(parsed.event);
    } else {
      this.counts.scanned++;
      if ("rejected" in parsed) return `scanned, but ${parsed.rejected.reason}: ${parsed.rejected.detail}`;
    }
    const [found, wanted] = [this.#event(), parsed.event] as Record<string, unknown>[];
    const wrong = Object.keys(wanted!).find((name) => !Object.is(found![name], wanted![name]));
    return wrong === undefined ? null : `${wrong} is ${JSON.stringify(found![wrong])}, not ${wanted![wrong]}`;
  }

  /** The scanner's event as the parser has it. */
  #event() {
    const { texts, profiles, pages } = this.#known;
    const scanner = this.#scanner;
    const text = (id: number) => id === 0 ? null : decoder.decode(texts.bytesOf(id));
    const id = (start: number, length: number) =>
      decoder.decode(scanner.bytes.subarray(start, start + length));
    const fields = (names: readonly string[], values: Uint32Array, tuple: number) =>
      names.map((name, i) => [name, text(values[tuple * names.length + i]!)]);
    return {
      eventId: id(scanner.eventIdStart, scanner.eventIdLength),
      sessionId: id(scanner.sessionIdStart, scanner.sessionIdLength),
      userId: scanner.userId,
      eventType: EVENT_TYPES[scanner.eventType],
      time: scanner.time,
      ...Object.fromEntries([
        ...fields(PROFILE_FIELDS, profiles.values, scanner.profile),
        ...fields(PAGE_FIELDS, pages.values, scanner.page),
      ]),
    };
  }
}
