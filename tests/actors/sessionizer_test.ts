import { assertEquals } from "@std/assert";
import { type PartitionSeal } from "../../actors/sessionizer.ts";
import { sessionRow } from "../../actors/session_rows.ts";
import { textHash64 } from "../../schema/hash64.ts";
import { sessionColumnIndex } from "../../schema/session.ts";
import { Bench, type Click, MINUTE, SECOND, T0 } from "../support/sessionizer_bench.ts";

const encoder = new TextEncoder();

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
  const ids = ["a", "near a", "near a's new end", "in the middle"];
  assertEquals(first!.events.map(({ idHash }) => idHash), ids.map(textHash64));
  assertEquals(second!.events.map(({ idHash }) => idHash), [textHash64("b")]);
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
