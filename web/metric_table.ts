/** Every metric that the pipeline is known by: its name, what it says, and how it is read from the actors' reports. */
import { SEMANTICS_VERSION } from "../schema/epoch.ts";
import {
  type CoordinatorStats,
  type HistogramStats,
  type PipelineStats,
  SINKS,
  STAGES,
  type UpkeepStats,
} from "../schema/pipeline_stats.ts";
import { DEAD_LETTER_REASONS } from "../schema/user_event.ts";
import { VERSION } from "../schema/version.ts";

/** What the operating system knows of the process. */
export interface ProcessStats {
  /** Epoch milliseconds. */
  readonly startedMs: number;
  readonly residentBytes: number;
  readonly cpuSeconds: number;
  /** The runtime's version. */
  readonly deno: string;
}

/** What a scrape sees. `pipeline` is null while it is not up. */
export interface MetricView {
  readonly pipeline: PipelineStats | null;
  readonly process: ProcessStats;
  /** Wall clock, epoch milliseconds. */
  readonly now: number;
}

/** A value with its labels, in the order of the metric's label names. */
export type Sample<V> = readonly [value: V, ...labels: (string | number)[]];

interface Metric<T extends string, V> {
  readonly type: T;
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
  /** The samples; none where nothing is known. */
  readonly read: (view: MetricView) => readonly Sample<V>[];
}

export type ScalarMetric = Metric<"counter" | "gauge", number>;
export type HistogramMetric = Metric<"histogram", HistogramStats>;

type Read<V> = (view: MetricView) => readonly Sample<V>[];

const counter = (
  name: string,
  help: string,
  labels: readonly string[],
  read: Read<number>,
): ScalarMetric => ({
  type: "counter",
  name,
  help,
  labels,
  read,
});
const gauge = (name: string, help: string, labels: readonly string[], read: Read<number>): ScalarMetric => ({
  type: "gauge",
  name,
  help,
  labels,
  read,
});

/** Reads what the coordinator reports, once it does. */
function ofCoordinator<V>(read: (stats: CoordinatorStats) => readonly Sample<V>[]): Read<V> {
  return ({ pipeline }) => pipeline?.coordinator ? read(pipeline.coordinator) : [];
}

/** Reads what the upkeep actor reports, where there is one. */
function ofUpkeep(read: (stats: UpkeepStats) => readonly Sample<number>[]): Read<number> {
  return ({ pipeline }) => pipeline?.upkeep ? read(pipeline.upkeep) : [];
}

function one(read: (stats: CoordinatorStats) => number | null): Read<number> {
  return ofCoordinator((stats) => known(read(stats)));
}

function perSink(read: (stats: CoordinatorStats["sinks"]["lake"]) => number): Read<number> {
  return ofCoordinator(({ sinks }) => SINKS.map((sink) => [read(sinks[sink]), sink]));
}

function perShard(read: (stats: PipelineStats["sessionActors"][number]) => number | null): Read<number> {
  return ({ pipeline }) =>
    (pipeline?.sessionActors ?? []).flatMap((stats) =>
      known(read(stats)).map(([value]): Sample<number> => [value, stats.shard])
    );
}

function known(value: number | null): readonly Sample<number>[] {
  return value === null ? [] : [[value]];
}

const seconds = (milliseconds: number) => milliseconds / 1000;

const INGEST: readonly ScalarMetric[] = [
  counter(
    "sessionary_source_records_total",
    "Records read from the source, what a restart replays included.",
    [],
    ({ pipeline }) => known(pipeline?.ingest?.records ?? null),
  ),
  counter(
    "sessionary_source_bytes_total",
    "Bytes of those records' keys and values.",
    [],
    ({ pipeline }) => known(pipeline?.ingest?.bytes ?? null),
  ),
  gauge(
    "sessionary_partition_lag_records",
    "Offsets between the partition's end, asked every 5 s, and what has been read of it.",
    ["partition"],
    ({ pipeline }) =>
      (pipeline?.ingest?.partitions ?? []).map(({ partition, position, end }) => [end - position, partition]),
  ),
  gauge(
    "sessionary_mailbox_bytes",
    "Bytes on their way to a session actor.",
    ["shard"],
    ({ pipeline }) => (pipeline?.ingest?.mailboxBytes ?? []).map((bytes, shard) => [bytes, shard]),
  ),
  gauge(
    "sessionary_mailbox_limit_bytes",
    "What each mailbox may hold (MAILBOX_BYTES_MAX).",
    [],
    ({ pipeline }) => known(pipeline?.ingest?.mailboxBytesMax ?? null),
  ),
];

const SESSIONS: readonly ScalarMetric[] = [
  gauge("sessionary_open_sessions", "Sessions that are open.", ["shard"], perShard((s) => s.openSessions)),
  gauge(
    "sessionary_held_events",
    "Events of open sessions, of finished ones until their epoch's barrier, and those that wait for a revision.",
    ["shard"],
    perShard((s) => s.heldEvents),
  ),
  gauge(
    "sessionary_held_bytes",
    "Estimate: the events held times the mean size of the records that the session actor took in.",
    ["shard"],
    perShard((s) => s.heldBytes),
  ),
];

const EPOCHS: readonly ScalarMetric[] = [
  counter("sessionary_events_total", "Records in committed epochs.", [], one((s) => s.consumed)),
  counter("sessionary_sessions_total", "Sessions committed to the lake.", [], one((s) => s.sessions)),
  counter(
    "sessionary_revisions_total",
    "Rows of committed sessions that late events replaced.",
    [],
    one((s) => s.revisions),
  ),
  counter("sessionary_duplicates_total", "Events that repeated an event id.", [], one((s) => s.duplicates)),
  counter(
    "sessionary_dead_letters_total",
    "Events that could not be used, in committed epochs.",
    ["reason"],
    ofCoordinator(({ deadLetters }) =>
      DEAD_LETTER_REASONS.map((reason) => [deadLetters[reason] ?? 0, reason])
    ),
  ),
  gauge(
    "sessionary_data_quality_ratio",
    "1 - dead letters / records, over the epochs committed in the last 5 minutes; absent without records.",
    [],
    one(({ recent }) => recent.consumed === 0 ? null : 1 - recent.deadLetters / recent.consumed),
  ),
  counter("sessionary_commits_total", "Delta commits.", [], one((s) => s.commits)),
  counter(
    "sessionary_commit_conflicts_total",
    "Delta versions that another writer was first to take.",
    [],
    one((s) => s.commitConflicts),
  ),
  gauge(
    "sessionary_last_commit_timestamp_seconds",
    "When the newest epoch was committed; absent before the first.",
    [],
    one((s) => s.lastCommitMs === null ? null : seconds(s.lastCommitMs)),
  ),
  gauge("sessionary_epoch", "The newest epoch in the lake.", [], one((s) => s.lastEpoch)),
  gauge(
    "sessionary_delta_version",
    "The newest Delta version of this process.",
    [],
    one((s) => s.deltaVersion),
  ),
  gauge(
    "sessionary_epochs_in_flight",
    "Epochs between their barrier and their commit.",
    [],
    one((s) => s.epochsInFlight),
  ),
  gauge(
    "sessionary_watermark_lag_seconds",
    "How far a partition's watermark is behind the wall clock.",
    ["partition"],
    ({ pipeline, now }) =>
      (pipeline?.coordinator?.watermarks ?? []).map(({ partition, watermark }) => [
        seconds(now - watermark),
        partition,
      ]),
  ),
  gauge(
    "sessionary_replayed_barriers",
    "Barriers that the start replayed: above 0, the run before was not stopped in order.",
    [],
    one((s) => s.replayedBarriers),
  ),
];

const SINK_METRICS: readonly ScalarMetric[] = [
  counter("sessionary_sink_rows_total", "Rows committed or inserted.", ["sink"], perSink((s) => s.rows)),
  counter(
    "sessionary_sink_bytes_total",
    "Bytes of the Parquet files that hold those rows.",
    ["sink"],
    perSink((s) => s.bytes),
  ),
  counter(
    "sessionary_sink_retries_total",
    "Requests to a sink that failed and were tried again.",
    ["sink"],
    perSink((s) => s.retries),
  ),
  gauge(
    "sessionary_sink_up",
    "1 while a sink works, else 0.",
    ["sink"],
    perSink((s) => s.down === null ? 1 : 0),
  ),
  gauge(
    "sessionary_sink_changed_timestamp_seconds",
    "Since when a sink is up or down.",
    ["sink"],
    perSink((s) => seconds(s.sinceMs)),
  ),
  gauge(
    "sessionary_warehouse_lag_versions",
    "Committed Delta versions that ClickHouse lacks.",
    [],
    one((s) => s.lagVersions),
  ),
];

const UPKEEP: readonly ScalarMetric[] = [
  counter(
    "sessionary_optimize_runs_total",
    "Looks for small files to pack, whether or not there were any.",
    [],
    ofUpkeep(({ optimizeRuns }) => [[optimizeRuns]]),
  ),
  counter(
    "sessionary_optimize_files_total",
    "Files that OPTIMIZE took out of the Delta table, and put into it.",
    ["change"],
    ofUpkeep(({ filesRemoved, filesAdded }) => [[filesRemoved, "removed"], [filesAdded, "added"]]),
  ),
  counter(
    "sessionary_optimize_bytes_total",
    "Bytes of those files.",
    ["change"],
    ofUpkeep(({ bytesRemoved, bytesAdded }) => [[bytesRemoved, "removed"], [bytesAdded, "added"]]),
  ),
  counter(
    "sessionary_optimize_conflicts_total",
    "Versions that others took before OPTIMIZE: it tried the next one, or gave up where its files were gone.",
    ["outcome"],
    ofUpkeep(({ conflicts, abandoned }) => [[conflicts, "retried"], [abandoned, "given_up"]]),
  ),
  counter(
    "sessionary_vacuumed_files_total",
    "Files that left the Delta table and were deleted.",
    [],
    ofUpkeep(({ filesVacuumed }) => [[filesVacuumed]]),
  ),
  counter(
    "sessionary_vacuumed_bytes_total",
    "Bytes of those files.",
    [],
    ofUpkeep(({ bytesVacuumed }) => [[bytesVacuumed]]),
  ),
  counter(
    "sessionary_log_files_deleted_total",
    "Commits and Delta checkpoints that the log's cleanup deleted.",
    [],
    ofUpkeep(({ logFilesDeleted }) => [[logFilesDeleted]]),
  ),
  counter(
    "sessionary_upkeep_failures_total",
    "Times that OPTIMIZE, VACUUM or the log's cleanup failed; the log says why.",
    [],
    ofUpkeep(({ failures }) => [[failures]]),
  ),
];

const PROCESS: readonly ScalarMetric[] = [
  gauge(
    "sessionary_recovery_seconds",
    "From the process's start to the first event that it had not replayed; absent before that event.",
    [],
    ({ pipeline, process }) =>
      known(pipeline?.firstNewEventMs ?? null).map(([at]) => [seconds(at - process.startedMs)]),
  ),
  gauge(
    "sessionary_build_info",
    "Always 1.",
    ["version", "deno", "semantics_version"],
    ({ process }) => [[1, VERSION, process.deno, SEMANTICS_VERSION]],
  ),
  gauge(
    "sessionary_actor_last_seen_timestamp_seconds",
    "When an actor last reported, which it does every second.",
    ["actor"],
    ({ pipeline }) => (pipeline?.pulses ?? []).map(({ name, lastSeenMs }) => [seconds(lastSeenMs), name]),
  ),
  gauge(
    "process_start_time_seconds",
    "When the process started; its changes are the restarts.",
    [],
    ({ process }) => [[seconds(process.startedMs)]],
  ),
  gauge(
    "process_resident_memory_bytes",
    "Memory of the process, the embedded ClickHouse included.",
    [],
    ({ process }) => [[process.residentBytes]],
  ),
  counter(
    "process_cpu_seconds_total",
    "CPU time of the process, user and system.",
    [],
    ({ process }) => [[process.cpuSeconds]],
  ),
];

/** Counters and gauges. */
export const SCALAR_METRICS = [...INGEST, ...SESSIONS, ...EPOCHS, ...SINK_METRICS, ...UPKEEP, ...PROCESS];

/** Histograms, counted where the work is done. */
export const HISTOGRAM_METRICS: readonly HistogramMetric[] = [
  {
    type: "histogram",
    name: "sessionary_stage_duration_seconds",
    help: "An epoch's way: seal, upload, commit, insert; and each partition's checkpoint.",
    labels: ["stage"],
    read: ofCoordinator(({ stages }) => STAGES.map((stage) => [stages[stage], stage])),
  },
  {
    type: "histogram",
    name: "sessionary_end_to_end_latency_seconds",
    help:
      "Sessions closed by session_end: from the broker's timestamp of that event until they can be queried in ClickHouse.",
    labels: [],
    read: ofCoordinator(({ endToEnd }) => [[endToEnd]]),
  },
];
