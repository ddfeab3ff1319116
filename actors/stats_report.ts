/** An actor's regular word of itself to the supervisor: its numbers, and by them that it is alive. */
import type { ActorStats } from "../schema/pipeline_stats.ts";
import type { Clock } from "./clock.ts";
import type { ActorReport } from "./protocol.ts";

/** Numbers are for people and for scrapes every few seconds. */
export const STATS_INTERVAL_MS = 1_000;

/** Reports `stats` about once a second, until `signal` aborts or the worker ends. */
export async function reportStats(
  stats: () => ActorStats,
  report: (report: ActorReport) => void,
  clock: Clock,
  signal?: AbortSignal,
): Promise<void> {
  while (!signal?.aborted) {
    report({ type: "stats", stats: stats() });
    await clock.sleep(STATS_INTERVAL_MS, signal);
  }
}
