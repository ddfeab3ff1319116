/** What holds the pipeline up, in words, from what its actors report. PURE. */
import { EPOCHS_IN_FLIGHT_MAX } from "../schema/limits.ts";
import {
  type CoordinatorStats,
  type EpochTrace,
  type IngestStats,
  type PipelineStats,
  SINKS,
} from "../schema/pipeline_stats.ts";
import { liveness, SINK_NAMES } from "./health.ts";

/** One thing to know. The first ones matter most. */
export interface Finding {
  readonly severity: "error" | "warning";
  /** What is the case, and what follows for the data: sentences. */
  readonly text: string;
  /** What to do, as a sentence. */
  readonly advice: string;
}

/** Shares and counts above which something is worth a sentence. */
const MAILBOX_FULL_SHARE = 0.9;
const LAG_SECONDS_MAX = 30;
const LAG_VERSIONS_MAX = 3;
const DEAD_LETTER_SHARE_MAX = 0.01;
const EPOCH_STUCK_MS = 60_000;

/** What holds the pipeline up; empty where nothing does. `now`: wall clock, epoch milliseconds. */
export function diagnose(stats: PipelineStats, readPerSecond: number, now: number): Finding[] {
  const { coordinator, ingest } = stats;
  const silent = liveness(stats, now).problems.map((text): Finding => ({
    severity: "error",
    text,
    advice: "Keep its log: it says what the actor did last.",
  }));
  if (coordinator === null || ingest === null) return silent;
  return [
    ...silent,
    ...sinksDown(coordinator),
    ...slowEpochs(coordinator, now),
    ...fullMailboxes(ingest),
    ...backlog(ingest, readPerSecond),
    ...warehouseBehind(coordinator),
    ...deadLetters(coordinator),
  ];
}

const CONSEQUENCES = {
  lake: "Nothing can be committed; reading waits after two epochs, and the events wait in the log.",
  warehouse: "Commits to the lake go on, and queries show older sessions; it catches up by itself.",
} as const;

function sinksDown({ sinks }: CoordinatorStats): Finding[] {
  return SINKS.flatMap((sink) => {
    const { down, sinceMs } = sinks[sink];
    if (down === null) return [];
    return [{
      severity: "error" as const,
      text: `${SINK_NAMES[sink]} has been down since ${instant(sinceMs)}: ${down} ${CONSEQUENCES[sink]}`,
      advice: "Bring it back: nothing has to be done here, and no row is lost or comes twice.",
    }];
  });
}

/** Where the oldest epoch that is under way has got to. */
export function stageAt({ sealedMs, uploadedMs, committedMs }: EpochTrace): string {
  if (sealedMs === null) return "the session actors' seals";
  if (uploadedMs === null) return "the upload of its files";
  return committedMs === null ? "its Delta commit" : "its ClickHouse insert";
}

function slowEpochs({ epochs, epochsInFlight, sinks }: CoordinatorStats, now: number): Finding[] {
  const oldest = epochs.find(({ committedMs }) => committedMs === null);
  if (oldest === undefined || sinks.lake.down !== null) return [];
  const age = now - oldest.askedMs;
  const full = epochsInFlight >= EPOCHS_IN_FLIGHT_MAX;
  if (!full && age < EPOCH_STUCK_MS) return [];
  return [{
    severity: "warning",
    text: `Epoch ${oldest.epoch} has waited ${Math.round(age / 1000)} s, now for ${stageAt(oldest)}.` +
      (full ? " As many epochs are under way as may be, so reading waits." : ""),
    advice: "The timeline of epochs shows which stage takes the time.",
  }];
}

function fullMailboxes({ mailboxBytes, mailboxBytesMax }: IngestStats): Finding[] {
  const full = mailboxBytes.flatMap((bytes, shard) =>
    bytes > MAILBOX_FULL_SHARE * mailboxBytesMax ? [shard] : []
  );
  if (full.length === 0) return [];
  const all = full.length === mailboxBytes.length;
  const who = full.length === 1 ? `session actor ${full[0]} is` : `session actors ${full.join(", ")} are`;
  return [{
    severity: "warning",
    text: all
      ? "All mailboxes are full: the session actors take in as much as they can, and are what limits the rate."
      : `The mailbox is full: ${who} behind the others.`,
    advice: all
      ? "Raise SESSION_ACTORS where there are cores left."
      : "Few readers may make most of the events: look at the open sessions.",
  }];
}

function backlog({ partitions }: IngestStats, readPerSecond: number): Finding[] {
  const lag = partitions.reduce((sum, { position, end }) => sum + Math.max(0, end - position), 0);
  if (lag === 0) return [];
  if (readPerSecond <= 0) {
    return [{
      severity: "warning",
      text: `${lag} events wait in the log, and nothing is read.`,
      advice: "Above stands what it waits for; else look whether the event log answers.",
    }];
  }
  const seconds = lag / readPerSecond;
  if (seconds < LAG_SECONDS_MAX) return [];
  return [{
    severity: "warning",
    text: `${lag} events wait in the log: at the present rate reading them takes ${Math.round(seconds)} s.`,
    advice: "After a stop this passes; if it grows, events come faster than they are read.",
  }];
}

function warehouseBehind({ lagVersions, sinks }: CoordinatorStats): Finding[] {
  if (lagVersions <= LAG_VERSIONS_MAX || sinks.warehouse.down !== null) return [];
  return [{
    severity: "warning",
    text: `ClickHouse lacks ${lagVersions} committed versions: queries show older sessions.`,
    advice: "After an outage it catches up by itself; else its inserts take longer than an epoch.",
  }];
}

function deadLetters({ recent }: CoordinatorStats): Finding[] {
  if (recent.deadLetters <= DEAD_LETTER_SHARE_MAX * recent.consumed) return [];
  const share = (100 * recent.deadLetters / recent.consumed).toFixed(1);
  return [{
    severity: "warning",
    text: `${share} % of the records of the last five minutes could not be used.`,
    advice: "The dead letters say why, one by one; the producer must be mended.",
  }];
}

function instant(milliseconds: number): string {
  return `${new Date(milliseconds).toISOString().replace("T", " ").slice(0, 19)} UTC`;
}
