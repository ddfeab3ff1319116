import { assert, assertEquals, assertGreater, assertLess, assertLessOrEqual } from "@std/assert";
import { parseEvent } from "../../schema/user_event.ts";
import {
  LATE_MS,
  type SimulatedRecord,
  Simulator,
  type SimulatorOptions,
  virtualTimeline,
} from "../../sources/simulator.ts";

const START_MS = Date.UTC(2026, 0, 1);

function take(simulator: Simulator, count: number): SimulatedRecord[] {
  return Array.from({ length: count }, () => simulator.next());
}

type Shares = Pick<SimulatorOptions, "late" | "duplicates" | "outOfOrder">;

function virtual(seed: number, events: number, more: Shares = {}) {
  return new Simulator({ seed, ...virtualTimeline(events, START_MS), ...more });
}

function sessionsOf(records: readonly SimulatedRecord[]) {
  return Map.groupBy(records.map(({ event }) => event), ({ session_id }) => session_id);
}

Deno.test("the same seed gives the same stream, another seed another one", () => {
  assertEquals(take(virtual(7, 2_000), 2_000), take(virtual(7, 2_000), 2_000));
  assert(take(virtual(7, 10), 1)[0]!.event.session_id !== take(virtual(8, 10), 1)[0]!.event.session_id);
});

Deno.test("the base time moves the times and nothing else", () => {
  const untimed = (records: SimulatedRecord[]) => records.map(({ event: { timestamp: _, ...rest } }) => rest);
  const later = new Simulator({ seed: 7, ...virtualTimeline(500, START_MS + 12_345) });
  assertEquals(untimed(take(virtual(7, 500), 500)), untimed(take(later, 500)));
});

Deno.test("every event is accepted by the contract and has about 500 bytes", () => {
  const encoder = new TextEncoder();
  let bytes = 0;
  for (const { event } of take(virtual(3, 5_000), 5_000)) {
    const value = encoder.encode(JSON.stringify(event));
    bytes += value.length;
    const parsed = parseEvent(value);
    assert("event" in parsed, JSON.stringify(parsed));
  }
  assertLess(Math.abs(bytes / 5_000 - 520), 40);
});

Deno.test("the event mix over all but session_end is 60/15/5/5/5/5/3/2", () => {
  const events = take(virtual(11, 100_000), 100_000).map(({ event }) => event.event_type);
  const others = events.filter((type) => type !== "session_end");
  const share = (type: string) => 100 * others.filter((other) => other === type).length / others.length;
  const mix = {
    article_view: 60,
    article_click: 15,
    video_play: 5,
    ad_click: 5,
    search: 5,
    navigation: 5,
    subscription_prompt: 3,
    newsletter_signup: 2,
  };
  for (const [type, percent] of Object.entries(mix)) assertLess(Math.abs(share(type) - percent), 0.5, type);
});

Deno.test("finished sessions have 5 to 34 events, 14.4 on average, and session_end comes last", () => {
  const records = take(virtual(5, 200_000), 200_000);
  const finished = [...sessionsOf(records).values()].filter((events) =>
    events.some(({ event_type }) => event_type === "session_end")
  );
  for (const events of finished) {
    assert(events.length >= 5 && events.length <= 34, String(events.length));
    assertEquals(events.findIndex(({ event_type }) => event_type === "session_end"), events.length - 1);
  }
  // Of those that began in the middle of the run every one has ended, the long ones too.
  const firstSeen = new Map<string, number>();
  records.forEach(({ event }, i) => firstSeen.getOrInsert(event.session_id, i));
  const middle = finished.filter((events) => {
    const began = firstSeen.get(events[0]!.session_id)!;
    return began > 40_000 && began < 120_000;
  });
  const mean = middle.reduce((sum, { length }) => sum + length, 0) / middle.length;
  assertLess(Math.abs(mean - 14.4), 0.3);
});

Deno.test("times rise within a session and never fall over all; pauses stay far below the session timeout", () => {
  const records = take(virtual(9, 50_000), 50_000);
  const times = records.map(({ event }) => Date.parse(event.timestamp));
  times.forEach((time, i) => assert(i === 0 || time >= times[i - 1]!));
  assertLess(times[times.length - 1]!, START_MS + 1);
  for (const events of sessionsOf(records).values()) {
    events.forEach(({ timestamp }, i) => {
      if (i === 0) return;
      const pause = Date.parse(timestamp) - Date.parse(events[i - 1]!.timestamp);
      assert(pause > 0 && pause < 5 * 60_000, String(pause));
    });
  }
});

Deno.test("at 10 events a second sessions end within 6 s, and at the usual rate from the first 10 s on", () => {
  let [firstEnds, inFirst, inSecond] = [0, 0, 0];
  for (let seed = 1; seed <= 100; seed++) {
    const simulator = new Simulator({ seed, timeline: { kind: "virtual", startMs: START_MS, stepMs: 100 } });
    const ends = take(simulator, 200).flatMap(({ event }, i) =>
      event.event_type === "session_end" ? [i] : []
    );
    assertLess(ends[0]!, 60);
    firstEnds += ends[0]! / 10;
    inFirst += ends.filter((at) => at < 100).length;
    inSecond += ends.filter((at) => at >= 100).length;
  }
  assertLess(firstEnds / 100, 5);
  assert(inFirst > 550 && inFirst < 900, String(inFirst));
  assert(inSecond > 550 && inSecond < 850, String(inSecond));
});

Deno.test("on the live timeline an event happens when it is generated, and a session's times still differ", () => {
  let now = START_MS;
  const simulator = new Simulator({ seed: 1, readers: 2, timeline: { kind: "live", now: () => now } });
  const records = take(simulator, 20);
  now += 60_000;
  records.push(...take(simulator, 1));
  assertEquals(records[20]!.event.timestamp, new Date(now).toISOString());
  for (const events of sessionsOf(records).values()) {
    assertEquals(new Set(events.map(({ timestamp }) => timestamp)).size, events.length);
  }
});

Deno.test("out-of-order events are up to some seconds old, have times of their own and never follow session_end", () => {
  const records = take(virtual(4, 20_000, { outOfOrder: 0.1 }), 20_000);
  let disordered = 0;
  for (const events of sessionsOf(records).values()) {
    const times = events.map(({ timestamp }) => Date.parse(timestamp));
    assertEquals(new Set(times).size, times.length);
    let latest = -Infinity;
    times.forEach((time, i) => {
      if (time < latest) disordered++;
      assertLessOrEqual(latest - time, 3_100);
      latest = Math.max(latest, time);
      if (events[i]!.event_type === "session_end") assertEquals(time, latest);
    });
  }
  assertLess(Math.abs(disordered / 20_000 - 0.09), 0.02);
});

Deno.test("duplicates repeat an event byte for byte, at once or within the time that a session is remembered", () => {
  const simulator = virtual(4, 20_000, { duplicates: 0.05 });
  const records = take(simulator, 20_000);
  const seen = new Map<string, { text: string; at: number }>();
  let [duplicates, atOnce, now] = [0, 0, 0];
  records.forEach(({ event, duplicate }, i) => {
    const first = seen.get(event.event_id);
    assertEquals(duplicate, first !== undefined);
    if (!duplicate) now = Date.parse(event.timestamp);
    if (first === undefined) return void seen.set(event.event_id, { text: JSON.stringify(event), at: now });
    duplicates++;
    assertEquals(JSON.stringify(event), first.text);
    assertLessOrEqual(now - first.at, LATE_MS.max);
    if (records[i - 1]!.event === event) atOnce++;
  });
  assertEquals(simulator.generated, records.length - duplicates);
  assertLess(Math.abs(duplicates / simulator.generated - 0.05), 0.01);
  assertLess(Math.abs(atOnce / duplicates - 0.5), 0.1);
});

Deno.test("late events come 20 s to 2 min after their session's end, with the times at which they happened", () => {
  const records = take(virtual(4, 20_000, { late: 0.05 }), 20_000);
  const ended = new Map<string, number>();
  let [late, now] = [0, 0];
  for (const { event: { session_id, event_type, timestamp }, more } of records) {
    const [time, end] = [Date.parse(timestamp), ended.get(session_id)];
    if (end === undefined) now = time;
    if (event_type === "session_end") ended.set(session_id, time);
    if (end === undefined) {
      if (event_type !== "session_end") assertEquals(more, undefined);
      continue;
    }
    late++;
    assertLess(time, end);
    // Between two new events, whose times are 50 ms apart.
    assert(now - end >= LATE_MS.min - 100 && now - end <= LATE_MS.max + 100, `${now - end} ms`);
  }
  assertLess(Math.abs(late / records.length - 0.045), 0.01);
});

Deno.test("what is held back at the end comes out whole, and each ended session says where it is complete", () => {
  const shares = { late: 0.05, duplicates: 0.05, outOfOrder: 0.05 };
  const simulator = virtual(6, 5_000, shares);
  const records: SimulatedRecord[] = [];
  for (let next = simulator.nextOf(5_000); next !== null; next = simulator.nextOf(5_000)) records.push(next);
  assertEquals(records.filter(({ duplicate }) => !duplicate).length, 5_000);
  assertEquals(new Set(records.map(({ event }) => event.event_id)).size, 5_000);
  const own = Map.groupBy(records, ({ event }) => event.session_id);
  for (const session of own.values()) {
    const end = session.findIndex(({ event }) => event.event_type === "session_end");
    if (end < 0) continue;
    assertEquals(session.slice(end).map(({ more }) => more), [
      ...session.slice(end + 1).map(() => true as const),
      undefined,
    ]);
  }
});

Deno.test("some articles are read far more than others, of some hundreds a brand", () => {
  const views = take(virtual(2, 50_000), 50_000).filter(({ event }) => event.event_type === "article_view");
  const byBrand = Map.groupBy(views, ({ event }) => event.brand);
  assertEquals(byBrand.size, 8);
  for (const own of byBrand.values()) {
    const counts = [...Map.groupBy(own, ({ event }) => event.article_id).values()].map(({ length }) =>
      length
    );
    counts.sort((a, b) => b - a);
    assertGreater(counts.length, 200);
    assertGreater(counts[0]!, 20 * counts[Math.floor(counts.length / 2)]!);
  }
});
