/** Rows of column batches by position, cell by cell: the plain version that `takeRows` is tested against. */
import { cellAt, type ColumnBatch, ColumnBatchBuilder, type ColumnKind } from "../../schema/column_batch.ts";

/** One row of a batch, by position in `batches`. */
export interface RowRef {
  readonly batch: number;
  readonly row: number;
}

/** The rows that `refs` names, in that order, as a new batch. All of `batches` have the columns of `kinds`. */
export function gatherRows(
  kinds: readonly ColumnKind[],
  batches: readonly ColumnBatch[],
  refs: readonly RowRef[],
): ColumnBatch {
  const builder = new ColumnBatchBuilder(kinds);
  for (const { batch, row } of refs) {
    builder.push(batches[batch]!.columns.map((column) => cellAt(column, row)));
  }
  return builder.finish();
}
