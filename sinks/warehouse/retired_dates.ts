/** Sessions of dates that the lake retired: how they leave `session_metrics`, and what they take there. */
import type { ClickHouseClient } from "@clickhouse/client";
import { SinkError } from "../../schema/errors.ts";
import type { ClickHouseAccess } from "./clickhouse_access.ts";
import { clustered } from "./cluster.ts";
import { sqlText } from "./ddl.ts";

/** Dates of one statement. */
const DATES_PER_DELETE_MAX = 1_000;

/**
 * A try that was given up goes on in ClickHouse: another one beside it would rewrite the same parts again.
 *
 * @throws {SinkError} while a mutation of the table is being worked off; else the client's own errors
 */
export async function requireNoMutation({ client, location }: ClickHouseAccess): Promise<void> {
  const running = await firstRow(
    client,
    "SELECT count() FROM system.mutations " +
      "WHERE database = currentDatabase() AND table = 'session_metrics' AND NOT is_done",
  );
  if (Number(running[0]) > 0) {
    const message = `Cannot delete retired dates from session_metrics in ClickHouse at ${location} yet: ` +
      "an earlier mutation of the table must end first (system.mutations shows it).";
    throw new SinkError(message, true);
  }
}

/** Deletes the rows of dates, and waits until they are gone. The analytics are not touched: a view sees inserts alone. */
export async function deleteDates(
  { client, cluster }: ClickHouseAccess,
  dates: readonly string[],
): Promise<void> {
  for (let at = 0; at < dates.length; at += DATES_PER_DELETE_MAX) {
    const some = dates.slice(at, at + DATES_PER_DELETE_MAX);
    const statement = `ALTER TABLE session_metrics DELETE WHERE ${isOf(some)}`;
    await client.command({
      query: clustered(statement, cluster),
      clickhouse_settings: { mutations_sync: "2" },
    });
  }
}

/** What sessions take in ClickHouse. */
export interface SessionBytes {
  readonly rows: number;
  /** On disk, compressed. */
  readonly bytes: number;
  readonly uncompressedBytes: number;
}

/** What `session_metrics` takes now, in its active parts. */
export async function sessionBytes(client: ClickHouseClient): Promise<SessionBytes> {
  const [rows, bytes, uncompressed] = await firstRow(
    client,
    "SELECT sum(rows), sum(bytes_on_disk), sum(data_uncompressed_bytes) FROM system.parts " +
      "WHERE active AND database = currentDatabase() AND table = 'session_metrics'",
  );
  return { rows: Number(rows), bytes: Number(bytes), uncompressedBytes: Number(uncompressed) };
}

/** The rows of dates in `session_metrics`, each revision and withdrawal counted. */
export async function rowsOfDates(client: ClickHouseClient, dates: readonly string[]): Promise<number> {
  if (dates.length === 0) return 0;
  return Number((await firstRow(client, `SELECT count() FROM session_metrics WHERE ${isOf(dates)}`))[0]);
}

function isOf(dates: readonly string[]): string {
  return `toDate(session_start) IN (${dates.map((date) => `toDate(${sqlText(date)})`).join(", ")})`;
}

async function firstRow(client: ClickHouseClient, query: string): Promise<readonly (string | number)[]> {
  const result = await client.query({ query, format: "JSONCompactEachRow" });
  return (await result.json<(string | number)[]>() as (string | number)[][])[0]!;
}
