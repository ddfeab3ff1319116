/** Late events: what they make of sessions that are committed, and what comes of it. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { type PartitionSeal } from "../../actors/sessionizer.ts";
import { sessionRow } from "../../actors/session_rows.ts";
import { textHash64 } from "../../schema/hash64.ts";
import { sessionColumnIndex } from "../../schema/session.ts";
import { Bench, type Click, MINUTE, SECOND, T0 } from "../support/sessionizer_bench.ts";

/** A committed session of two events, ten seconds apart. */
function committed(): Bench {
  const bench = new Bench().feed({ at: 0 }, { at: 10 * SECOND, type: "session_end" });
  bench.seal();
  return bench;
}

const LATE: Click = { at: 5 * SECOND, id: "late" };
const REVISE = { revise: true };

function cells({ revised, barrier }: PartitionSeal, ...names: string[]) {
  return revised.map(({ occurrence }) => {
    const row = sessionRow(occurrence, barrier);
    return names.map((name) => row[sessionColumnIndex(name)]);
  });
}

Deno.test("an event for a committed session waits, held, and leaves with the next barrier that revises", () => {
  const bench = committed().feed(LATE);
  const waiting = bench.seal();
  assertEquals([waiting.revised.length, waiting.deadLetters.length, waiting.finished.length], [0, 0, 0]);
  assertEquals(waiting.counts, {
    ...{ records: 1, duplicates: 0, deadLetters: 0, inSessions: 0, held: 1 },
    ...{ openSessions: 0, pendingRevisions: 1 },
  });
  const revising = bench.seal(null, REVISE);
  assertEquals(revising.counts, {
    ...{ records: 0, duplicates: 0, deadLetters: 0, inSessions: 1, held: 0 },
    ...{ openSessions: 0, pendingRevisions: 0 },
  });
  assertEquals(bench.seal(null, REVISE).revised, []);
});

Deno.test("a revision's row is the whole session: identity and close reason kept, the rest as of its barrier", () => {
  const bench = committed().feed(LATE, { at: -SECOND, id: "earlier" });
  const seal = bench.seal(null, { ...REVISE, clock: T0 + MINUTE });
  const names = ["session_id", "source_partition", "first_offset", "close_reason", "revision", "last_offset"];
  assertEquals(cells(seal, ...names), [["s", 3, 0, "session_end", 1, 3]]);
  assertEquals(cells(seal, "batch_id", "created_at", "total_events", "session_start"), [[
    2,
    T0 + MINUTE,
    4,
    T0 - SECOND,
  ]]);
  assertEquals(seal.revised[0]!.replacesEpoch, 1);
  const again = bench.feed({ at: 6 * SECOND, id: "later still" }).seal(null, REVISE);
  assertEquals(cells(again, "revision", "total_events"), [[2, 5]]);
  assertEquals(again.revised[0]!.replacesEpoch, 2);
});

Deno.test("an event that amends a session before its seal makes no revision, nor does a repeated one after it", () => {
  const bench = new Bench().feed({ at: 0 }, { at: 10 * SECOND, type: "session_end" }, LATE);
  assertEquals(bench.seal(null, REVISE).revised, []);
  const repeated = bench.feed(LATE).seal(null, REVISE);
  assertEquals([repeated.revised.length, repeated.counts.duplicates], [0, 1]);
});

Deno.test("at a barrier sessions are closed, then revised, then forgotten; a session with a pending revision is not", () => {
  const bench = committed().feed(LATE, { session: "open", at: 0 });
  assertEquals(bench.seal(10 * MINUTE).counts.pendingRevisions, 1);
  assertEquals([...bench.state.occurrences.keys()], ["s", "open"]);
  const seal = bench.seal(20 * MINUTE, { ...REVISE, closeOpen: true });
  assertEquals([seal.revised.length, seal.finished.map(({ closed }) => closed)], [1, ["drain"]]);
  assertEquals(bench.state.occurrences.size, 0);
});

Deno.test("a finished session at its event cap takes no revision, and a late event beyond its duration opens another", () => {
  const full = new Bench({ maxSessionEvents: 2 }).feed({ at: 0 }, { at: 10 * SECOND, type: "session_end" });
  full.seal();
  const capped = full.feed(LATE).seal(null, REVISE);
  assertEquals([capped.deadLetters.map(({ reason }) => reason), capped.revised.length], [["cap"], 0]);
  const long = new Bench({ maxSessionDurationMs: MINUTE }).feed({ at: 0 }, {
    at: MINUTE,
    type: "session_end",
  });
  long.seal();
  const other = long.feed({ at: -SECOND, id: "before" }).seal(null, REVISE);
  assertEquals([other.revised.length, other.counts.openSessions], [0, 1]);
});

Deno.test("a late session_end changes no close reason, and does not count as what closed a session", () => {
  const bench = new Bench().feed({ at: 0 });
  bench.seal(30 * MINUTE + 1);
  const seal = bench.feed({ at: 20 * MINUTE, id: "end", type: "session_end" }).seal(30 * MINUTE + 1, REVISE);
  assertEquals(cells(seal, "close_reason", "session_duration_sec"), [["timeout", 1200]]);
  assertEquals(seal.closingTimes, []);
});

interface Scripted {
  readonly session: string;
  readonly id: string;
  readonly at: number;
  readonly type: string;
  /** When it arrives, in event time: after every event of an earlier time. */
  readonly arrives: number;
}

/**
 * Sessions of few ids, far apart, of which some end by `session_end`; of every event but a session's last one in some is
 * late, by as much as its session is remembered at the least, and some events come twice.
 */
const anyArrivals: fc.Arbitrary<{ events: Scripted[]; arrived: Scripted[]; repeats: number }> = fc.array(
  fc.record({
    id: fc.constantFrom("a", "b", "__proto__"),
    pause: fc.integer({ min: 61 * MINUTE, max: 90 * MINUTE }),
    gaps: fc.array(fc.integer({ min: 0, max: 4 * MINUTE }), { maxLength: 6 }),
    ends: fc.boolean(),
    late: fc.array(fc.constantFrom(0, 0, 0, 1, 2), { minLength: 7, maxLength: 7 }),
    repeat: fc.nat({ max: 12 }),
  }),
  { minLength: 1, maxLength: 12 },
).map((sessions) => {
  const clocks = new Map<string, number>();
  const events: Scripted[] = [];
  const repeated: Scripted[] = [];
  for (const [n, { id, pause, gaps, ends, late, repeat }] of sessions.entries()) {
    let at = (clocks.get(id) ?? n * 7 * MINUTE) + pause;
    const times = [at, ...gaps.map((gap) => at += gap)];
    clocks.set(id, at);
    // After a session_end at `at` the watermark, a minute behind, must not pass at + 2 min; after a gap, at + 32 min.
    const remembered = at + (ends ? 2 * MINUTE + 50 * SECOND : 32 * MINUTE + 50 * SECOND);
    const own = times.map((time, i): Scripted => {
      const last = i === times.length - 1;
      const arrives = last || late[i] === 0 ? time : late[i] === 1 ? time + 3 * MINUTE : remembered;
      const type = last && ends ? "session_end" : "article_view";
      return { session: id, id: `${n}-${i}`, at: time, type, arrives: Math.min(arrives, remembered) };
    });
    events.push(...own);
    const again = own[repeat];
    if (again !== undefined) repeated.push({ ...again, arrives: remembered });
  }
  const arrived = [...events, ...repeated].sort((x, y) => x.arrives - y.arrives || x.at - y.at);
  return { events, arrived, repeats: repeated.length };
});

/** The sessions by the script alone: an id's events belong together where they were scripted together. */
function byScript(events: readonly Scripted[]): string[] {
  const sessions = new Map<string, string[]>();
  for (const { session, id } of events) {
    const key = `${session}:${id.split("-")[0]}`;
    sessions.set(key, [...sessions.get(key) ?? [], id]);
  }
  return [...sessions].map(([key, ids]) => `${key.split(":")[0]}:${ids.map(textHash64).sort()}`).sort();
}

/** What a table holds after seals: rows are added, and replaced by revisions, which must follow one another. */
class Table {
  readonly rows = new Map<number, { ids: string; revision: number; epoch: number; count: number }>();
  revisions = 0;
  apply({ finished, revised, barrier, counts }: PartitionSeal): void {
    for (const { firstOffset, revision, sessionId, events } of finished) {
      assert(!this.rows.has(firstOffset), "a session is new once");
      const ids = `${sessionId}:${events.map(({ idHash }) => idHash).sort()}`;
      this.rows.set(firstOffset, { ids, revision, epoch: barrier.epoch, count: events.length });
    }
    for (const { occurrence, replacesEpoch, replacesEvents } of revised) {
      const { firstOffset, revision, sessionId, events } = occurrence;
      const row = this.rows.get(firstOffset)!;
      assertEquals([revision, replacesEpoch, replacesEvents], [row.revision + 1, row.epoch, row.count]);
      const ids = `${sessionId}:${events.map(({ idHash }) => idHash).sort()}`;
      this.rows.set(firstOffset, { ids, revision, epoch: barrier.epoch, count: events.length });
      this.revisions++;
    }
    if (barrier.revise) assertEquals(counts.pendingRevisions, 0);
  }
}

Deno.test("property: with late and repeated events the table is the script's, wherever epochs and revisions fall", () => {
  let revisions = 0;
  fc.assert(
    fc.property(anyArrivals, fc.array(fc.constantFrom("none", "seal", "revise"), { minLength: 5 }), (
      { events, arrived, repeats },
      plan,
    ) => {
      const bench = new Bench();
      const table = new Table();
      let [latest, duplicates, inSessions, records, held] = [-Infinity, 0, 0, 0, 0];
      const take = (seal: PartitionSeal) => {
        table.apply(seal);
        assertEquals(seal.deadLetters, []);
        duplicates += seal.counts.duplicates;
        inSessions += seal.counts.inSessions;
        records += seal.counts.records;
        held = seal.counts.held;
        assertEquals(records, inSessions + duplicates + held);
      };
      arrived.forEach(({ session, at, id, type }, i) => {
        bench.feed({ session, at, id, type });
        latest = Math.max(latest, at);
        const step = plan[i % plan.length];
        if (step !== "none") take(bench.seal(latest - MINUTE, { revise: step === "revise" }));
      });
      take(bench.seal(latest - MINUTE, { ...REVISE, closeOpen: true }));
      assertEquals([duplicates, inSessions, held], [repeats, events.length, 0]);
      assertEquals([...table.rows.values()].map(({ ids }) => ids).sort(), byScript(events));
      revisions += table.revisions;
    }),
  );
  assert(revisions > 20, `only ${revisions} revisions in all runs`);
});
