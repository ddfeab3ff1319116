/** Whether the process lives and whether it is of use, in words. PURE. */
import { type PipelineStats, type Sink, SINKS } from "../schema/pipeline_stats.ts";

/** An actor reports every second; the longest work between two reports, a huge epoch's Parquet, takes a few. */
export const SILENCE_MAX_MS = 60_000;

/** Empty `problems` where all is well. */
export interface Health {
  readonly status: string;
  /** A sentence each. */
  readonly problems: readonly string[];
}

/** As sentences begin with them. */
export const SINK_NAMES: Readonly<Record<Sink, string>> = { lake: "The lake", warehouse: "ClickHouse" };

/**
 * Whether the actors live. One that dies ends the process; what shows here is one that hangs.
 *
 * @param now wall clock, epoch milliseconds
 */
export function liveness(stats: PipelineStats | null, now: number): Health {
  const silent = (stats?.pulses ?? []).filter(({ lastSeenMs }) => now - lastSeenMs > SILENCE_MAX_MS);
  return {
    status: silent.length === 0 ? "up" : "stuck",
    problems: silent.map(({ name, lastSeenMs }) =>
      `The ${name} has not reported since ${instant(lastSeenMs)}: restart the process, nothing is lost.`
    ),
  };
}

/** Whether the pipeline is restored and both sinks take what it has; `stats` is null while it is not up. */
export function readiness(stats: PipelineStats | null): Health {
  if (!stats?.coordinator) {
    return {
      status: "not ready",
      problems: ["The pipeline is starting or stopping: try again in a moment."],
    };
  }
  const { sinks } = stats.coordinator;
  const problems = SINKS.flatMap((sink) => {
    const { down, sinceMs } = sinks[sink];
    return down === null ? [] : [`${SINK_NAMES[sink]} has been down since ${instant(sinceMs)}: ${down}`];
  });
  return { status: problems.length === 0 ? "ready" : "not ready", problems };
}

function instant(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
