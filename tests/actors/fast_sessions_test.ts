/** The fast sessions against the plain ones: on the same records and barriers they must say the same. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { FastSessions } from "../../actors/fast_sessions.ts";
import { PlainSessions } from "../../actors/plain_sessions.ts";
import type { ShardSeal, ShardSessions } from "../../actors/sessions.ts";
import { cellAt, type ColumnBatch } from "../../schema/column_batch.ts";
import type { PartitionBarrier, SessionSemantics } from "../../schema/epoch.ts";
import { erasureOf } from "../../schema/erasure.ts";
import { AssertionError } from "../../schema/errors.ts";
import { EVENT_TYPES } from "../../schema/user_event.ts";
import { recordBatchOf } from "../../sources/record_batch.ts";
import type { ProducedRecord } from "../../sources/source.ts";
import { barrierOf, eventBytes, MINUTE, SEMANTICS, T0 } from "../support/records.ts";

const encoder = new TextEncoder();
const PLACE = { shard: 0, shards: 1 };
const DAY = 24 * 60 * MINUTE;

const IDS = ["s1", "s2", "session-3", "__proto__", "\ufeff", "\u{1f600}", "x".repeat(128)];
const TEXTS = [null, "a", "Herald", "a\u0301\0", "\u{1f600}", 'a "quoted" text', "y".repeat(70)];

const ERASURES = [
  ["user_id", "7"],
  ["user_id", "4294967295"],
  ...IDS.map((id) => ["session_id", id] as const),
]
  .map(([kind, value]) => [
    erasureOf({ id: "request", kind: kind as "user_id" | "session_id", salt: "salt" }, value!),
  ]);

/** What happens to both: a record comes, a barrier closes an epoch, or the process restarts. */
type Step =
  | { readonly step: "record"; readonly record: ProducedRecord; readonly gap: number }
  /** The watermark moves on by `minutes`. */
  | { readonly step: "barrier"; readonly minutes: number; readonly fields: Partial<PartitionBarrier> }
  /** From one's own snapshot, or from the other's. */
  | { readonly step: "restart"; readonly crossed: boolean };

const anyRecord: fc.Arbitrary<ProducedRecord> = fc.oneof(
  {
    weight: 30,
    arbitrary: fc.record({
      id: fc.constantFrom(...IDS),
      tag: fc.constantFrom("", "", "", "user-9", "user-10"),
      fields: fc.record({
        event_id: fc.integer({ min: 0, max: 60 }).map((number) => `e${number}`),
        user_id: fc.constantFrom(7, 7, 7, 4_294_967_295),
        event_type: fc.constantFrom("article_view", "article_view", "navigation", ...EVENT_TYPES),
        timestamp: fc.oneof(
          { weight: 20, arbitrary: fc.integer({ min: T0, max: T0 + 120 * MINUTE }) },
          // Often as near to one occurrence as to another.
          { weight: 20, arbitrary: fc.nat({ max: 48 }).map((steps) => T0 + steps * 2.5 * MINUTE) },
          { weight: 1, arbitrary: fc.integer({ min: T0 - 40 * DAY, max: T0 + 300 * MINUTE }) },
        ),
        brand: fc.constantFrom(...TEXTS),
        city: fc.constantFrom("Bern", "Bern", "Bern", null),
        page_title: fc.constantFrom(...TEXTS),
        page_url: fc.constantFrom("/", "/a", "/b", null),
        article_id: fc.constantFrom(null, "1", "2", "3"),
        category: fc.constantFrom(null, "news", "sport"),
      }),
    }).map(({ id, tag, fields }) => ({
      key: encoder.encode(tag || id),
      value: eventBytes({ session_id: id, ...fields }),
    })),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom<ProducedRecord>(
      { key: null, value: eventBytes() },
      { key: encoder.encode("s1"), value: null },
      { key: encoder.encode("s1"), value: encoder.encode("{}") },
      { key: encoder.encode("s1"), value: encoder.encode("x".repeat(70_000)) },
      { key: new Uint8Array(0), value: eventBytes({ event_id: "empty key" }) },
    ),
  },
);

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 20,
    arbitrary: fc.record({
      step: fc.constant("record" as const),
      record: anyRecord,
      gap: fc.constantFrom(0, 0, 0, 3, 2 ** 33),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      step: fc.constant("barrier" as const),
      minutes: fc.constantFrom(0, 0, 3, 10, 30),
      fields: fc.record({
        revise: fc.boolean(),
        closeOpen: fc.integer({ max: 5, min: 0 }).map((n) => n === 0),
        clock: fc.constantFrom(T0, 9_999_999_999_999),
        erase: fc.constantFrom(undefined, undefined, undefined, ...ERASURES),
      }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ step: fc.constant("restart" as const), crossed: fc.boolean() }) },
);

const anySemantics: fc.Arbitrary<SessionSemantics> = fc.record({
  sessionTimeoutMs: fc.constantFrom(30 * MINUTE, 5 * MINUTE),
  allowedLatenessMs: fc.constantFrom(2 * MINUTE, 60 * MINUTE),
  maxSessionDurationMs: fc.constantFrom(DAY, 60 * MINUTE, 365 * DAY),
  maxSessionEvents: fc.constantFrom(50_000, 7),
  maxClockSkewMs: fc.constantFrom(MINUTE, DAY),
  keyCheck: fc.constantFrom("trust" as const, "session_id" as const),
  watermarkDelayMs: fc.constant(MINUTE),
});

function cellsOf(batch: ColumnBatch) {
  const rows = Array.from(
    { length: batch.rows },
    (_, row) => batch.columns.map((column) => cellAt(column, row)),
  );
  return rows.map((row) => JSON.stringify(row)).sort();
}

function summary({ rows, revisions, deadLetters, closingTimes, partitions }: ShardSeal) {
  return {
    rows: cellsOf(rows),
    revisions: cellsOf(revisions),
    deadLetters,
    closingTimes: [...closingTimes].sort(),
    partitions,
  };
}

/** Two implementations that live through the same. */
class Twins {
  plain: ShardSessions = new PlainSessions(PLACE);
  fast: FastSessions = new FastSessions(PLACE, 0);
  #offset = 0;
  #number = 0;
  #barrier = barrierOf();
  #pending: ProducedRecord[] = [];
  readonly #partition: number;
  counts = { rows: 0, revisions: 0, deadLetters: 0, restarts: 0 };

  constructor(private semantics: SessionSemantics, partition = 0) {
    this.#partition = partition;
    this.#restore(this.plain, new Uint8Array(0), null);
    this.#restore(this.fast, new Uint8Array(0), null);
  }

  run(steps: readonly Step[]): void {
    for (const step of steps) {
      if (step.step === "record") this.#record(step.record, step.gap);
      else if (step.step === "barrier") this.seal(step.minutes, step.fields);
      else this.restart(step.crossed);
    }
    this.seal(400, { closeOpen: true, revise: true });
  }

  #record(record: ProducedRecord, gap: number): void {
    if (gap > 0) this.#flush();
    this.#offset += gap;
    this.#pending.push(record);
  }

  #flush(): void {
    const records = this.#pending.splice(0);
    if (records.length === 0) return;
    const batch = () => recordBatchOf(this.#partition, this.#offset, T0 + 200 * MINUTE, records);
    this.plain.accept(batch());
    this.fast.accept(batch());
    this.#offset += records.length;
  }

  seal(minutes: number, fields: Partial<PartitionBarrier>): void {
    this.#flush();
    const watermark = (this.#barrier.watermark ?? T0) + minutes * MINUTE;
    const eventWatermark = watermark - 2 * MINUTE;
    const forgetBefore = watermark - this.semantics.allowedLatenessMs;
    this.#number++;
    const [partition, number, epoch] = [this.#partition, this.#number, 10 + this.#number];
    const barrier = {
      ...barrierOf({ partition, number, epoch, watermark, eventWatermark, forgetBefore }),
      ...fields,
    };
    this.#barrier = barrier;
    const [plain, fast] = [this.plain.seal([barrier]), this.fast.seal([barrier])];
    assertEquals(summary(fast), summary(plain));
    assertEquals(this.fast.summary(this.#partition), this.plain.summary(this.#partition));
    assertEquals([this.fast.openSessions, this.fast.heldEvents], [
      this.plain.openSessions,
      this.plain.heldEvents,
    ]);
    this.#inspect();
    this.counts.rows += plain.rows.rows;
    this.counts.revisions += plain.revisions.rows;
    this.counts.deadLetters += plain.deadLetters.length;
  }

  #inspect(): void {
    const sorted = (sessions: ShardSessions, by: "recent" | "s1" | 7) => {
      const limit = 100;
      const found = by === "recent"
        ? sessions.inspect({ by, limit })
        : by === 7
        ? sessions.inspect({ by: "user_id", userId: by, limit })
        : sessions.inspect({ by: "session_id", sessionId: by, limit });
      return found.sort((a, b) => a.firstOffset - b.firstOffset);
    };
    for (const by of ["recent", "s1", 7] as const) {
      assertEquals(sorted(this.fast, by), sorted(this.plain, by));
    }
  }

  restart(crossed: boolean): void {
    this.seal(0, {});
    const { latestEventTime } = this.plain.summary(this.#partition);
    const [fromPlain, fromFast] = [this.plain, this.fast].map((sessions) =>
      sessions.snapshot(this.#partition)
    );
    this.plain = new PlainSessions(PLACE);
    this.fast = new FastSessions(PLACE, 0);
    this.#restore(this.plain, crossed ? fromFast! : fromPlain!, latestEventTime);
    this.#restore(this.fast, crossed ? fromPlain! : fromFast!, latestEventTime);
    assertEquals(this.fast.summary(this.#partition), this.plain.summary(this.#partition));
    this.counts.restarts++;
  }

  #restore(sessions: ShardSessions, occurrences: Uint8Array, latestEventTime: number | null): void {
    const { semantics } = this;
    const { watermark } = this.#barrier;
    sessions.restore({ partition: this.#partition, occurrences, latestEventTime, watermark, semantics });
  }
}

Deno.test("property: rows, revisions, dead letters, counts, inspections and snapshots are those of the plain version", () => {
  const sum = { rows: 0, revisions: 0, deadLetters: 0, restarts: 0 };
  fc.assert(
    fc.property(
      anySemantics,
      fc.array(anyStep, { minLength: 1, maxLength: 120, size: "max" }),
      (semantics, steps) => {
        const twins = new Twins(semantics);
        twins.run(steps);
        for (const name of Object.keys(sum) as (keyof typeof sum)[]) sum[name] += twins.counts[name];
      },
    ),
    { numRuns: 150 },
  );
  assert(Object.values(sum).every((count) => count > 50), `too little happened: ${JSON.stringify(sum)}`);
});

const click = (session: string, fields: Record<string, unknown>): Step => ({
  step: "record",
  gap: 0,
  record: { key: encoder.encode(session), value: eventBytes({ session_id: session, ...fields }) },
});

Deno.test("a session of thousands of events, many of them twice and out of order, is the plain version's", () => {
  const twins = new Twins({ ...SEMANTICS, maxSessionEvents: 3_000 });
  const steps: Step[] = [];
  for (let i = 0; i < 5_000; i++) {
    const event = Math.imul(i, 2_654_435_761) % 4_000;
    steps.push(click("s", {
      event_id: `e${event}`,
      timestamp: T0 + (event * 37 % 4_000),
      event_type: EVENT_TYPES[Math.abs(event) % 8],
      page_url: `/${event}`,
      article_id: event % 3 === 0 ? null : `${event % 500}`,
      page_title: event % 5 === 0 ? null : `title ${event % 700}`,
    }));
    if (i % 1_500 === 1_499) steps.push({ step: "restart", crossed: i % 2 === 0 });
  }
  twins.run(steps);
  assert(twins.counts.rows >= 1, "it was closed");
});

Deno.test("what many sessions leave behind is forgotten, and their memory used again", () => {
  const sessions = new FastSessions(PLACE);
  sessions.restore({
    partition: 0,
    occurrences: new Uint8Array(0),
    latestEventTime: null,
    watermark: null,
    semantics: SEMANTICS,
  });
  const sizes: number[] = [];
  for (let round = 0; round < 12; round++) {
    for (let part = 0; part < 4; part++) {
      const records = Array.from({ length: 5_000 }, (_, i) => {
        const session = `${round}-${part}-${i % 1_000}`;
        const url = `https://example.org/${round}/${part}/${i}`;
        const fields = {
          session_id: session,
          event_id: `${i}`,
          timestamp: T0 + round * 60 * MINUTE,
          page_url: url,
        };
        return { key: encoder.encode(session), value: eventBytes(fields) };
      });
      sessions.accept(recordBatchOf(0, (round * 4 + part) * 5_000, T0 + 1_000 * MINUTE, records));
    }
    const watermark = T0 + (round * 60 + 50) * MINUTE;
    const { rows } = sessions.seal([
      barrierOf({ watermark, eventWatermark: watermark, forgetBefore: watermark - 2 * MINUTE, epoch: round }),
    ]);
    assertEquals([rows.rows, sessions.openSessions], [4_000, 0]);
    sizes.push(sessions.byteLength);
  }
  assert(Math.max(...sizes.slice(6)) <= 1.25 * Math.max(...sizes.slice(0, 6)), `it grows: ${sizes}`);
});

Deno.test("between two barriers there is no snapshot, and a partition that is not restored is a bug", () => {
  const sessions = new FastSessions(PLACE);
  sessions.restore({
    partition: 0,
    occurrences: new Uint8Array(0),
    latestEventTime: null,
    watermark: null,
    semantics: SEMANTICS,
  });
  sessions.accept(recordBatchOf(0, 0, T0, [{ key: null, value: null }]));
  assertThrows(() => sessions.snapshot(0), AssertionError, "at a barrier");
  assertThrows(() => sessions.accept(recordBatchOf(1, 0, T0, [])), AssertionError, "restored");
});

Deno.test("a snapshot is divided among any number of shards", () => {
  const whole = new FastSessions(PLACE);
  const restore = { partition: 0, latestEventTime: null, watermark: null, semantics: SEMANTICS };
  whole.restore({ ...restore, occurrences: new Uint8Array(0) });
  const records = Array.from({ length: 300 }, (_, i) => {
    const session = `session-${i % 90}`;
    return {
      key: encoder.encode(session),
      value: eventBytes({ session_id: session, event_id: `${i}`, brand: `b${i % 7}` }),
    };
  });
  whole.accept(recordBatchOf(0, 0, T0, records));
  whole.seal([barrierOf()]);
  const close = barrierOf({ number: 2, epoch: 2, closeOpen: true });
  const parts = [0, 1, 2].map((shard) => {
    const sessions = new FastSessions({ shard, shards: 3 });
    sessions.restore({ ...restore, occurrences: whole.snapshot(0) });
    return sessions;
  });
  // And the shards' snapshots, joined, are the whole again.
  const joined = new Uint8Array(parts.flatMap((sessions) => [...sessions.snapshot(0)]));
  const again = new FastSessions(PLACE);
  again.restore({ ...restore, occurrences: joined });
  const rows = cellsOf(whole.seal([close]).rows);
  assertEquals(rows.length, 90);
  assertEquals(cellsOf(again.seal([close]).rows), rows);
  assertEquals(parts.flatMap((sessions) => cellsOf(sessions.seal([close]).rows)).sort(), rows);
});

Deno.test("a restored session is the same whatever place it had: of two as near, the one that was opened first takes an event", () => {
  const twins = new Twins({ ...SEMANTICS, allowedLatenessMs: 0 });
  const at = (minutes: number, event_id: string, more = {}) => ({
    event_id,
    timestamp: T0 + minutes * MINUTE,
    ...more,
  });
  twins.run([
    click("forgotten", at(0, "e0", { event_type: "session_end" })),
    click("s", at(10, "first")),
    { step: "barrier", minutes: 5, fields: {} },
    // Takes the place of the one that was forgotten, before the one that was opened first.
    click("s", at(70, "second")),
    { step: "restart", crossed: false },
    click("s", at(40, "between")),
  ]);
  assertEquals(twins.counts.rows, 3);
});
