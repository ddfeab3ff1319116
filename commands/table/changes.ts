/** `sessionary table changes`: what versions did to which rows. */
import { cellAt, type Column } from "../../schema/column_batch.ts";
import type { Config } from "../../schema/config.ts";
import { EXIT, UserError } from "../../schema/errors.ts";
import { SESSION_COLUMNS } from "../../schema/session.ts";
import { QUERY_ROWS_MAX } from "../../schema/settings.ts";
import type { VersionRows } from "../../sinks/lake/table_past.ts";
import { type QueryResult, rowObjects } from "../../web/query_service.ts";
import type { CommandContext } from "../context.ts";
import { formatTable } from "../terminal.ts";
import { openTable } from "./open_table.ts";

const LINES_DEFAULT = 20;
const COLUMNS = [
  "_change_type",
  "_commit_version",
  "_commit_timestamp",
  ...SESSION_COLUMNS.map(({ name }) => name),
];
/** What a terminal has room for. */
const SHOWN = [
  "_change_type",
  "_commit_version",
  "_commit_timestamp",
  "session_id",
  "brand",
  "session_start",
  "total_events",
  "revision",
  "source_partition",
  "first_offset",
];

export interface ChangesOptions {
  readonly from: number | null;
  readonly to: number | null;
  readonly limit: number | null;
  readonly json: boolean;
}

/**
 * Prints the changed rows in the order of versions, as a table or as a JSON array of objects.
 *
 * @throws {UserError} where the log does not have the versions
 */
export async function showChanges(
  config: Config,
  { from, to, limit, json }: ChangesOptions,
  context: CommandContext,
): Promise<void> {
  if (from === null) {
    throw new UserError(
      "--from must name the first version whose changes are shown: it is missing.",
      EXIT.usage,
    );
  }
  const { past } = await openTable(config, context);
  const most = limit ?? (json ? QUERY_ROWS_MAX : LINES_DEFAULT);
  const rows: (readonly unknown[])[] = [];
  for await (const part of past.changes(from, to ?? undefined)) {
    for (let row = 0; row < part.rows.rows && rows.length < most; row++) rows.push(cellsOf(part, row));
    if (rows.length === most) break;
  }
  const result: QueryResult = { columns: COLUMNS, rows };
  if (json) return context.print(JSON.stringify(rowObjects(result), null, 1));
  const shown = SHOWN.map((name) => COLUMNS.indexOf(name));
  context.print(
    formatTable({ columns: SHOWN, rows: rows.map((row) => shown.map((index) => row[index])) }),
  );
  if (rows.length === 0) return context.warn("These versions changed no rows.");
  context.warn(`${COLUMNS.length - SHOWN.length} more columns: --json shows them.`);
  if (rows.length === most) context.warn(`${most} rows at most: --limit changes that.`);
}

function cellsOf({ version, timestampMs, rows, typeOf }: VersionRows, row: number): readonly unknown[] {
  const time = timestampMs === null ? null : new Date(timestampMs).toISOString();
  return [typeOf(row), version, time, ...rows.columns.map((column) => jsonCell(column, row))];
}

/** Times in ISO 8601, everything else as it is. */
function jsonCell(column: Column, row: number): unknown {
  const cell = cellAt(column, row);
  if (cell !== null && column.kind === "timestamp") return new Date(cell as number).toISOString();
  return cell;
}
