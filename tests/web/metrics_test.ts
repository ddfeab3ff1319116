import { assert, assertEquals, assertMatch } from "@std/assert";
import { Histogram } from "../../schema/pipeline_stats.ts";
import { DEAD_LETTER_REASONS } from "../../schema/user_event.ts";
import { HISTOGRAM_METRICS, type MetricView, SCALAR_METRICS } from "../../web/metric_table.ts";
import { createMetrics } from "../../web/metrics.ts";
import { Exposition } from "../support/exposition.ts";
import { coordinatorStats, pipelineStats } from "../support/stats.ts";

const PROCESS = { startedMs: 5_000, residentBytes: 1e8, cpuSeconds: 1.5, deno: "2.9.6" };
const NAMES = [...SCALAR_METRICS, ...HISTOGRAM_METRICS].map(({ name }) => name);

async function scrape(pipeline: MetricView["pipeline"], now = 10_000): Promise<Exposition> {
  return new Exposition(await createMetrics(() => ({ pipeline, process: PROCESS, now })).render());
}

Deno.test("every metric is exposed under its name and type, once, and an independent parser reads them all", async () => {
  const exposition = await scrape(pipelineStats());
  assertEquals(exposition.names.sort(), [...NAMES, "sessionary_query_duration_seconds"].sort());
  for (const { name, type } of [...SCALAR_METRICS, ...HISTOGRAM_METRICS]) {
    assertEquals(exposition.typeOf(name), type.toUpperCase(), name);
  }
});

Deno.test("names follow Prometheus's conventions: a prefix, base units, _total for counters only", () => {
  assertEquals(new Set(NAMES).size, NAMES.length);
  for (const { name, type, help, labels } of [...SCALAR_METRICS, ...HISTOGRAM_METRICS]) {
    assertMatch(name, /^(sessionary|process)_[a-z_]+$/);
    assertEquals(name.endsWith("_total"), type === "counter", name);
    assert(!/(milliseconds|_ms|minutes|kilobytes|_mb|percent)/.test(name), name);
    assert(help.endsWith("."), name);
    assert(labels.every((label) => !["le", "quantile", "session_id", "user_id"].includes(label)), name);
  }
});

Deno.test("what the actors report is what a scrape shows, with labels", async () => {
  const exposition = await scrape(pipelineStats({
    consumed: 28,
    sessions: 4,
    revisions: 9,
    deadLetters: { invalid_json: 2, too_late: 1 },
    watermarks: [{ partition: 1, watermark: 4_000, clock: 5_000, idleSince: null }],
    sinks: {
      lake: { rows: 4, bytes: 900, retries: 0, down: null, sinceMs: 1_000 },
      warehouse: { rows: 3, bytes: 700, retries: 6, down: "It does not answer.", sinceMs: 8_000 },
    },
  }));
  const expected: [number, string, Record<string, string>?][] = [
    [2.5, "sessionary_recovery_seconds"],
    [30, "sessionary_source_records_total"],
    [28, "sessionary_events_total"],
    [4, "sessionary_sessions_total"],
    [9, "sessionary_revisions_total"],
    [5, "sessionary_partition_lag_records", { partition: "0" }],
    [0, "sessionary_partition_lag_records", { partition: "1" }],
    [100, "sessionary_mailbox_bytes", { shard: "0" }],
    [1, "sessionary_open_sessions", { shard: "1" }],
    [6, "sessionary_watermark_lag_seconds", { partition: "1" }],
    [2, "sessionary_dead_letters_total", { reason: "invalid_json" }],
    [0, "sessionary_dead_letters_total", { reason: "cap" }],
    [3, "sessionary_dead_letters_total"],
    [1, "sessionary_sink_up", { sink: "lake" }],
    [0, "sessionary_sink_up", { sink: "warehouse" }],
    [8, "sessionary_sink_changed_timestamp_seconds", { sink: "warehouse" }],
    [6, "sessionary_sink_retries_total", { sink: "warehouse" }],
    [700, "sessionary_sink_bytes_total", { sink: "warehouse" }],
    [1e8, "process_resident_memory_bytes"],
    [5, "process_start_time_seconds"],
    [1, "sessionary_build_info", { deno: "2.9.6" }],
  ];
  for (const [value, name, labels] of expected) {
    assertEquals(exposition.value(name, labels), value, `${name} ${JSON.stringify(labels)}`);
  }
});

Deno.test("every reason of a dead letter has a series from the start, so that its first one shows as an increase", async () => {
  const exposition = await scrape(pipelineStats());
  for (const reason of DEAD_LETTER_REASONS) {
    assertEquals(exposition.value("sessionary_dead_letters_total", { reason }), 0, reason);
  }
});

Deno.test("what is not known is absent, never 0", async () => {
  const starting = await scrape(null);
  const known = ["process_resident_memory_bytes", "process_cpu_seconds_total", "process_start_time_seconds"];
  for (const name of SCALAR_METRICS.map(({ name }) => name)) {
    const isKnown = known.includes(name) || name === "sessionary_build_info";
    assertEquals(starting.value(name) !== null, isKnown, name);
  }
  const idle = await scrape(pipelineStats());
  assertEquals(idle.value("sessionary_data_quality_ratio"), null);
  assertEquals(idle.value("sessionary_last_commit_timestamp_seconds"), null);
  assertEquals(idle.value("sessionary_held_bytes", { shard: "1" }), null);
});

Deno.test("data quality is the share of recent records that were no dead letters", async () => {
  const exposition = await scrape(pipelineStats({ recent: { consumed: 200, deadLetters: 3 } }));
  assertEquals(exposition.value("sessionary_data_quality_ratio"), 0.985);
});

Deno.test("a reported histogram is exposed with cumulative buckets, its sum and its count", async () => {
  const seal = new Histogram([0.1, 1]);
  seal.observe(0.1);
  seal.observe(0.5, 3);
  seal.observe(7);
  const stages = { ...coordinatorStats().stages, seal: seal.stats };
  const exposition = await scrape(pipelineStats({ stages }));
  const parsed = exposition.histogram("sessionary_stage_duration_seconds", { stage: "seal" })!;
  assertEquals([...parsed.buckets], [[0.1, 1], [1, 4], [Infinity, 5]]);
  assertEquals([parsed.count, parsed.sum], [5, 8.6]);
  assertEquals(exposition.histogram("sessionary_stage_duration_seconds", { stage: "commit" })!.count, 0);
});

Deno.test("scrapes do not add up: each shows the reports as they are", async () => {
  let sessions = 5;
  const metrics = createMetrics(() => ({ pipeline: pipelineStats({ sessions }), process: PROCESS, now: 0 }));
  await metrics.render();
  sessions = 6;
  assertEquals(new Exposition(await metrics.render()).value("sessionary_sessions_total"), 6);
});

Deno.test("queries are counted by name and outcome", async () => {
  const metrics = createMetrics(() => ({ pipeline: null, process: PROCESS, now: 0 }));
  metrics.queried("sessions", "ok", 0.02);
  metrics.queried("sessions", "failed", 3);
  const exposition = new Exposition(await metrics.render());
  const parsed = exposition.histogram("sessionary_query_duration_seconds", {
    query: "sessions",
    outcome: "failed",
  })!;
  assertEquals([parsed.count, parsed.sum], [1, 3]);
});
