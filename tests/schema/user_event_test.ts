import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import {
  type AcceptedEvent,
  type DeadLetterReason,
  EVENT_TYPES,
  parseEvent,
  type Rejected,
  TEXT_FIELDS,
} from "../../schema/user_event.ts";
import { UserEventSchema } from "../../schema/event_contract.ts";

const encoder = new TextEncoder();
const REQUIRED = { event_id: "e1", session_id: "s1", user_id: 7, event_type: "search", timestamp: 1.7e12 };
const SECONDS = "1700000000";

const bytesOf = (value: unknown) => encoder.encode(JSON.stringify(value));
const withFields = (fields: Record<string, unknown>) => bytesOf({ ...REQUIRED, ...fields });
/** A message whose fields follow the required ones as raw JSON text. */
const withRaw = (members: string) => encoder.encode(`${JSON.stringify(REQUIRED).slice(0, -1)},${members}}`);

function accepted(value: Uint8Array): AcceptedEvent {
  const parsed = parseEvent(value);
  assert("event" in parsed, `rejected: ${JSON.stringify(parsed)}`);
  return parsed.event;
}

function rejected(value: Uint8Array | null): Rejected {
  const parsed = parseEvent(value);
  assert("rejected" in parsed, `accepted: ${JSON.stringify(parsed)}`);
  return parsed.rejected;
}

const BAD: readonly (readonly [name: string, value: Uint8Array | null, reason: DeadLetterReason])[] = [
  ["a tombstone", null, "null_value"],
  ["1 MiB", new Uint8Array(1024 * 1024).fill(0x20), "too_large"],
  ["invalid UTF-8", Uint8Array.of(0x7b, 0xff, 0x7d), "invalid_utf8"],
  ["an overlong UTF-8 form", Uint8Array.of(0x22, 0xc0, 0xaf, 0x22), "invalid_utf8"],
  ["a surrogate encoded as UTF-8", Uint8Array.of(0x22, 0xed, 0xa0, 0x80, 0x22), "invalid_utf8"],
  ["nothing", new Uint8Array(0), "invalid_json"],
  ["blanks", encoder.encode("  \n"), "invalid_json"],
  ["not JSON", encoder.encode("hello"), "invalid_json"],
  ["two objects", encoder.encode("{},{}"), "invalid_json"],
  ["two events on two lines", encoder.encode(`${JSON.stringify(REQUIRED)}\n{}`), "invalid_json"],
  ["a byte order mark first", encoder.encode(`\ufeff${JSON.stringify(REQUIRED)}`), "invalid_json"],
  ["a raw NUL inside a string", withRaw('"city":"a\0"'), "invalid_json"],
  ["an array", bytesOf([REQUIRED]), "not_an_object"],
  ["null", bytesOf(null), "not_an_object"],
  ["a number", bytesOf(7), "not_an_object"],
  ["a string", bytesOf("event"), "not_an_object"],
  ["an empty object", bytesOf({}), "missing_field"],
  [
    "a required field in the prototype only",
    encoder.encode('{"__proto__":{"event_id":"e"}}'),
    "missing_field",
  ],
  ["an empty id", withFields({ event_id: "" }), "invalid_field"],
  ["an id that is null", withFields({ session_id: null }), "invalid_field"],
  ["an id that is a number", withFields({ session_id: 5 }), "invalid_field"],
  ["a text field that is a number", withFields({ brand: 5 }), "invalid_field"],
  ["a text field that is a list", withFields({ category: ["news"] }), "invalid_field"],
  [
    "a list nested 30,000 deep",
    withRaw(`"city":${"[".repeat(30_000)}${"]".repeat(30_000)}`),
    "invalid_field",
  ],
  ["user_id −1", withFields({ user_id: -1 }), "invalid_field"],
  ["user_id 2³²", withFields({ user_id: 2 ** 32 }), "invalid_field"],
  ["user_id 1.5", withFields({ user_id: 1.5 }), "invalid_field"],
  ['user_id "7"', withFields({ user_id: "7" }), "invalid_field"],
  ["user_id true", withFields({ user_id: true }), "invalid_field"],
  ["user_id 1e400", withRaw('"user_id":1e400'), "invalid_field"],
  ["an unknown event type", withFields({ event_type: "page_view" }), "unknown_event_type"],
  ["an event type in capitals", withFields({ event_type: "SEARCH" }), "unknown_event_type"],
  ["an event type of the prototype", withFields({ event_type: "toString" }), "unknown_event_type"],
  ["timestamp yesterday", withFields({ timestamp: "yesterday" }), "invalid_timestamp"],
  ["a timestamp without offset", withFields({ timestamp: "2023-11-14T22:13:20" }), "invalid_timestamp"],
  ["a timestamp that is null", withFields({ timestamp: null }), "invalid_timestamp"],
  ["a fraction of a millisecond", withFields({ timestamp: 1.5 }), "invalid_timestamp"],
  ["digits as a string", withFields({ timestamp: "1700000000000" }), "invalid_timestamp"],
  ["timestamp 0", withFields({ timestamp: 0 }), "time_range"],
  ["epoch seconds", withRaw(`"timestamp":${SECONDS}`), "time_range"],
  ["a negative timestamp", withFields({ timestamp: -1 }), "time_range"],
  ["the last millisecond of 1989", withFields({ timestamp: "1989-12-31T23:59:59.999Z" }), "time_range"],
  ["a lone high surrogate", withFields({ brand: "\ud800" }), "invalid_text"],
  ["a lone low surrogate in an id", withFields({ event_id: "a\udc00b" }), "invalid_text"],
  ["surrogates in the wrong order", withRaw('"city":"\\udc00\\ud800"'), "invalid_text"],
];

for (const [name, value, reason] of BAD) {
  Deno.test(`${name} is rejected as ${reason}`, () => {
    const { reason: found, detail } = rejected(value);
    assertEquals(found, reason);
    assert(detail.endsWith(".") && detail.length < 250 && detail.isWellFormed(), detail);
  });
}

for (const name of ["event_id", "session_id", "user_id", "event_type", "timestamp"] as const) {
  Deno.test(`an event without ${name} is rejected, and the sentence names it`, () => {
    const { [name]: _, ...rest } = REQUIRED;
    const { reason, detail } = rejected(bytesOf(rest));
    assertEquals(reason, "missing_field");
    assertStringIncludes(detail, `'${name}'`);
  });
}

const LIMITS: Readonly<Record<string, number>> = {
  event_id: 64,
  session_id: 128,
  page_title: 512,
  page_url: 2048,
};
for (const name of ["event_id", "session_id", ...TEXT_FIELDS]) {
  const limit = LIMITS[name] ?? 256;
  Deno.test(`${name} has at most ${limit} code points, emoji and combining marks counted one each`, () => {
    for (const unit of ["a", "\u{1f600}", "e\u0301", "\u{1f468}\u200d"]) {
      const longest = unit.repeat(limit / [...unit].length);
      accepted(withFields({ [name]: longest }));
      const { reason, detail } = rejected(withFields({ [name]: longest + "\u0301" }));
      assertEquals(reason, "invalid_field");
      assertStringIncludes(detail, `'${name}'`);
    }
  });
}

Deno.test("integers are accepted in every spelling of JSON, and −0 is 0", () => {
  for (
    const [spelling, value] of [
      ["0", 0],
      ["-0", 0],
      ["-0.0", 0],
      ["1e3", 1000],
      ["1E+3", 1000],
      ["4294967295", 4294967295],
      ["4294967295.0", 4294967295],
    ] as const
  ) {
    assert(Object.is(accepted(withRaw(`"user_id":${spelling}`)).userId, value), spelling);
  }
});

Deno.test("timestamps are epoch milliseconds or RFC 3339 from 1990 on, whatever the offset", () => {
  const first = Date.UTC(1990, 0, 1);
  for (
    const timestamp of [
      first,
      "1990-01-01T00:00:00Z",
      "1990-01-01T05:30:00+05:30",
      "1989-12-31t16:00:00-08:00",
    ]
  ) {
    assertEquals(accepted(withFields({ timestamp })).time, first);
  }
  assertEquals(
    accepted(withFields({ timestamp: "9999-12-31T23:59:59Z" })).time,
    Date.UTC(9999, 11, 31, 23, 59, 59),
  );
  assertEquals(accepted(withRaw('"timestamp":1.7e12')).time, 1.7e12);
});

Deno.test("of duplicate keys the last one counts, also where an earlier one is not valid", () => {
  assertEquals(accepted(withRaw('"city":7,"city":"Oslo"')).city, "Oslo");
  assertEquals(rejected(withRaw('"city":"Oslo","city":7')).reason, "invalid_field");
});

Deno.test("any legal string is kept exactly", () => {
  for (
    const text of [
      "__proto__",
      "constructor",
      "\0",
      "a\0b",
      "\ufeffx",
      "\u{1f600}",
      "e\u0301",
      "\u00e9",
      " ",
      "\u2028",
    ]
  ) {
    const event = accepted(withFields({ event_id: text, session_id: text, brand: text, page_title: text }));
    assertEquals([event.eventId, event.sessionId, event.brand, event.page_title], [text, text, text, text]);
  }
});

Deno.test("whitespace and escapes of JSON make no difference", () => {
  const plain = accepted(withFields({ city: "é/\u{1f600}" }));
  const text =
    ` \t\r\n{ "event\\u005fid" : "\\u00651" ,"session_id":"s1","user_id":7,"event_type":"search",` +
    `"timestamp":1700000000000 , "city":"\\u00e9\\/\\ud83d\\ude00" }\n `;
  assertEquals(accepted(encoder.encode(text)), plain);
});

Deno.test("unknown fields of any type are ignored, __proto__ too, and leave nothing behind", () => {
  const plain = accepted(bytesOf(REQUIRED));
  const deep = `${"[".repeat(30_000)}${"]".repeat(30_000)}`;
  for (
    const members of [
      '"__proto__":{"brand":"polluted"}',
      '"__proto__":null',
      '"constructor":{"prototype":{}},"toString":1,"hasOwnProperty":null',
      `"unknown":${deep}`,
      '"":"","a":{"brand":[]},"user":"\\ud800"',
    ]
  ) {
    assertEquals(accepted(withRaw(members)), plain, members.slice(0, 60));
  }
  assertEquals(({} as Record<string, unknown>).brand, undefined);
});

Deno.test("text fields that are absent, null or empty are null", () => {
  for (const fields of [{}, { city: null }, { city: "" }]) {
    assertEquals(accepted(withFields(fields)).city, null);
  }
});

Deno.test("a message of exactly 64 KiB is accepted, one byte more is not", () => {
  const padded = (length: number) => {
    const bytes = new Uint8Array(length).fill(0x20);
    bytes.set(bytesOf(REQUIRED));
    return bytes;
  };
  accepted(padded(64 * 1024));
  assertEquals(rejected(padded(64 * 1024 + 1)).reason, "too_large");
});

Deno.test("parseEvent never throws, whatever the bytes", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
    assert("rejected" in parseEvent(bytes));
  }));
});

// An implementation of JSON Schema that shares nothing with the one that the validator is compiled by.
const printed = JSON.parse(JSON.stringify(UserEventSchema));
const independent = new Ajv2020({ strict: true, allowUnionTypes: true }).compile(printed);

Deno.test("the JSON Schema for producers is valid 2020-12 and says what is required", () => {
  assertEquals(printed.$schema, "https://json-schema.org/draft/2020-12/schema");
  assertEquals(printed.type, "object");
  assertEquals(printed.required, ["event_id", "session_id", "user_id", "event_type", "timestamp"]);
  assertEquals(Object.keys(printed.properties), [...printed.required, ...TEXT_FIELDS]);
  assertEquals(printed.properties.event_type.enum, [...EVENT_TYPES]);
  assertEquals(printed.additionalProperties, undefined);
});

/** Values on both sides of each rule of the schema. */
const fieldValue = (name: string): fc.Arbitrary<unknown> => {
  const limit = LIMITS[name] ?? 256;
  const text = fc.tuple(
    fc.constantFrom("a", "\u{1f600}", "\u0301"),
    fc.constantFrom(0, 1, limit - 1, limit, limit + 1),
  )
    .map(([unit, count]) => unit.repeat(count));
  const other = fc.constantFrom<unknown>(null, true, 0, 5, -1, 1.5, 2 ** 32, 2 ** 32 - 1, [], {}, [""]);
  const fitting: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
    user_id: fc.nat(),
    event_type: fc.constantFrom(...EVENT_TYPES, "", "x"),
    timestamp: fc.constantFrom(1.7e12, "2023-11-14T22:13:20Z"),
  };
  return fc.oneof({ arbitrary: fitting[name] ?? text, weight: 12 }, { arbitrary: other, weight: 1 });
};

/** A valid message with up to three fields set to anything, or with required ones missing. */
const anyMessage = fc.tuple(
  fc.array(
    fc.constantFrom(...Object.keys(printed.properties)).chain((name) =>
      fc.tuple(fc.constant(name), fieldValue(name))
    ),
    { maxLength: 3 },
  ),
  fc.oneof({ arbitrary: fc.constant([]), weight: 9 }, fc.subarray(Object.keys(REQUIRED))),
).map(([changed, missing]) => {
  const message: Record<string, unknown> = { ...REQUIRED, ...Object.fromEntries(changed) };
  for (const name of missing) delete message[name];
  return message;
});

Deno.test("an independent validator of the printed schema agrees with parseEvent on structure", () => {
  let valid = 0;
  fc.assert(
    fc.property(anyMessage, (message) => {
      const parsed = parseEvent(bytesOf(message));
      const reason = "rejected" in parsed ? parsed.rejected.reason : null;
      // What a time means is not structure.
      const timeWrong = reason === "time_range" ||
        (reason === "invalid_timestamp" && typeof message.timestamp === "string");
      const structural = reason === null || timeWrong;
      assertEquals(independent(message), structural, JSON.stringify(parsed).slice(0, 300));
      if (structural) valid++;
    }),
    { numRuns: 600 },
  );
  assert(valid > 100 && valid < 500, `only ${valid} of 600 messages were valid`);
});
