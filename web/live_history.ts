/** The last minutes of a running pipeline, second by second: rates and levels for charts. PURE. */
import type { HistogramStats, PipelineStats } from "../schema/pipeline_stats.ts";

/** Seconds that are kept: what the page's charts show. */
export const HISTORY_SECONDS = 300;
/** Rates are taken over this many seconds: shorter, and an epoch's commit would be a spike between zeros. */
export const RATE_SECONDS = 10;

/** One second. */
export interface HistoryPoint {
  /** Epoch milliseconds. */
  readonly at: number;
  /** Records read from the source, per second, over {@linkcode RATE_SECONDS}. */
  readonly readPerSecond: number;
  /** Sessions committed, per second, over {@linkcode RATE_SECONDS}. */
  readonly sessionsPerSecond: number;
  /** Records that wait in the log. */
  readonly lagRecords: number;
  readonly openSessions: number;
}

/** Totals and levels at one moment. */
interface Sample {
  readonly at: number;
  readonly records: number;
  readonly bytes: number;
  readonly consumed: number;
  readonly sessions: number;
  readonly lakeBytes: number;
  readonly warehouseRows: number;
  readonly lag: number;
  readonly openSessions: number;
  readonly endToEnd: readonly number[];
  readonly cpuSeconds: number;
}

/** Per second, over the last {@linkcode RATE_SECONDS}. */
export interface Rates {
  readonly events: number;
  readonly bytes: number;
  readonly committedEvents: number;
  readonly sessions: number;
  readonly lakeBytes: number;
  readonly warehouseRows: number;
  /** Seconds of CPU per second: 1 is one core. */
  readonly cpu: number;
}

/** Keeps {@linkcode HISTORY_SECONDS} samples; whoever owns it takes one about once a second. */
export class LiveHistory {
  readonly #samples: Sample[] = [];
  readonly #points: HistoryPoint[] = [];

  /** Takes a sample; `now` is epoch milliseconds, `cpuSeconds` the process's CPU time. */
  sample(stats: PipelineStats, now: number, cpuSeconds: number): void {
    const { ingest, coordinator, sessionActors } = stats;
    if (coordinator === null || ingest === null) return;
    const next: Sample = {
      at: now,
      records: ingest.records,
      bytes: ingest.bytes,
      consumed: coordinator.consumed,
      sessions: coordinator.sessions,
      lakeBytes: coordinator.sinks.lake.bytes,
      warehouseRows: coordinator.sinks.warehouse.rows,
      lag: ingest.partitions.reduce((sum, { position, end }) => sum + Math.max(0, end - position), 0),
      openSessions: sessionActors.reduce((sum, { openSessions }) => sum + openSessions, 0),
      endToEnd: coordinator.endToEnd.counts,
      cpuSeconds,
    };
    this.#samples.push(next);
    if (this.#samples.length > HISTORY_SECONDS) this.#samples.shift();
    const { events, sessions } = this.rates;
    this.#points.push({
      at: now,
      readPerSecond: events,
      sessionsPerSecond: sessions,
      lagRecords: next.lag,
      openSessions: next.openSessions,
    });
    if (this.#points.length > HISTORY_SECONDS) this.#points.shift();
  }

  /** Oldest first. */
  get points(): readonly HistoryPoint[] {
    return [...this.#points];
  }

  get rates(): Rates {
    const last = this.#samples.at(-1);
    const first = this.#samples.at(-1 - RATE_SECONDS) ?? this.#samples[0];
    const rate = (name: Exclude<keyof Sample, "endToEnd">) =>
      first === undefined || last === undefined ? 0 : perSecond(first, last, name);
    return {
      events: rate("records"),
      bytes: rate("bytes"),
      committedEvents: rate("consumed"),
      sessions: rate("sessions"),
      lakeBytes: rate("lakeBytes"),
      warehouseRows: rate("warehouseRows"),
      cpu: rate("cpuSeconds"),
    };
  }

  /** What a histogram counted since the oldest sample that is kept. */
  recentEndToEnd({ bounds, counts, sum }: HistogramStats): HistogramStats {
    const oldest = this.#samples[0]?.endToEnd;
    return { bounds, counts: counts.map((count, i) => count - (oldest?.[i] ?? 0)), sum };
  }
}

function perSecond(first: Sample, last: Sample, name: Exclude<keyof Sample, "endToEnd">): number {
  const seconds = (last.at - first.at) / 1000;
  return seconds <= 0 ? 0 : Math.max(0, last[name] - first[name]) / seconds;
}

/**
 * The value below which the share `q` of what was counted lies, linear inside its bucket (as Prometheus's
 * `histogram_quantile`); null where nothing was counted. Above the last bound it is that bound.
 */
export function quantile({ bounds, counts }: HistogramStats, q: number): number | null {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return null;
  const rank = q * total;
  let below = 0;
  for (const [i, count] of counts.entries()) {
    const upper = bounds[i];
    if (upper === undefined) break;
    if (below + count >= rank && count > 0) {
      const lower = i === 0 ? 0 : bounds[i - 1]!;
      return lower + (upper - lower) * Math.max(0, rank - below) / count;
    }
    below += count;
  }
  return bounds.at(-1) ?? null;
}
