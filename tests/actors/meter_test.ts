import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { groupClosingTimes } from "../../actors/end_to_end.ts";
import { Meter } from "../../actors/meter.ts";
import { retrying } from "../../actors/retry.ts";
import { StatsBoard } from "../../actors/stats_board.ts";
import { SinkError } from "../../schema/errors.ts";
import { Histogram } from "../../schema/pipeline_stats.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { coordinatorStats, pipelineStats } from "../support/stats.ts";

const GAUGES = {
  deltaVersion: 3,
  lastEpoch: 2,
  epochsInFlight: 1,
  lagVersions: 0,
  watermarks: [],
  replayedBarriers: 0,
};

const COMMIT = {
  consumed: 10,
  duplicates: 1,
  sessions: 2,
  revisions: 1,
  bytes: 500,
  deadLetters: { too_late: 1 },
  conflicts: 0,
};

Deno.test("a histogram counts a value at its bound below it, and what is above all bounds at the end", () => {
  const histogram = new Histogram([1, 2]);
  for (const value of [0, 1, 1.5, 2, 3]) histogram.observe(value);
  assertEquals(histogram.stats, { bounds: [1, 2], counts: [2, 2, 1], sum: 7.5 });
});

Deno.test("commits add up, and dead letters by reason", () => {
  const meter = new Meter(new FakeClock(7));
  meter.committed(COMMIT);
  meter.committed({ ...COMMIT, deadLetters: { too_late: 2, cap: 1 }, conflicts: 3 });
  const stats = meter.stats(GAUGES);
  assertEquals([stats.consumed, stats.duplicates, stats.sessions, stats.commits], [20, 2, 4, 2]);
  assertEquals(stats.revisions, 2);
  assertEquals([stats.commitConflicts, stats.lastCommitMs, stats.deltaVersion], [3, 7, 3]);
  assertEquals(stats.deadLetters, { too_late: 3, cap: 1 });
  assertEquals([stats.sinks.lake.rows, stats.sinks.lake.bytes, stats.sinks.warehouse.rows], [6, 1000, 0]);
});

Deno.test("data quality forgets what was committed more than five minutes ago", () => {
  let now = 0;
  const meter = new Meter({ now: () => now, monotonic: () => now });
  meter.committed(COMMIT);
  now = 300_000;
  meter.committed({ ...COMMIT, consumed: 5, deadLetters: {} });
  assertEquals(meter.stats(GAUGES).recent, { consumed: 15, deadLetters: 1 });
  now = 300_001;
  assertEquals(meter.stats(GAUGES).recent, { consumed: 5, deadLetters: 0 });
});

Deno.test("end-to-end latency is from the closing event to now, once for each session, and never negative", () => {
  const meter = new Meter(new FakeClock(10_000));
  meter.queryable({ times: Float64Array.of(9_000, 4_000, 10_500), counts: Uint32Array.of(2, 1, 1) });
  const { counts, bounds, sum } = meter.stats(GAUGES).endToEnd;
  const at = (bound: number) => counts[bounds.indexOf(bound)];
  assertEquals([at(0.1), at(1), at(6), sum], [1, 2, 1, 8]);
});

Deno.test("operations that are tried again count as retries of their sink, which is down until they succeed", async () => {
  const clock = new FakeClock(5);
  const meter = new Meter(clock);
  let failures = 2;
  const attempt = () => failures-- > 0 ? Promise.reject(new SinkError("No.", true)) : Promise.resolve("done");
  const options = { clock, notice: () => {}, what: "The upload", watcher: meter.sinks.lake };
  const result = retrying(attempt, options);
  await clock.advance(0);
  const { lake, warehouse } = meter.stats(GAUGES).sinks;
  assertEquals([lake.down, lake.retries, warehouse.down], ["No.", 1, null]);
  while (failures >= 0) await clock.advance(10_000);
  assertEquals(await result, "done");
  assertEquals([meter.stats(GAUGES).sinks.lake.down, meter.stats(GAUGES).sinks.lake.retries], [null, 2]);
});

Deno.test("grouped closing times keep every session, in few groups, off by half a step at most", () => {
  const parts = fc.array(fc.array(fc.integer({ min: 0, max: 1e6 }), { maxLength: 50 }), { maxLength: 4 });
  fc.assert(fc.property(parts, fc.integer({ min: 1, max: 64 }), (times, groupsMax) => {
    const all = times.flat();
    const grouped = groupClosingTimes(times.map((part) => Float64Array.from(part)), groupsMax);
    assert(grouped.times.length <= groupsMax);
    assertEquals(grouped.counts.reduce((sum, count) => sum + count, 0), all.length);
    const step = all.length === 0 ? 1 : Math.ceil((Math.max(...all) - Math.min(...all) + 1) / groupsMax);
    const sum = grouped.times.reduce((sum, time, i) => sum + time * grouped.counts[i]!, 0);
    const off = Math.abs(sum - all.reduce((sum, time) => sum + time, 0));
    assert(off <= all.length * (step - 1) / 2 + 1e-6, `${off} off, steps of ${step}`);
  }));
});

Deno.test("an epoch of ten seconds is grouped to a hundredth of a second", () => {
  const times = Float64Array.from({ length: 10_000 }, (_, i) => i);
  const grouped = groupClosingTimes([times]);
  assertEquals([grouped.times.length, grouped.times[0], grouped.counts[0]], [1_000, 4.5, 10]);
});

Deno.test("the board shows each actor's newest report, when each was last heard, and the first new event", () => {
  let now = 100;
  const board = new StatsBoard(2, false, () => now);
  assertEquals(board.stats.coordinator, null);
  assertEquals(board.stats.pulses.map(({ name }) => name), [
    "ingest",
    "session actor 0",
    "session actor 1",
    "coordinator",
  ]);
  now = 200;
  const [first, second] = pipelineStats().sessionActors;
  board.take(second!);
  board.take(first!);
  board.take({ ...second!, openSessions: 9 });
  board.take(coordinatorStats({ sessions: 4 }));
  assertEquals(board.stats.sessionActors.map(({ openSessions }) => openSessions), [2, 9]);
  assertEquals(board.stats.coordinator?.sessions, 4);
  assertEquals(board.stats.pulses.map(({ lastSeenMs }) => lastSeenMs), [100, 200, 200, 200]);
  assertEquals(board.stats.firstNewEventMs, null);
  board.processing(150);
  board.processing(160);
  assertEquals(board.stats.firstNewEventMs, 150);
});

Deno.test("the seal of an epoch is timed from asking for its barriers, once, also where it is staged again", () => {
  const clock = new FakeClock(1_000);
  const meter = new Meter(clock);
  const gauges = {
    deltaVersion: 0,
    lastEpoch: 0,
    epochsInFlight: 1,
    lagVersions: 0,
    watermarks: [],
    replayedBarriers: 0,
  };
  meter.asked(3);
  clock.time += 40;
  meter.sealed(3, "interval");
  clock.time += 500;
  meter.sealed(3, "interval");
  const { stages, epochs } = meter.stats(gauges);
  assertEquals(stages.seal.sum, 0.04);
  assertEquals([epochs[0]!.askedMs, epochs[0]!.sealedMs, epochs[0]!.closedBy], [1_000, 1_040, "interval"]);
});
