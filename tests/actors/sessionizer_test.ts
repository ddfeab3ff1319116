import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  acceptBatch,
  emptyPartition,
  type PartitionSeal,
  type PartitionState,
  sealPartition,
  sessionRow,
} from "../../actors/sessionizer.ts";
import { shardOf } from "../../actors/shard.ts";
import { splitByShard } from "../../actors/route.ts";
import type { PartitionBarrier, SessionSemantics } from "../../schema/epoch.ts";
import { sessionColumnIndex } from "../../schema/session.ts";
import { recordBatchOf } from "../../sources/record_batch.ts";
import type { ProducedRecord } from "../../sources/source.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const T0 = Date.UTC(2026, 0, 5, 12);
const SEMANTICS: SessionSemantics = {
  sessionTimeoutMs: 30 * MINUTE,
  watermarkDelayMs: MINUTE,
  allowedLatenessMs: 2 * MINUTE,
  maxSessionDurationMs: 24 * 60 * MINUTE,
  maxSessionEvents: 50_000,
  maxClockSkewMs: MINUTE,
  keyCheck: "session_id",
};

interface Click {
  readonly session?: string;
  readonly at: number;
  readonly id?: string;
  readonly type?: string;
  readonly key?: string | null;
  readonly fields?: Record<string, unknown>;
}

const encoder = new TextEncoder();

function record(
  { session = "s", at, id = `e${at}`, type = "article_view", key, fields }: Click,
): ProducedRecord {
  const event = {
    event_id: id,
    session_id: session,
    user_id: 7,
    event_type: type,
    timestamp: T0 + at,
    ...fields,
  };
  const keyText = key === undefined ? session : key;
  return {
    key: keyText === null ? null : encoder.encode(keyText),
    value: encoder.encode(JSON.stringify(event)),
  };
}

/** A partition under test: feeds clicks at growing offsets and closes epochs. */
class Bench {
  readonly state: PartitionState;
  #offset = 0;
  #number = 0;
  constructor(
    semantics: Partial<SessionSemantics> = {},
    private readonly brokerTime = T0 + 365 * 24 * 60 * MINUTE,
  ) {
    this.state = emptyPartition(3, { ...SEMANTICS, ...semantics });
  }
  feed(...clicks: readonly Click[]): this {
    this.raw(clicks.map(record));
    return this;
  }
  raw(records: readonly ProducedRecord[]): void {
    acceptBatch(this.state, recordBatchOf(3, this.#offset, this.brokerTime, records));
    this.#offset += records.length;
  }
  /** Closes an epoch at the watermarks, relative to T0. */
  seal(eventWatermark: number | null = null, more: Partial<PartitionBarrier> = {}): PartitionSeal {
    const absolute = eventWatermark === null ? null : T0 + eventWatermark;
    return sealPartition(this.state, {
      partition: 3,
      number: ++this.#number,
      epoch: this.#number,
      from: 0,
      to: this.#offset,
      clock: T0,
      eventWatermark: absolute,
      watermark: absolute,
      idleSince: null,
      forgetBefore: absolute === null ? null : absolute - SEMANTICS.allowedLatenessMs,
      closeOpen: false,
      lastRecord: null,
      ...more,
    });
  }
}

function shape({ finished }: PartitionSeal) {
  return finished.map((
    { sessionId, firstOffset, events, closed },
  ) => [sessionId, firstOffset, events.length, closed]);
}

function reasons({ deadLetters }: PartitionSeal): string[] {
  return deadLetters.map(({ reason }) => reason);
}

Deno.test("a session ends by session_end, at the next barrier", () => {
  const bench = new Bench().feed({ at: 0 }, { at: SECOND, type: "session_end" });
  assertEquals(shape(bench.seal()), [["s", 0, 2, "session_end"]]);
  assertEquals(shape(bench.seal()), []);
});

Deno.test("a session times out only when the watermark has passed its end by more than the timeout", () => {
  const bench = new Bench().feed({ at: 0 });
  assertEquals(shape(bench.seal(30 * MINUTE)), []);
  assertEquals(shape(bench.seal(30 * MINUTE + 1)), [["s", 0, 1, "timeout"]]);
});

Deno.test("a session closed by the idle advance alone says so", () => {
  const bench = new Bench().feed({ at: 0 });
  const seal = bench.seal(-MINUTE, { watermark: T0 + 30 * MINUTE + 1 });
  assertEquals(shape(seal), [["s", 0, 1, "idle"]]);
});

Deno.test("a close-open barrier closes what is open with reason drain, and what has timed out with timeout", () => {
  const bench = new Bench().feed({ session: "old", at: 0 }, { session: "new", at: 40 * MINUTE });
  const seal = bench.seal(39 * MINUTE, { closeOpen: true });
  assertEquals(shape(seal), [["old", 0, 1, "timeout"], ["new", 1, 1, "drain"]]);
});

Deno.test("an event at exactly the timeout still belongs, one later opens a new occurrence", () => {
  const bench = new Bench().feed({ at: 0 }, { at: 30 * MINUTE }, { at: 60 * MINUTE + 1 });
  assertEquals(shape(bench.seal(null, { closeOpen: true })), [["s", 0, 2, "drain"], ["s", 2, 1, "drain"]]);
});

Deno.test("of several open occurrences the nearest takes the event, then the one with the lower first offset", () => {
  const bench = new Bench().feed({ at: 0, id: "a" }, { at: 60 * MINUTE, id: "b" });
  bench.feed({ at: 29 * MINUTE, id: "near a" }, { at: 31 * MINUTE, id: "near a's new end" });
  bench.feed({ at: 46 * MINUTE - 30 * SECOND, id: "in the middle" });
  const [first, second] = bench.seal(null, { closeOpen: true }).finished;
  assertEquals(first!.events.map(({ event }) => event.eventId), [
    "a",
    "near a",
    "near a's new end",
    "in the middle",
  ]);
  assertEquals(second!.events.map(({ event }) => event.eventId), ["b"]);
});

Deno.test("occurrences are never merged, even by an event between them", () => {
  const bench = new Bench().feed({ at: 0 }, { at: 50 * MINUTE }, { at: 25 * MINUTE });
  assertEquals(bench.seal(null, { closeOpen: true }).finished.length, 2);
});

Deno.test("after session_end an event up to the session's end joins it before its seal, and a later one opens another", () => {
  const bench = new Bench().feed({ at: 0 }, { at: 10 * SECOND, type: "session_end" });
  bench.feed({ at: 5 * SECOND, id: "late but in time" }, { at: 11 * SECOND });
  const seal = bench.seal(null, { closeOpen: true });
  assertEquals(shape(seal), [["s", 0, 3, "session_end"], ["s", 3, 1, "drain"]]);
});

Deno.test("an event for a session that was sealed is the dead letter late", () => {
  const bench = new Bench().feed({ at: 0 }, { at: 10 * SECOND, type: "session_end" });
  bench.seal();
  const seal = bench.feed({ at: 5 * SECOND, id: "x" }).seal();
  assertEquals(reasons(seal), ["late"]);
  assertEquals(seal.counts, {
    records: 1,
    duplicates: 0,
    deadLetters: 1,
    inSessions: 0,
    held: 0,
    openSessions: 0,
  });
});

Deno.test("a duplicate event_id counts once, also when its session is sealed, and in another session it is no duplicate", () => {
  const bench = new Bench().feed({ at: 0, id: "a" }, { at: 0, id: "a" }, {
    at: SECOND,
    id: "end",
    type: "session_end",
  });
  const first = bench.feed({ session: "other", at: 0, id: "a" }).seal();
  assertEquals([first.counts.duplicates, first.counts.inSessions, first.counts.held], [1, 2, 1]);
  const second = bench.feed({ at: 0, id: "a" }).seal();
  assertEquals([second.counts.duplicates, second.counts.deadLetters], [1, 0]);
});

Deno.test("a session that passes its event cap is closed and the event opens the next, at equal times too", () => {
  const bench = new Bench({ maxSessionEvents: 3 });
  bench.feed(...[1, 2, 3, 4, 5, 6, 7].map((n) => ({ at: 0, id: `e${n}` })));
  const seal = bench.seal(null, { closeOpen: true });
  assertEquals(shape(seal), [["s", 0, 3, "cap"], ["s", 3, 3, "cap"], ["s", 6, 1, "drain"]]);
});

Deno.test("an event that only a finished session at its event cap could take is the dead letter cap", () => {
  const bench = new Bench({ maxSessionEvents: 2 }).feed({ at: 0 }, { at: 2 * SECOND }, { at: 3 * SECOND });
  const seal = bench.feed({ at: SECOND, id: "between" }).seal(null, { closeOpen: true });
  assertEquals(reasons(seal), ["cap"]);
});

Deno.test("a session never lasts longer than its cap, whichever way it grows", () => {
  const bench = new Bench({ maxSessionDurationMs: 40 * MINUTE });
  bench.feed({ at: 0 }, { at: 25 * MINUTE }, { at: 40 * MINUTE }, { at: 40 * MINUTE + 1 });
  bench.feed({ session: "back", at: 40 * MINUTE }, { session: "back", at: 15 * MINUTE }, {
    session: "back",
    at: -MINUTE,
  });
  assertEquals(shape(bench.seal(null, { closeOpen: true })), [
    ["s", 0, 3, "cap"],
    ["back", 4, 2, "cap"],
    ["s", 3, 1, "drain"],
    ["back", 6, 1, "drain"],
  ]);
});

Deno.test("a forgotten session's straggler opens an occurrence of its own, one far behind the watermark is too_late", () => {
  const bench = new Bench().feed({ at: 0 }, { at: SECOND, type: "session_end" });
  bench.seal(10 * MINUTE);
  assertEquals(bench.state.occurrences.size, 0);
  const straggler = bench.feed({ at: SECOND / 2 }).seal(10 * MINUTE);
  assertEquals([reasons(straggler), straggler.counts.openSessions], [[], 1]);
  bench.seal(33 * MINUTE);
  assertEquals(reasons(bench.feed({ session: "just in time", at: MINUTE }).seal(33 * MINUTE)), []);
  assertEquals(reasons(bench.feed({ session: "too late", at: MINUTE - 1 }).seal(33 * MINUTE)), ["too_late"]);
});

Deno.test("a finished session is remembered until its end lies the allowed lateness before the watermark", () => {
  const bench = new Bench().feed({ at: 0, type: "session_end" });
  bench.seal(2 * MINUTE);
  assertEquals(bench.state.occurrences.size, 1);
  bench.seal(2 * MINUTE + 1);
  assertEquals(bench.state.occurrences.size, 0);
  bench.feed({ session: "by gap", at: 10 * MINUTE });
  bench.seal(40 * MINUTE + 1);
  bench.seal(42 * MINUTE);
  assertEquals(bench.state.occurrences.size, 1);
  bench.seal(42 * MINUTE + 1);
  assertEquals(bench.state.occurrences.size, 0);
});

Deno.test("only accepted events and duplicates move the latest event time", () => {
  const bench = new Bench({}, T0).feed({ at: 0 }, { at: 61 * SECOND, id: "ahead of the broker" });
  const seal = bench.seal();
  assertEquals([reasons(seal), seal.latestEventTime], [["clock_skew"], T0]);
  assertEquals(bench.feed({ at: MINUTE }).seal().latestEventTime, T0 + MINUTE);
});

Deno.test("a record must have its session_id as key, unless keys are trusted", () => {
  const clicks: Click[] = [{ at: 0, key: "other" }, { at: 1, key: null }, { at: 2 }];
  assertEquals(reasons(new Bench().feed(...clicks).seal()), ["key_mismatch", "no_key"]);
  const trusting = new Bench({ keyCheck: "trust" }).feed(...clicks).seal(null, { closeOpen: true });
  assertEquals(reasons(trusting), ["no_key"]);
  assertEquals(shape(trusting), [["s", 0, 1, "drain"], ["s", 2, 1, "drain"]]);
});

Deno.test("a dead letter keeps its bytes, its key and its place", () => {
  const bench = new Bench().feed({ at: 0 });
  bench.raw([{ key: encoder.encode("k"), value: encoder.encode("{bad") }, { key: null, value: null }]);
  const [bad, empty] = bench.seal().deadLetters;
  assertEquals([bad!.reason, bad!.partition, bad!.offset], ["invalid_json", 3, 1]);
  assertEquals([bad!.key, bad!.value], [encoder.encode("k"), encoder.encode("{bad")]);
  assertEquals([empty!.reason, empty!.key, empty!.value], ["null_value", null, null]);
});

Deno.test("first values are the earliest event's, not the first to arrive's", () => {
  const bench = new Bench().feed(
    { at: SECOND, fields: { brand: "second", city: null } },
    { at: 0, fields: { brand: "first", city: "" } },
    { at: 2 * SECOND, fields: { city: "Oslo" }, type: "session_end" },
  );
  const [occurrence] = bench.seal().finished;
  const row = sessionRow(occurrence!, bench.seal().barrier);
  const cell = (name: string) => row[sessionColumnIndex(name)];
  assertEquals([cell("brand"), cell("city"), cell("session_start")], ["first", "Oslo", T0]);
  assertEquals([cell("first_offset"), cell("last_offset")], [0, 2]);
});

/** Sessions of a few ids whose gaps are either well inside the timeout or well beyond it. */
const clicks = fc.array(
  fc.record({
    session: fc.constantFrom("a", "b", "c", "__proto__"),
    gap: fc.oneof(
      fc.integer({ min: 0, max: 10 * MINUTE }),
      fc.integer({ min: 61 * MINUTE, max: 90 * MINUTE }),
    ),
  }),
  { minLength: 1, maxLength: 60 },
).map((steps) => {
  const clocks = new Map<string, number>();
  const unordered = steps.map(({ session, gap }, i) => {
    const at = (clocks.get(session) ?? 0) + gap;
    clocks.set(session, at);
    return { session, at, id: `e${i}` };
  });
  return unordered.sort((a, b) => a.at - b.at);
});

/** An oracle that shares nothing with the sessionizer: cuts each id's sorted times at gaps beyond the timeout. */
function byGaps(events: readonly (Click & { session: string })[]): string[] {
  const sessions: string[] = [];
  for (const id of new Set(events.map(({ session }) => session))) {
    const own = events.filter(({ session }) => session === id).sort((a, b) => a.at - b.at);
    let current: typeof own = [];
    for (const event of own) {
      if (current.length > 0 && event.at - current.at(-1)!.at > SEMANTICS.sessionTimeoutMs) {
        sessions.push(`${id}:${current.map(({ id }) => id).sort()}`);
        current = [];
      }
      current.push(event);
    }
    sessions.push(`${id}:${current.map(({ id }) => id).sort()}`);
  }
  return sessions.sort();
}

function sessionsOf(seals: readonly PartitionSeal[]): string[] {
  return seals.flatMap(({ finished }) =>
    finished.map(({ sessionId, events }) => `${sessionId}:${events.map(({ event }) => event.eventId).sort()}`)
  ).sort();
}

Deno.test("property: sessions are the gaps' sessions, whatever the order of arrival inside a session", () => {
  fc.assert(fc.property(clicks, fc.integer({ min: 1 }), (events, seed) => {
    // Swaps neighbours that lie less than a quarter of the timeout apart: no session's boundary is crossed.
    const arrived = [...events];
    for (let i = 1, draw = seed; i < arrived.length; i++, draw = Math.imul(draw, 48271)) {
      if (draw & 1 && arrived[i]!.at - arrived[i - 1]!.at < SEMANTICS.sessionTimeoutMs / 4) {
        [arrived[i - 1], arrived[i]] = [arrived[i]!, arrived[i - 1]!];
      }
    }
    const bench = new Bench().feed(...arrived);
    assertEquals(sessionsOf([bench.seal(null, { closeOpen: true })]), byGaps(events));
  }));
});

Deno.test("property: where epochs are cut changes no session, as long as the watermark keeps its delay", () => {
  fc.assert(fc.property(clicks, fc.array(fc.nat({ max: 60 }), { maxLength: 8 }), (events, cuts) => {
    const bench = new Bench();
    const seals: PartitionSeal[] = [];
    let latest = -Infinity;
    events.forEach((event, i) => {
      bench.feed(event);
      latest = Math.max(latest, event.at);
      if (cuts.includes(i)) seals.push(bench.seal(latest - SEMANTICS.watermarkDelayMs));
    });
    seals.push(bench.seal(null, { closeOpen: true, watermark: bench.state.watermark }));
    assertEquals(sessionsOf(seals), byGaps(events));
  }));
});

Deno.test("property: the number of shards changes no row, and in every seal the ledger balances", () => {
  fc.assert(
    fc.property(clicks, fc.integer({ min: 2, max: 5 }), fc.nat({ max: 60 }), (events, shards, cut) => {
      const rowsWith = (count: number) => {
        const states = Array.from({ length: count }, () => emptyPartition(3, SEMANTICS));
        const rows: string[] = [];
        const feed = (from: number, to: number, number: number) => {
          const records = events.slice(from, to).map(record);
          if (records.length > 0) {
            const parts = splitByShard(recordBatchOf(3, from, T0 + 1e10, records), 0, records.length, count);
            parts.forEach((part, shard) => part !== null && acceptBatch(states[shard]!, part));
          }
          const latest = Math.max(...events.slice(0, Math.max(to, 1)).map(({ at }) => at));
          const watermark = T0 + latest - SEMANTICS.watermarkDelayMs;
          const seals = states.map((state) =>
            sealPartition(state, {
              ...{
                partition: 3,
                number,
                epoch: number,
                from,
                to,
                clock: T0,
                idleSince: null,
                lastRecord: null,
              },
              ...{ eventWatermark: watermark, watermark, forgetBefore: null, closeOpen: number === 2 },
            })
          );
          const total = (name: keyof PartitionSeal["counts"]) =>
            seals.reduce((sum, { counts }) => sum + counts[name], 0);
          return { seals, total };
        };
        let [consumed, inSessions, other] = [0, 0, 0];
        const middle = Math.min(cut, events.length);
        for (const [from, to, number] of [[0, middle, 1], [middle, events.length, 2]] as const) {
          const { seals, total } = feed(from, to, number);
          consumed += total("records");
          inSessions += total("inSessions");
          other += total("duplicates") + total("deadLetters");
          assertEquals(consumed, inSessions + other + total("held"));
          for (const { barrier, finished } of seals) {
            rows.push(...finished.map((occurrence) => JSON.stringify(sessionRow(occurrence, barrier))));
          }
        }
        return rows.sort();
      };
      assertEquals(rowsWith(shards), rowsWith(1));
    }),
  );
});

Deno.test("shards are chosen by the key's bytes, and every shard gets its share", () => {
  const counts = new Array(4).fill(0);
  for (let i = 0; i < 4_000; i++) counts[shardOf(encoder.encode(`session-${i}`), 4)]++;
  assert(counts.every((count) => count > 800 && count < 1_200), String(counts));
});
