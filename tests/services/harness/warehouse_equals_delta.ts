/** The comparison of a ClickHouse with the Delta table that it follows, row by row and sum by sum. */
import { assert, assertEquals } from "@std/assert";
import { systemClock } from "../../../actors/clock.ts";
import { cellAt, type PageEvent } from "../../../schema/column_batch.ts";
import type { Config } from "../../../schema/config.ts";
import { SESSION_COLUMNS } from "../../../schema/session.ts";
import { openLake } from "../../../sinks/lake/open.ts";
import { ANALYTICS, type Analytics } from "../../../sinks/warehouse/analytics.ts";
import type { ClickHouseAccess } from "../../../sinks/warehouse/clickhouse_access.ts";
import { cellsOf, rowsOf, type SessionRow } from "../../sinks/warehouse/harness.ts";

/** Every row of the table, ordered (source_partition, first_offset). */
export async function deltaRows(config: Config): Promise<SessionRow[]> {
  const { lake } = await openLake(config, { now: systemClock.now, notice: () => {} });
  const batch = await lake.readSessions();
  return Array.from(
    { length: batch.rows },
    (_, row) =>
      Object.fromEntries(SESSION_COLUMNS.map(({ name }, i) => [name, cellAt(batch.columns[i]!, row)])),
  );
}

/** What an analytics row of one session, or of one of its page events, adds. */
interface Addition {
  readonly group: readonly unknown[];
  readonly sums: readonly number[];
}

function bucketOf({ time }: Analytics, row: SessionRow): string {
  const start = new Date(Number(row.session_start)).toISOString();
  return time.type === "Date" ? start.slice(0, 10) : `${start.slice(0, 13).replace("T", " ")}:00:00`;
}

/** The sum's name in the table, and the session's column that it sums. */
const RENAMED: Readonly<Record<string, string>> = { total_duration_sec: "session_duration_sec" };

function additions(analytics: Analytics, row: SessionRow): Addition[] {
  const bucket = bucketOf(analytics, row);
  if (analytics.arrayJoin === undefined) {
    return [{
      group: [bucket, ...analytics.dimensions.map(({ name }) => row[name] ?? "")],
      sums: analytics.sums.map(({ name }) => name === "sessions" ? 1 : Number(row[RENAMED[name] ?? name])),
    }];
  }
  const seen = new Set<string>();
  return (row.page_events as readonly PageEvent[]).map(({ page_url, article_id }) => {
    const group = [bucket, page_url, article_id ?? ""];
    const key = JSON.stringify(group);
    const first = !seen.has(key);
    seen.add(key);
    return { group, sums: [1, first ? 1 : 0] };
  });
}

/** Rows by their text, so that the order of a GROUP BY doesn't matter. */
function sorted(rows: readonly (readonly unknown[])[]): string[] {
  return rows.map((row) => JSON.stringify(row)).sort();
}

/** The groups of one analytics with their sums, from the rows. */
function expectedGroups(analytics: Analytics, rows: readonly SessionRow[]): string[] {
  const groups = new Map<string, { group: readonly unknown[]; sums: number[] }>();
  for (const { group, sums } of rows.flatMap((row) => additions(analytics, row))) {
    const key = JSON.stringify(group);
    const found = groups.get(key) ?? { group, sums: sums.map(() => 0) };
    groups.set(key, found);
    sums.forEach((value, i) => found.sums[i]! += value);
  }
  return sorted([...groups.values()].map(({ group, sums }) => [...group, ...sums]));
}

async function foundGroups(analytics: Analytics, access: ClickHouseAccess): Promise<string[]> {
  const groups = [analytics.time, ...analytics.dimensions].map(({ name }) => `t.${name}`);
  const sums = analytics.sums.map(({ name }) => `sum(t.${name})`);
  const columns = [...groups, ...sums].join(", ");
  // A group that revisions emptied sums to 0 until the engine drops it.
  const query = `SELECT ${columns} FROM ${analytics.name} AS t GROUP BY ${groups.join(", ")} ` +
    `HAVING ${sums[0]} != 0`;
  return sorted(await rowsOf(access, query));
}

/**
 * Every session of the Delta table is in `sessions` once, with every column, and nothing else is; each of the
 * six analytics has the groups and sums that follow from the Delta rows.
 *
 * @returns the number of sessions, which is at least one
 */
export async function assertEqualsDelta(config: Config, access: ClickHouseAccess): Promise<number> {
  const rows = await deltaRows(config);
  assert(rows.length > 0, "the test has sessions");
  const columns = SESSION_COLUMNS.map(({ name }) => name).join(", ");
  const found = await rowsOf(
    access,
    `SELECT ${columns} FROM sessions ORDER BY source_partition, first_offset`,
  );
  assertEquals(found.length, rows.length);
  assertEquals(found, rows.map(cellsOf));
  for (const analytics of ANALYTICS) {
    assertEquals(await foundGroups(analytics, access), expectedGroups(analytics, rows), analytics.name);
  }
  return rows.length;
}
