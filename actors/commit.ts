/** From a sealed epoch's parts to what the lake gets: rows in the order of the log, and the commit's record. PURE. */
import { cellAt, type ColumnBatch, type ColumnKind } from "../schema/column_batch.ts";
import type { Config } from "../schema/config.ts";
import {
  DEAD_LETTER_COLUMNS,
  DEAD_LETTER_KINDS,
  type EpochRecord,
  PLAIN_SEMANTICS_VERSION,
  SEMANTICS_VERSION,
  semanticsOf,
} from "../schema/epoch.ts";
import { REVISION_KINDS, SESSION_KINDS, sessionColumnIndex } from "../schema/session.ts";
import { allRows, takeRows } from "../schema/take_rows.ts";
import type { DeadLetterReason } from "../schema/user_event.ts";
import type { PartitionAdvance, StagedFile } from "../sinks/sink.ts";
import type { Epoch } from "./epoch_state.ts";
import type { CommittedCounts } from "./meter.ts";

/**
 * The epoch's rows, sorted by partition and first offset: the same rows in the same order for any number of shards.
 */
export function epochRows(epoch: Epoch): ColumnBatch {
  const [partition, offset] = [sessionColumnIndex("source_partition"), sessionColumnIndex("first_offset")];
  return inLogOrder(SESSION_KINDS, epoch, epoch.seals.map(({ rows }) => rows), partition, offset);
}

/** The epoch's revisions (REVISION_KINDS), in the same order. */
export function epochRevisions(epoch: Epoch): ColumnBatch {
  const [partition, offset] = [sessionColumnIndex("source_partition"), sessionColumnIndex("first_offset")];
  return inLogOrder(REVISION_KINDS, epoch, epoch.seals.map(({ revisions }) => revisions), partition, offset);
}

/** The epoch's dead letters, sorted by partition and offset. */
export function epochDeadLetters(epoch: Epoch): ColumnBatch {
  const index = (name: string) => DEAD_LETTER_COLUMNS.findIndex((column) => column.name === name);
  const letters = epoch.seals.map(({ deadLetters }) => deadLetters);
  return inLogOrder(DEAD_LETTER_KINDS, epoch, letters, index("partition"), index("offset"));
}

/** The rows of the epoch's barriers: seals may hold more. */
function inLogOrder(
  kinds: readonly ColumnKind[],
  { barriers, reduced }: Epoch,
  batches: readonly ColumnBatch[],
  partitionColumn: number,
  offsetColumn: number,
): ColumnBatch {
  const { batch, row } = allRows(batches);
  const number = (column: number, i: number) =>
    cellAt(batches[batch[i]!]!.columns[column]!, row[i]!) as number;
  const partitions = Float64Array.from(row, (_, i) => number(partitionColumn, i));
  const offsets = Float64Array.from(row, (_, i) => number(offsetColumn, i));
  const kept = new Set(barriers.map(({ partition }) => partition));
  const all = Uint32Array.from(row, (_, i) => i);
  const order = (reduced ? all.filter((i) => kept.has(partitions[i]!)) : all)
    .sort((a, b) => partitions[a]! - partitions[b]! || offsets[a]! - offsets[b]!);
  return takeRows(kinds, batches, { batch: order.map((i) => batch[i]!), row: order.map((i) => row[i]!) });
}

/** What an epoch brings besides its barriers. */
export interface EpochParts {
  readonly firstPartitions: number;
  readonly rows: number;
  readonly revisions: number;
  readonly deadLetters: ColumnBatch;
  readonly deadLetterFile: string | null;
}

/** What the commit says besides its files. */
export function epochRecord(epoch: Epoch, config: Config, parts: EpochParts): EpochRecord {
  const { firstPartitions, rows, revisions, deadLetters, deadLetterFile } = parts;
  return {
    pipeline: config.pipeline,
    topic: config.topic,
    epoch: epoch.number,
    closedBy: epoch.closedBy,
    // A program that does not know erasures reads on past commits without any.
    semanticsVersion: epoch.barriers.some(({ erase }) => erase !== undefined)
      ? SEMANTICS_VERSION
      : PLAIN_SEMANTICS_VERSION,
    rows,
    revisions,
    deadLetterFile,
    deadLetters: countReasons(deadLetters),
    firstPartitions,
    partitions: epoch.partitions,
    columns: SESSION_KINDS.length,
    semantics: semanticsOf(config),
  };
}

function countReasons(letters: ColumnBatch): Partial<Record<DeadLetterReason, number>> {
  const reasons = letters.columns[DEAD_LETTER_COLUMNS.findIndex(({ name }) => name === "reason")]!;
  const counts: Partial<Record<DeadLetterReason, number>> = {};
  for (let row = 0; row < letters.rows; row++) {
    const reason = cellAt(reasons, row) as DeadLetterReason;
    counts[reason] = (counts[reason] ?? 0) + 1;
  }
  return counts;
}

/** What the commit compares and swaps, per partition. */
export function epochAdvances(epoch: Epoch): PartitionAdvance[] {
  return epoch.barriers.map(({ partition, from, to, number }) => ({
    partition,
    from,
    to,
    barrierNumber: number,
  }));
}

/** Events that the epoch's barriers erased before any row held them, by partition. */
export function epochErased({ barriers, seals }: Epoch): Map<number, number> {
  const erased = new Map<number, number>();
  const kept = new Set(barriers.map(({ partition }) => partition));
  for (const { partition, counts } of seals.flatMap(({ partitions }) => partitions)) {
    if (!counts.erased || !kept.has(partition)) continue;
    erased.set(partition, (erased.get(partition) ?? 0) + counts.erased);
  }
  return erased;
}

/** What the commit of an epoch landed, for metrics. */
export function committedCounts(
  epoch: Epoch,
  files: readonly StagedFile[],
  record: EpochRecord,
  conflicts: number,
): CommittedCounts {
  const kept = new Set(epoch.barriers.map(({ partition }) => partition));
  const partitions = epoch.seals.flatMap(({ partitions }) => partitions);
  return {
    consumed: epoch.records,
    duplicates: partitions.reduce(
      (sum, { partition, counts }) => kept.has(partition) ? sum + counts.duplicates : sum,
      0,
    ),
    sessions: record.rows,
    revisions: record.revisions,
    bytes: files.reduce((sum, { size }) => sum + size, 0),
    deadLetters: record.deadLetters,
    conflicts,
  };
}

/** What the operator is told when a commit was refused. */
export function fencedNotice({ number }: Epoch, partitions: readonly number[]): string {
  return `Another instance has committed the partitions ${
    partitions.join(", ")
  } past what this one had read: its ` +
    `part of epoch ${number} is dropped, and nothing is in the table twice. If this comes again and again, two groups ` +
    `(KAFKA_GROUP) run one PIPELINE on the same table.`;
}
