import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { Histogram } from "../../schema/pipeline_stats.ts";
import { HISTORY_SECONDS, LiveHistory, quantile, RATE_SECONDS } from "../../web/live_history.ts";
import { pipelineStats } from "../support/stats.ts";

function statsOf(records: number, sessions: number) {
  const stats = pipelineStats({ sessions });
  return { ...stats, ingest: { ...stats.ingest!, records } };
}

Deno.test("Rates are taken over ten seconds, and levels are the newest", () => {
  const history = new LiveHistory();
  assertEquals(history.rates.events, 0);
  for (let second = 0; second <= 30; second++) {
    history.sample(statsOf(100 * second, second), 1_000 * second, second / 2);
  }
  assertEquals([history.rates.events, history.rates.sessions, history.rates.cpu], [100, 1, 0.5]);
  for (let second = 31; second <= 30 + RATE_SECONDS; second++) {
    history.sample(statsOf(3_000, 30), 1_000 * second, 15);
  }
  assertEquals(history.rates.events, 0);
  assertEquals(history.points.at(-1), {
    at: 40_000,
    readPerSecond: 0,
    sessionsPerSecond: 0,
    lagRecords: 5,
    openSessions: 3,
  });
});

Deno.test("Five minutes are kept, and nothing is sampled of a pipeline that does not report yet", () => {
  const history = new LiveHistory();
  history.sample(
    { ingest: null, sessionActors: [], coordinator: null, upkeep: null, firstNewEventMs: null, pulses: [] },
    0,
    0,
  );
  assertEquals(history.points, []);
  for (let second = 1; second <= HISTORY_SECONDS + 5; second++) {
    history.sample(statsOf(0, 0), 1_000 * second, 0);
  }
  assertEquals(history.points.length, HISTORY_SECONDS);
  assertEquals(history.points[0]!.at, 6_000);
});

Deno.test("Latency is of what came in the time that is kept", () => {
  const history = new LiveHistory();
  const histogram = new Histogram([1, 2, 5]);
  histogram.observe(4, 100);
  history.sample(pipelineStats({ endToEnd: histogram.stats }), 0, 0);
  histogram.observe(0.5, 10);
  assertEquals(history.recentEndToEnd(histogram.stats).counts, [10, 0, 0, 0]);
});

Deno.test("A quantile lies in the bucket of the value at its rank", () => {
  const bounds = [1, 2, 5, 10];
  const values = fc.array(fc.double({ min: 0.01, max: 9.99, noNaN: true }), { minLength: 1, maxLength: 50 });
  fc.assert(fc.property(values, fc.constantFrom(0.5, 0.95, 0.99), (all, q) => {
    const histogram = new Histogram(bounds);
    for (const value of all) histogram.observe(value);
    const sorted = [...all].sort((a, b) => a - b);
    const exact = sorted[Math.ceil(q * all.length) - 1]!;
    const bucket = (value: number) => bounds.findIndex((bound) => value <= bound);
    assertEquals(bucket(quantile(histogram.stats, q)!), bucket(exact));
  }));
  assertEquals(quantile(new Histogram(bounds).stats, 0.5), null);
  const beyond = new Histogram(bounds);
  beyond.observe(100);
  assert(quantile(beyond.stats, 0.99) === 10);
});
