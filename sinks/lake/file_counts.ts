/** What a file of sessions holds of each partition, for the ledger: the log's statistics don't say how many events. */
import { cellAt } from "../../schema/column_batch.ts";
import { sessionColumnIndex } from "../../schema/session.ts";
import { decodeSessions } from "./session_files.ts";

const SOURCE_PARTITION = sessionColumnIndex("source_partition");
const TOTAL_EVENTS = sessionColumnIndex("total_events");

/** Rows, and the events in them. */
export interface RowCounts {
  readonly rows: number;
  readonly events: number;
}

/** By partition. */
export type FileCounts = ReadonlyMap<number, RowCounts>;

/**
 * Counts a file's rows and events.
 *
 * @param origin the file, for sentences
 */
export function countSessions(bytes: Uint8Array, origin: string): FileCounts {
  const { rows, columns } = decodeSessions(bytes, origin);
  const counts = new Map<number, RowCounts>();
  for (let row = 0; row < rows; row++) {
    const partition = cellAt(columns[SOURCE_PARTITION]!, row) as number;
    addCounts(counts, partition, { rows: 1, events: cellAt(columns[TOTAL_EVENTS]!, row) as number });
  }
  return counts;
}

/** Adds to a partition's sums. */
export function addCounts(sums: Map<number, RowCounts>, partition: number, more: RowCounts): void {
  const { rows, events } = sums.get(partition) ?? { rows: 0, events: 0 };
  sums.set(partition, { rows: rows + more.rows, events: events + more.events });
}
