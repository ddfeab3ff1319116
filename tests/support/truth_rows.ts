/** Rows of the Delta table in the form of the simulator's truth file. */
import type { Row } from "./pipeline_run.ts";

/** A row as the truth file writes it: times as text, without what only a run decides. */
export function comparable({ created_at: _, batch_id: __, close_reason, ...row }: Row): Row {
  const iso = (value: unknown) => new Date(value as number).toISOString();
  const pages = (row.page_events as unknown as { timestamp: number }[])
    .map((page) => ({ ...page, timestamp: iso(page.timestamp) }));
  return {
    ...row,
    close_reason: close_reason === "session_end" ? close_reason : "drain", // or `timeout`: the truth can't know
    session_start: iso(row.session_start),
    session_end: iso(row.session_end),
    page_events: pages as unknown as Row[string],
  };
}

/** The order in which rows and truth are compared. */
export function byPlace(a: Row, b: Row): number {
  return Number(a.source_partition) - Number(b.source_partition) ||
    Number(a.first_offset) - Number(b.first_offset);
}
