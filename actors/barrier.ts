/**
 * What a barrier says: PURE. Ingest alone computes barriers; the commit records them as posted, so that a restart can
 * replay them.
 */
import type { Erasure } from "../schema/erasure.ts";
import type { PartitionBarrier, RecordMark, SessionSemantics } from "../schema/epoch.ts";

/** What ingest knows of a partition between two barriers. Times are epoch milliseconds. */
export interface PartitionProgress {
  readonly partition: number;
  /** The newest barrier, posted or recorded; null before the first. */
  readonly last: PartitionBarrier | null;
  /** Where reading began, for the first barrier. */
  readonly start: number;
  /** The fetch position. */
  readonly position: number;
  /** Records routed since the newest barrier. */
  readonly records: number;
  /** The source says that nothing is left to read. */
  readonly atEnd: boolean;
  readonly lastRecord: RecordMark | null;
}

/** What the coordinator asks of an epoch's barriers. */
export interface BarrierRequest {
  readonly epoch: number;
  readonly clock: number;
  /** Latest event time over the newest epoch that all shards have sealed; null while unknown. */
  readonly latestEventTime: number | null;
  /** Whether an idle partition's watermark may move: not in a bounded run. */
  readonly idleness: boolean;
  readonly closeOpen: boolean;
  /** Revisions may be pending, and are due. */
  readonly revise: boolean;
  /** What is to be erased in the partition; absent: nothing. */
  readonly erase?: readonly Erasure[];
  /** Nothing is read after it: what the newest records made pending is due too. */
  readonly final: boolean;
}

/**
 * The partition's next barrier, or null where it would change nothing: no record arrived, neither watermark nor
 * idleness changed, nothing is to be closed or revised. A partition whose log does not start at 0 has its first barrier at once:
 * it records where reading began, and without it a restart would take the partition for one that was added.
 */
export function nextBarrier(
  progress: PartitionProgress,
  request: BarrierRequest,
  semantics: SessionSemantics,
): PartitionBarrier | null {
  const { last } = progress;
  const clock = Math.max(request.clock, last?.clock ?? 0);
  const latest = request.latestEventTime;
  const byEvents = latest === null ? null : latest - semantics.watermarkDelayMs;
  const eventWatermark = greatest(last?.eventWatermark ?? null, byEvents);
  const idle = request.idleness && latest !== null && progress.atEnd && progress.records === 0;
  const idleSince = idle ? last?.idleSince ?? clock : null;
  // An idle partition's watermark goes on with the clock, up to where everything it holds has timed out.
  const byIdleness = latest === null || idleSince === null ? null : Math.min(
    latest + semantics.sessionTimeoutMs + 1,
    latest - semantics.watermarkDelayMs + clock - idleSince,
  );
  const watermark = greatest(greatest(last?.watermark ?? null, eventWatermark), byIdleness);
  const erase = request.erase ?? [];
  const revise = request.revise || (request.final && progress.records > 0);
  const changed = progress.records > 0 || revise || erase.length > 0 ||
    watermark !== (last?.watermark ?? null) ||
    eventWatermark !== (last?.eventWatermark ?? null) || idleSince !== (last?.idleSince ?? null) ||
    (request.closeOpen && last !== null && !last.closeOpen) || (last === null && progress.start > 0);
  if (!changed) return null;
  return {
    partition: progress.partition,
    number: (last?.number ?? 0) + 1,
    epoch: request.epoch,
    from: last?.to ?? progress.start,
    to: progress.position,
    clock,
    eventWatermark,
    watermark,
    idleSince,
    forgetBefore: watermark === null ? null : watermark - semantics.allowedLatenessMs,
    closeOpen: request.closeOpen,
    revise,
    ...(erase.length === 0 ? {} : { erase }),
    lastRecord: progress.lastRecord,
  };
}

function greatest(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b;
  return Math.max(a, b);
}
