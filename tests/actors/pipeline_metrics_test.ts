import { assert, assertEquals } from "@std/assert";
import { systemClock } from "../../actors/clock.ts";
import { startPipeline } from "../../actors/supervisor.ts";
import { NdjsonFeed } from "../../sources/ndjson.ts";
import { SimulatedFeed } from "../../sources/simulated_feed.ts";
import { Simulator, virtualTimeline } from "../../sources/simulator.ts";
import { createMetrics } from "../../web/metrics.ts";
import { withTempDir } from "../support/command_context.ts";
import { Exposition } from "../support/exposition.ts";
import { configOf, deltaRows, feedTopic } from "../support/pipeline_run.ts";

const EVENTS = 4_000;
const PROCESS = { startedMs: 0, residentBytes: 0, cpuSeconds: 0, deno: "2.9.6" };

interface TruthFile {
  readonly records: number;
  readonly sessions: readonly { readonly close_reason: string; readonly total_events: number }[];
}

Deno.test("the counters of a run equal the truth of what was fed, and the sinks hold what they say", () =>
  withTempDir(async (dir) => {
    const config = configOf({ DATA_DIR: `${dir}/data`, SESSION_ACTORS: "2", EPOCH_INTERVAL: "200ms" });
    const { timeline, readers } = virtualTimeline(EVENTS, Date.now());
    const simulator = new Simulator({ seed: 3, timeline, readers, duplicates: 0.02 });
    await feedTopic(config, new SimulatedFeed(simulator, { events: EVENTS, truthPath: `${dir}/truth.json` }));
    const bad = ["{bad", "[1]", "[2]", '{"session_id":"x"}'];
    await Deno.writeTextFile(`${dir}/bad.ndjson`, bad.join("\n"));
    await feedTopic(config, new NdjsonFeed({ path: `${dir}/bad.ndjson` }));
    const truth: TruthFile = JSON.parse(await Deno.readTextFile(`${dir}/truth.json`));

    const pipeline = await startPipeline({ config, untilEnd: true, closeOpen: true });
    await pipeline.finished;
    const view = () => ({ pipeline: pipeline.stats(), process: PROCESS, now: systemClock.now() });
    const exposition = new Exposition(await createMetrics(view).render());

    const rows = await deltaRows(config);
    const records = truth.records + bad.length;
    assert(truth.records > EVENTS, "some events were sent twice");
    const expected: [number, string, Record<string, string>?][] = [
      [records, "sessionary_source_records_total"],
      [records, "sessionary_events_total"],
      [truth.sessions.length, "sessionary_sessions_total"],
      [truth.records - EVENTS, "sessionary_duplicates_total"],
      [bad.length, "sessionary_dead_letters_total"],
      [2, "sessionary_dead_letters_total", { reason: "not_an_object" }],
      [1, "sessionary_dead_letters_total", { reason: "invalid_json" }],
      [1 - bad.length / records, "sessionary_data_quality_ratio"],
      [rows.length, "sessionary_sink_rows_total", { sink: "lake" }],
      [rows.length, "sessionary_sink_rows_total", { sink: "warehouse" }],
      [0, "sessionary_commit_conflicts_total"],
      [0, "sessionary_sink_retries_total"],
      [2, "sessionary_sink_up"],
      [0, "sessionary_warehouse_lag_versions"],
      [0, "sessionary_epochs_in_flight"],
      [0, "sessionary_partition_lag_records"],
      [0, "sessionary_replayed_barriers"],
    ];
    for (const [value, name, labels] of expected) {
      assertEquals(exposition.value(name, labels), value, `${name} ${JSON.stringify(labels)}`);
    }
    assert(exposition.value("sessionary_source_bytes_total")! > records * 100);
    assertEquals(
      exposition.value("sessionary_sink_bytes_total", { sink: "lake" })! > rows.length * 10,
      true,
    );
    const commits = exposition.value("sessionary_commits_total")!;
    assertEquals(exposition.value("sessionary_delta_version"), commits);
    const stage = (name: string) =>
      exposition.histogram("sessionary_stage_duration_seconds", { stage: name })!;
    assertEquals([stage("commit").count, stage("upload").count, stage("seal").count], [
      commits,
      commits,
      commits,
    ]);
    assert(stage("insert").count > 0 && stage("checkpoint").count > 0);
    const ended = truth.sessions.filter(({ close_reason }) => close_reason === "session_end").length;
    assertEquals(exposition.histogram("sessionary_end_to_end_latency_seconds")!.count, ended);
  }));
