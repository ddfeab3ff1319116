/** A running pipeline's reports, as a test wants them. */
import { Meter } from "../../actors/meter.ts";
import type { CoordinatorStats, PipelineStats } from "../../schema/pipeline_stats.ts";

/** Of a coordinator that has done nothing yet, and `changes`. */
export function coordinatorStats(changes: Partial<CoordinatorStats> = {}): CoordinatorStats {
  const idle = new Meter({ now: () => 0, monotonic: () => 0 }).stats({
    deltaVersion: 0,
    lastEpoch: 0,
    epochsInFlight: 0,
    lagVersions: 0,
    watermarks: [],
    replayedBarriers: 0,
  });
  return { ...idle, ...changes };
}

/** Two partitions, two session actors, and `coordinator`. */
export function pipelineStats(coordinator: Partial<CoordinatorStats> = {}): PipelineStats {
  return {
    ingest: {
      actor: "ingest",
      records: 30,
      bytes: 3_000,
      partitions: [{ partition: 0, position: 10, end: 15 }, { partition: 1, position: 20, end: 20 }],
      mailboxBytes: [100, 0],
      mailboxBytesMax: 1_000,
    },
    sessionActors: [
      { actor: "session", shard: 0, openSessions: 2, heldEvents: 5, heldBytes: 500 },
      { actor: "session", shard: 1, openSessions: 1, heldEvents: 1, heldBytes: null },
    ],
    coordinator: coordinatorStats(coordinator),
    upkeep: {
      actor: "upkeep",
      optimizeRuns: 3,
      filesRemoved: 60,
      filesAdded: 1,
      bytesRemoved: 6_000,
      bytesAdded: 2_000,
      conflicts: 2,
      abandoned: 1,
      filesVacuumed: 50,
      bytesVacuumed: 5_000,
      logFilesDeleted: 40,
      failures: 0,
    },
    firstNewEventMs: 7_500,
    pulses: [{ name: "ingest", lastSeenMs: 1_000 }, { name: "coordinator", lastSeenMs: 2_000 }],
  };
}
