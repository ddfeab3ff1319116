/** The one picture of a running pipeline that the page draws, from what the actors report. PURE. */
import type { CoordinatorStats, HistogramStats, PipelineStats, SinkStats } from "../schema/pipeline_stats.ts";
import { STAGES } from "../schema/pipeline_stats.ts";
import { VERSION } from "../schema/version.ts";
import type { Status } from "./api_schema.ts";
import { diagnose } from "./diagnosis.ts";
import { type LiveHistory, quantile } from "./live_history.ts";
import type { ProcessStats } from "./metric_table.ts";

/** A sentence that an actor had for the operator. */
export interface NoticeRecord {
  /** Epoch milliseconds. */
  readonly atMs: number;
  readonly level: "info" | "warning";
  readonly text: string;
}

/** What the picture is made of. */
export interface StatusView {
  /** Null while the pipeline is not up. */
  readonly pipeline: PipelineStats | null;
  readonly history: LiveHistory;
  readonly process: ProcessStats;
  /** The newest first. */
  readonly notices: readonly NoticeRecord[];
  /** Where the events come from, for people. */
  readonly source: string;
  readonly epochIntervalMs: number;
  /** Wall clock, epoch milliseconds. */
  readonly now: number;
}

const NO_VALUES: HistogramStats = { bounds: [], counts: [], sum: 0 };

/** The picture at this moment. */
export function statusOf(view: StatusView): Status {
  const { pipeline, history, process, notices, source, epochIntervalMs, now } = view;
  const rates = history.rates;
  const coordinator = pipeline?.coordinator ?? null;
  const shards = shardsOf(pipeline);
  const partitions = partitionsOf(pipeline, now);
  const endToEnd = coordinator === null ? NO_VALUES : history.recentEndToEnd(coordinator.endToEnd);
  const { recent = null } = coordinator ?? {};
  return {
    now,
    version: VERSION,
    startedMs: process.startedMs,
    source,
    epochIntervalMs,
    up: coordinator !== null && pipeline?.ingest !== null,
    findings: pipeline === null ? [] : diagnose(pipeline, rates.events, now),
    notices: [...notices],
    rates: { ...rates },
    totals: totalsOf(pipeline),
    residentBytes: process.residentBytes,
    lagRecords: partitions.reduce((sum, { lag }) => sum + lag, 0),
    openSessions: shards.reduce((sum, { openSessions }) => sum + openSessions, 0),
    heldEvents: shards.reduce((sum, { heldEvents }) => sum + heldEvents, 0),
    quality: recent === null || recent.consumed === 0 ? null : 1 - recent.deadLetters / recent.consumed,
    deadLetters: { ...coordinator?.deadLetters },
    latency: percentiles(endToEnd),
    stages: Object.fromEntries(
      coordinator === null ? [] : STAGES.map((stage) => [stage, percentiles(coordinator.stages[stage])]),
    ),
    partitions,
    shards,
    sinks: { lake: sinkOf(coordinator?.sinks.lake), warehouse: sinkOf(coordinator?.sinks.warehouse) },
    epochs: [...coordinator?.epochs ?? []],
    epochsInFlight: coordinator?.epochsInFlight ?? 0,
    lastEpoch: coordinator === null ? 0 : newestEpoch(coordinator),
    lastCommitMs: coordinator?.lastCommitMs ?? null,
    deltaVersion: coordinator?.deltaVersion ?? -1,
    lagVersions: coordinator?.lagVersions ?? 0,
  };
}

/** The newest epoch that the totals have in them: the coordinator's own state is a step behind its counts. */
function newestEpoch({ epochs, lastEpoch }: CoordinatorStats): number {
  return Math.max(lastEpoch, ...epochs.map(({ epoch, committedMs }) => committedMs === null ? 0 : epoch));
}

function totalsOf(pipeline: PipelineStats | null): Status["totals"] {
  const coordinator = pipeline?.coordinator ?? null;
  return {
    read: pipeline?.ingest?.records ?? 0,
    events: coordinator?.consumed ?? 0,
    sessions: coordinator?.sessions ?? 0,
    duplicates: coordinator?.duplicates ?? 0,
    deadLetters: Object.values(coordinator?.deadLetters ?? {}).reduce((sum, count) => sum + count, 0),
    commits: coordinator?.commits ?? 0,
  };
}

function shardsOf(pipeline: PipelineStats | null): Status["shards"] {
  const ingest = pipeline?.ingest ?? null;
  return (pipeline?.sessionActors ?? []).map(({ shard, openSessions, heldEvents, heldBytes }) => ({
    shard,
    openSessions,
    heldEvents,
    heldBytes,
    mailboxBytes: ingest?.mailboxBytes[shard] ?? 0,
    mailboxBytesMax: ingest?.mailboxBytesMax ?? 0,
  }));
}

function partitionsOf(pipeline: PipelineStats | null, now: number): Status["partitions"] {
  const watermarks = new Map((pipeline?.coordinator?.watermarks ?? []).map((one) => [one.partition, one]));
  return (pipeline?.ingest?.partitions ?? []).map(({ partition, position, end }) => {
    const known = watermarks.get(partition);
    return {
      partition,
      position,
      end,
      // The end is asked now and then, and may be older than the position.
      lag: Math.max(0, end - position),
      watermark: known?.watermark ?? null,
      behindMs: known === undefined ? null : now - known.watermark,
      idleSince: known?.idleSince ?? null,
    };
  });
}

function sinkOf(stats: SinkStats | undefined): Status["sinks"]["lake"] {
  if (stats === undefined) return null;
  const { down, sinceMs, rows, bytes, retries } = stats;
  return { down, sinceMs, rows, bytes, retries };
}

function percentiles(histogram: HistogramStats): Status["latency"] {
  return {
    p50: quantile(histogram, 0.5),
    p95: quantile(histogram, 0.95),
    p99: quantile(histogram, 0.99),
    count: histogram.counts.reduce((sum, count) => sum + count, 0),
  };
}
