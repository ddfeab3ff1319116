/** Are the table's rows those of ClickHouse? Compared a day at a time, every column of every row. */
import type { ClickHouseClient } from "@clickhouse/client";
import {
  type Cell,
  cellAt,
  type ColumnBatch,
  type ColumnKind,
  type PageEvent,
} from "../../schema/column_batch.ts";
import { SESSION_COLUMNS, sessionColumnIndex } from "../../schema/session.ts";

/** Differing rows that are named; the others are counted. */
const NAMED_MAX = 5;

/** How the rows of one day compare. */
export interface DayFindings {
  readonly day: string;
  readonly deltaRows: number;
  readonly clickhouseRows: number;
  /** Rows that are in one only, or differ in a column. */
  readonly differing: number;
  readonly examples: readonly string[];
}

type RowTexts = readonly string[];

const IDENTITY = ["session_id", "source_partition", "first_offset"].map(sessionColumnIndex);

/**
 * Compares a day's rows.
 *
 * @param delta the day's rows of the Delta table: the columns of SESSION_COLUMNS
 */
export async function compareDay(
  client: ClickHouseClient,
  day: string,
  delta: ColumnBatch,
): Promise<DayFindings> {
  const expected = new Map<string, RowTexts>();
  for (let row = 0; row < delta.rows; row++) {
    const texts = SESSION_COLUMNS.map(({ kind }, i) => warehouseText(kind, cellAt(delta.columns[i]!, row)));
    expected.set(identityOf(texts), texts);
  }
  const found = await warehouseDay(client, day);
  const examples: string[] = [];
  let differing = 0;
  const note = (identity: string, what: string) => {
    if (++differing <= NAMED_MAX) examples.push(`${day} ${identity}: ${what}`);
  };
  let clickhouseRows = 0;
  const seen = new Set<string>();
  for (const texts of found) {
    clickhouseRows++;
    const identity = identityOf(texts);
    const wanted = expected.get(identity);
    if (wanted === undefined) note(identity, "only in ClickHouse");
    else if (seen.has(identity)) note(identity, "twice in ClickHouse");
    else {
      const column = texts.findIndex((text, i) => text !== wanted[i]);
      if (column >= 0) {
        note(
          identity,
          `${SESSION_COLUMNS[column]!.name} is ${wanted[column]} in Delta, ${texts[column]} in ClickHouse`,
        );
      }
    }
    seen.add(identity);
  }
  for (const identity of expected.keys()) if (!seen.has(identity)) note(identity, "only in Delta");
  return { day, deltaRows: delta.rows, clickhouseRows, differing, examples };
}

/** The days that ClickHouse has rows of. */
export async function warehouseDays(client: ClickHouseClient): Promise<string[]> {
  const query = "SELECT DISTINCT toString(toDate(session_start)) FROM sessions";
  const result = await client.query({ query, format: "JSONCompactEachRow" });
  return (await result.json<[string]>() as [string][]).map(([day]) => day);
}

async function warehouseDay(client: ClickHouseClient, day: string): Promise<RowTexts[]> {
  const columns = SESSION_COLUMNS.map(({ name, kind }) =>
    `ifNull(toString(${kind === "timestamp" ? `toUnixTimestamp(${name})` : name}), '')`
  );
  const query = `SELECT ${columns.join(", ")} FROM sessions WHERE toDate(session_start) = {day:Date}`;
  const result = await client.query({ query, query_params: { day }, format: "JSONCompactEachRow" });
  return await result.json<RowTexts>() as RowTexts[];
}

function identityOf(texts: RowTexts): string {
  return JSON.stringify(IDENTITY.map((index) => texts[index]));
}

/** A cell as ClickHouse shows it: the same mapping as the insert's, written a second time on purpose. */
function warehouseText(kind: ColumnKind, cell: Cell): string {
  if (cell === null) return "";
  switch (kind) {
    case "timestamp":
      return String(Math.floor(cell as number / 1000));
    case "list_utf8":
      return JSON.stringify(cell);
    case "list_page_event": {
      const events = cell as readonly PageEvent[];
      return JSON.stringify(events.map(({ timestamp, event_type, page_url, article_id }) => ({
        timestamp: new Date(timestamp).toISOString(),
        event_type,
        page_url,
        article_id,
      })));
    }
    default:
      return String(cell);
  }
}
