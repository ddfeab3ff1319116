/** What the coordinator counts of its own work, for metrics: totals, histograms, and whether the sinks are up. */
import type { EpochCloseReason } from "../schema/epoch.ts";
import {
  type CoordinatorStats,
  END_TO_END_BOUNDS,
  Histogram,
  type HistogramStats,
  type Sink,
  type SinkStats,
  type Stage,
  STAGE_BOUNDS,
  STAGES,
} from "../schema/pipeline_stats.ts";
import type { DeadLetterReason } from "../schema/user_event.ts";
import type { Clock } from "./clock.ts";
import type { ClosingTimes } from "./end_to_end.ts";
import { EpochTimeline } from "./epoch_timeline.ts";
import type { RetryWatcher } from "./retry.ts";
import { SinkHealth } from "./sink_health.ts";

/** How far back data quality looks. */
const RECENT_MS = 5 * 60_000;

/** What one commit landed. */
export interface CommittedCounts {
  readonly consumed: number;
  readonly duplicates: number;
  readonly sessions: number;
  /** Rows of committed sessions that were replaced. */
  readonly revisions: number;
  /** Bytes of the Parquet files with those sessions. */
  readonly bytes: number;
  readonly deadLetters: Readonly<Partial<Record<DeadLetterReason, number>>>;
  readonly conflicts: number;
}

/** What the meter cannot know: the coordinator's present state. */
export type Gauges = Pick<
  CoordinatorStats,
  "deltaVersion" | "lastEpoch" | "epochsInFlight" | "lagVersions" | "watermarks" | "replayedBarriers"
>;

class SinkMeter implements RetryWatcher {
  rows = 0;
  bytes = 0;
  retries = 0;
  readonly health: SinkHealth;

  constructor(now: () => number, turned: () => void) {
    this.health = new SinkHealth(now, turned);
  }

  failed(what: string, why: string): void {
    this.retries++;
    this.health.failed(what, why);
  }

  ended(what: string): void {
    this.health.ended(what);
  }

  get stats(): SinkStats {
    const { rows, bytes, retries } = this;
    return { ...this.health.state, rows, bytes, retries };
  }
}

/** Counts since the process started. */
export class Meter {
  /** Each is told of the failures of its sink's operations. */
  readonly sinks: Readonly<Record<Sink, SinkMeter>>;
  /** Told when an epoch has come through a stage. */
  readonly timeline: EpochTimeline;
  /** Called when a sink has gone down or come up: people should know at once. */
  sinkTurned: () => void = () => {};
  readonly #stages: Readonly<Record<Stage, Histogram>>;
  readonly #endToEnd = new Histogram(END_TO_END_BOUNDS);
  readonly #deadLetters: Partial<Record<DeadLetterReason, number>> = {};
  readonly #total = { consumed: 0, sessions: 0, revisions: 0, duplicates: 0, commits: 0, commitConflicts: 0 };
  #lastCommitMs: number | null = null;
  /** The commits of the last minutes, oldest first. */
  readonly #recent: { readonly at: number; readonly consumed: number; readonly deadLetters: number }[] = [];

  /** When an epoch's barriers were asked for, monotonic milliseconds. */
  readonly #askedAt = new Map<number, number>();

  constructor(private readonly clock: Pick<Clock, "now" | "monotonic">) {
    const sink = () => new SinkMeter(() => clock.now(), () => this.sinkTurned());
    this.sinks = { lake: sink(), warehouse: sink() };
    this.timeline = new EpochTimeline(() => clock.now());
    this.#stages = record(STAGES, () => new Histogram(STAGE_BOUNDS));
  }

  /** An epoch's barriers are asked for. */
  asked(epoch: number): void {
    this.#askedAt.set(epoch, this.clock.monotonic());
    this.timeline.reached(epoch, "askedMs");
  }

  /** The last shard has sealed the epoch; one that is staged again was sealed before. */
  sealed(epoch: number, closedBy: EpochCloseReason): void {
    const askedAt = this.#askedAt.get(epoch);
    if (askedAt === undefined) return;
    this.#askedAt.delete(epoch);
    this.took("seal", this.clock.monotonic() - askedAt);
    this.timeline.reached(epoch, "sealedMs", { closedBy });
  }

  /** A stage of an epoch took `ms` milliseconds. */
  took(stage: Stage, ms: number): void {
    this.#stages[stage].observe(ms / 1000);
  }

  /** An epoch is in the lake. */
  committed(counts: CommittedCounts): void {
    const { consumed, duplicates, sessions, revisions, bytes, conflicts } = counts;
    let deadLetters = 0;
    for (const [reason, count] of Object.entries(counts.deadLetters) as [DeadLetterReason, number][]) {
      this.#deadLetters[reason] = (this.#deadLetters[reason] ?? 0) + count;
      deadLetters += count;
    }
    this.#total.consumed += consumed;
    this.#total.duplicates += duplicates;
    this.#total.sessions += sessions;
    this.#total.revisions += revisions;
    this.#total.commits++;
    this.#total.commitConflicts += conflicts;
    this.sinks.lake.rows += sessions + revisions;
    this.sinks.lake.bytes += bytes;
    this.#lastCommitMs = this.clock.now();
    this.#recent.push({ at: this.#lastCommitMs, consumed, deadLetters });
  }

  /** A version is in the warehouse. */
  inserted(rows: number, bytes: number, ms: number): void {
    this.took("insert", ms);
    this.sinks.warehouse.rows += rows;
    this.sinks.warehouse.bytes += bytes;
  }

  /** The sessions that these events closed can be queried from now on. */
  queryable({ times, counts }: ClosingTimes): void {
    const now = this.clock.now();
    // The broker's clock may be a little ahead of ours.
    times.forEach((time, i) => this.#endToEnd.observe(Math.max(0, now - time) / 1000, counts[i]));
  }

  /** All of it, to be sent. */
  stats(gauges: Gauges): CoordinatorStats {
    const { lake, warehouse } = this.sinks;
    return {
      actor: "coordinator",
      ...this.#total,
      ...gauges,
      epochs: this.timeline.list(gauges.epochsInFlight),
      deadLetters: { ...this.#deadLetters },
      recent: this.#quality(),
      lastCommitMs: this.#lastCommitMs,
      sinks: { lake: lake.stats, warehouse: warehouse.stats },
      stages: record(STAGES, (stage): HistogramStats => this.#stages[stage].stats),
      endToEnd: this.#endToEnd.stats,
    };
  }

  #quality(): CoordinatorStats["recent"] {
    const since = this.clock.now() - RECENT_MS;
    while (this.#recent.length > 0 && this.#recent[0]!.at < since) this.#recent.shift();
    return {
      consumed: this.#recent.reduce((sum, { consumed }) => sum + consumed, 0),
      deadLetters: this.#recent.reduce((sum, { deadLetters }) => sum + deadLetters, 0),
    };
  }
}

function record<K extends string, V>(keys: readonly K[], value: (key: K) => V): Record<K, V> {
  return Object.fromEntries(keys.map((key) => [key, value(key)])) as Record<K, V>;
}
