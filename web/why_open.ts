/** Why a session is still open, and when it closes at the earliest: in times, and in words. PURE. */
import type { OpenSession } from "../schema/open_session.ts";
import type { PartitionWatermark } from "../schema/pipeline_stats.ts";

/** A way in which the session may close. */
export interface ClosingWay {
  readonly reason: "session_end" | "timeout" | "idle" | "cap";
  /** What must happen, as a sentence. */
  readonly when: string;
  /** When it may be at the earliest, epoch milliseconds; null: whenever an event of its own does it. */
  readonly earliestMs: number | null;
}

/** The answer. */
export interface OpenExplanation {
  /** One sentence. */
  readonly why: string;
  /** The event time that its partition's watermark must pass for a gap to close it, epoch milliseconds. */
  readonly deadlineMs: number;
  /** How far the watermark is from there, milliseconds; null while it is not known. */
  readonly remainingMs: number | null;
  readonly ways: readonly ClosingWay[];
}

/**
 * @param partition where its partition stood at the newest barrier; null before the first with a watermark
 * @param now wall clock, epoch milliseconds
 * @param epochIntervalMs watermarks move at barriers only, and those come this far apart
 */
export function explainOpen(
  session: OpenSession,
  partition: PartitionWatermark | null,
  now: number,
  epochIntervalMs: number,
): OpenExplanation {
  const { end, sessionTimeoutMs, maxSessionDurationMs, maxSessionEvents, events, start } = session;
  const deadlineMs = end + sessionTimeoutMs;
  const watermark = partition?.watermark ?? session.watermark;
  const remainingMs = watermark === null ? null : Math.max(0, deadlineMs + 1 - watermark);
  const ways: ClosingWay[] = [
    {
      reason: "session_end",
      when: "A session_end event of this session arrives.",
      earliestMs: null,
    },
    timeoutWay(session, watermark, now),
    ...idleWay(session, partition, now, epochIntervalMs),
    {
      reason: "cap",
      when: `It would last longer than ${duration(maxSessionDurationMs)} (until ${
        instant(
          start + maxSessionDurationMs,
        )
      }), or have more than ${maxSessionEvents} events (it has ${events}).`,
      earliestMs: null,
    },
  ];
  return { why: whySentence(session, watermark, deadlineMs), deadlineMs, remainingMs, ways };
}

function whySentence(session: OpenSession, watermark: number | null, deadlineMs: number): string {
  const { partition, sessionTimeoutMs, end } = session;
  const gap = `its last event is of ${instant(end)}, and a gap of ${duration(sessionTimeoutMs)} must pass`;
  if (watermark === null) {
    return `No session_end has come; ${gap}, and partition ${partition} has no watermark before its first barrier.`;
  }
  if (watermark > deadlineMs) {
    return `The watermark of partition ${partition} has passed ${
      instant(deadlineMs)
    }: it closes at the next barrier.`;
  }
  return `No session_end has come; ${gap} before the watermark of partition ${partition}, ` +
    `which stands at ${instant(watermark)} and has ${duration(deadlineMs + 1 - watermark)} to go.`;
}

/** By events of others: the newest event time, less the delay, is the watermark. */
function timeoutWay(session: OpenSession, watermark: number | null, now: number): ClosingWay {
  const { end, sessionTimeoutMs, watermarkDelayMs, maxClockSkewMs, partition } = session;
  const needed = end + sessionTimeoutMs + watermarkDelayMs + 1;
  const passed = watermark !== null && watermark > end + sessionTimeoutMs;
  return {
    reason: "timeout",
    when: passed
      ? "The next barrier is posted."
      : `Partition ${partition} has an event of ${instant(needed)} or later ` +
        `(last event + ${duration(sessionTimeoutMs)} + watermark delay ${
          duration(watermarkDelayMs)
        }), and then a barrier.`,
    // An event may be ahead of the broker's clock by the skew that is allowed, and no more.
    earliestMs: passed ? now : Math.max(now, needed - maxClockSkewMs),
  };
}

/** By the clock: an idle partition's watermark goes on with it. */
function idleWay(
  session: OpenSession,
  partition: PartitionWatermark | null,
  now: number,
  epochIntervalMs: number,
): ClosingWay[] {
  const { end, latestEventTime, sessionTimeoutMs, watermarkDelayMs } = session;
  if (latestEventTime === null) return [];
  // watermark = latest − delay + clock − idleSince must exceed end + timeout (ARCHITECTURE.md, "Sessions").
  const wait = end + sessionTimeoutMs + 1 - (latestEventTime - watermarkDelayMs);
  const idleSince = partition?.idleSince ?? null;
  if (idleSince === null) {
    const when = `Partition ${session.partition} stays without a new event for ${
      duration(wait)
    } from a barrier on.`;
    return [{ reason: "idle", when, earliestMs: now + wait }];
  }
  const at = idleSince + wait;
  return [{
    reason: "idle",
    when:
      `Partition ${session.partition}, idle since ${instant(idleSince)}, stays so until ${instant(at)}; ` +
      `barriers come every ${duration(epochIntervalMs)}.`,
    earliestMs: at,
  }];
}

/** With its zone, to the second. */
function instant(milliseconds: number): string {
  return `${new Date(milliseconds).toISOString().replace("T", " ").slice(0, 19)} UTC`;
}

function duration(milliseconds: number): string {
  const seconds = Math.ceil(milliseconds / 1000);
  if (milliseconds < 1000) return `${Math.ceil(milliseconds)} ms`;
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return seconds % 60 === 0 ? `${minutes} min` : `${minutes} min ${seconds % 60} s`;
  return minutes % 60 === 0 ? `${minutes / 60} h` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
