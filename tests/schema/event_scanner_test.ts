import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { EVENT_TYPES, TEXT_FIELDS } from "../../schema/user_event.ts";
import { Random } from "../../sources/random.ts";
import { Simulator, virtualTimeline } from "../../sources/simulator.ts";
import { Agreement, anyValue } from "../support/event_fuzz.ts";
import { anyText, T0 } from "../support/records.ts";

const encoder = new TextEncoder();
const REQUIRED = { event_id: "e1", session_id: "s1", user_id: 7, event_type: "search", timestamp: 1.7e12 };

Deno.test("the scanner and the validator agree on values of every kind, good and bad", () => {
  const agreement = new Agreement();
  const random = new Random(2026);
  for (let i = 0; i < 30_000; i++) {
    const value = anyValue(random);
    assertEquals(agreement.check(value), null, new TextDecoder().decode(value));
  }
  const { scanned, parsed, rejected } = agreement.counts;
  assert(scanned > 6_000 && parsed > 600 && rejected > 6_000, JSON.stringify(agreement.counts));
});

Deno.test("property: they agree on every event that JSON.stringify writes, in any order of fields and with any text", () => {
  const agreement = new Agreement();
  const anyEvent = fc.record({
    event_id: fc.oneof(fc.uuid(), anyText),
    session_id: fc.oneof(fc.uuid(), anyText),
    user_id: fc.oneof(fc.nat({ max: 2 ** 32 - 1 }), fc.double()),
    event_type: fc.constantFrom(...EVENT_TYPES),
    timestamp: fc.oneof(
      fc.integer({ min: 0, max: 2 ** 53 - 1 }),
      fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
    ),
    ...Object.fromEntries(TEXT_FIELDS.map((field) => [field, fc.oneof(fc.constant(null), anyText)])),
  }, { requiredKeys: ["event_id", "session_id", "user_id", "event_type"] });
  fc.assert(
    fc.property(anyEvent, fc.integer(), (event, seed) => {
      const random = new Random(seed);
      const shuffled = Object.entries(event).sort(() => random.below(3) - 1);
      const indent = random.below(3);
      const text = JSON.stringify(Object.fromEntries(shuffled), null, indent);
      assertEquals(agreement.check(encoder.encode(text)), null, text);
    }),
    { numRuns: 3_000 },
  );
});

Deno.test("what the simulator sends is scanned, every event of it", () => {
  const agreement = new Agreement();
  const { timeline, readers } = virtualTimeline(2_000, T0);
  const simulator = new Simulator({ seed: 3, timeline, readers });
  for (let i = 0; i < 2_000; i++) {
    assertEquals(agreement.check(encoder.encode(JSON.stringify(simulator.next().event))), null);
  }
  assertEquals(agreement.counts, { scanned: 2_000, parsed: 0, rejected: 0 });
});

Deno.test("blanks between tokens, offsets of time zones and texts beyond ASCII are scanned too", () => {
  const agreement = new Agreement();
  const values = [
    JSON.stringify(REQUIRED, null, 2),
    JSON.stringify(REQUIRED).replaceAll(":", ": ").replaceAll(",", ", "),
    JSON.stringify({ ...REQUIRED, timestamp: "2026-01-05T12:00:00.123456+05:30" }),
    JSON.stringify({ ...REQUIRED, page_title: "Zürich, 日本語, \u{1f600}" }),
  ];
  for (const value of values) assertEquals(agreement.check(encoder.encode(value)), null);
  assertEquals(agreement.counts, { scanned: 4, parsed: 0, rejected: 0 });
});

Deno.test("members of a profile that go with others than before are read anew", () => {
  const agreement = new Agreement();
  const event = (members: string) =>
    encoder.encode(
      `${JSON.stringify({ ...REQUIRED, brand: "Herald", country: "CH" }).slice(0, -1)}${members}}`,
    );
  const page = ', "category":"news"';
  for (let round = 0; round < 3; round++) {
    // A blank hides which member follows, so that the run seems to stand there although a city does.
    const values = [
      event(page),
      event(`, "city":"Bern"${page}`),
      event(page),
      event(`, "city":"Genf","category":""`),
    ];
    for (const value of [...values, event(`${page},"city":"Bern"`), event(`${page},"extra":1`), event("")]) {
      assertEquals(agreement.check(value), null, new TextDecoder().decode(value));
    }
  }
  assert(agreement.counts.scanned >= 9 && agreement.counts.parsed >= 3, JSON.stringify(agreement.counts));
});
