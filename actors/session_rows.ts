/** From what a seal brought out to rows of the table. PURE. */
import { type Cell, ColumnBatchBuilder } from "../schema/column_batch.ts";
import type { PartitionBarrier } from "../schema/epoch.ts";
import { reduceSession, REVISION_KINDS, SESSION_KINDS } from "../schema/session.ts";
import type { Occurrence, PartitionSeal } from "./sessionizer.ts";

/** A finished session's row, as the barrier's epoch carries it. */
export function sessionRow(occurrence: Occurrence, barrier: PartitionBarrier): Cell[] {
  const ordered = [...occurrence.events]
    .sort((a, b) => a.event.time - b.event.time || a.offset - b.offset)
    .map(({ event }) => event);
  return reduceSession(ordered, {
    closeReason: occurrence.closed!,
    sourcePartition: barrier.partition,
    firstOffset: occurrence.firstOffset,
    lastOffset: occurrence.lastOffset,
    revision: occurrence.revision,
    createdAt: barrier.clock,
    batchId: barrier.epoch,
  });
}

/** The rows of the sessions that several seals finished, in no particular order. */
export function sessionRows(seals: readonly PartitionSeal[]): ColumnBatchBuilder {
  const builder = new ColumnBatchBuilder(SESSION_KINDS);
  for (const { barrier, finished } of seals) {
    for (const occurrence of finished) builder.push(sessionRow(occurrence, barrier));
  }
  return builder;
}

/** The rows of their revisions (REVISION_KINDS), in no particular order. */
export function revisionRows(seals: readonly PartitionSeal[]): ColumnBatchBuilder {
  const builder = new ColumnBatchBuilder(REVISION_KINDS);
  for (const { barrier, revised } of seals) {
    for (const { occurrence, replacesEpoch, replacesEvents } of revised) {
      builder.push([...sessionRow(occurrence, barrier), replacesEpoch, replacesEvents]);
    }
  }
  return builder;
}
