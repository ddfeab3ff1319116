/** The queries of `sessionary query NAME`. No SQL comes from outside: a name chooses one of these. */
import type { ClickHouseClient } from "@clickhouse/client";
import { EXIT, UserError } from "../../schema/errors.ts";
import { SESSION_COLUMNS } from "../../schema/session.ts";
import { ANALYTICS, type Analytics } from "./analytics.ts";

/** What a caller may choose of a named query. */
export interface QueryParams {
  /** Rows at most; the newest come first. */
  readonly limit?: number;
  /** Sessions that started at this time or later, epoch milliseconds; analytics take the whole bucket. */
  readonly sinceMs?: number;
  /** Sessions that started before this time, epoch milliseconds; analytics take the whole bucket. */
  readonly untilMs?: number;
}

/** A query by name. */
export interface NamedQuery {
  readonly name: string;
  readonly description: string;
  readonly columns: readonly string[];
  /** With the placeholders `limit`, `since` and `until`. */
  readonly sql: string;
}

/** A result, row by row, each with a cell per column. Times are `YYYY-MM-DDTHH:MM:SSZ`, days `YYYY-MM-DD`. */
export interface QueryResult {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly unknown[])[];
}

export const QUERY_LIMIT_DEFAULT = 100;
export const QUERY_LIMIT_MAX = 1_000_000;

const SINCE = "{since:DateTime64(3, 'UTC')}";
const UNTIL = "{until:DateTime64(3, 'UTC')}";
const LIMIT = "LIMIT {limit:UInt32}";

/** What DateTime can hold: with it, a bound that is not given changes nothing. */
const TIME_MIN_MS = 0;
const TIME_MAX_MS = Date.UTC(2106, 0, 1);

function analyticsQuery(analytics: Analytics): NamedQuery {
  const { name, doc, time, dimensions, sums, averages } = analytics;
  const groups = [time.name, ...dimensions.map((column) => column.name)];
  const weight = sums[0]!.name;
  const bucket = time.type === "Date" ? "toDate" : "toStartOfHour";
  const selected = [
    ...groups.map((column) => `t.${column} AS ${column}`),
    ...sums.map((column) => `sum(t.${column.name}) AS ${column.name}`),
    ...averages.map((one) => `round(sum(t.${one.sum}) / sum(t.${one.per}), 2) AS ${one.name}`),
  ];
  return {
    name,
    description: `${doc}; newest first`,
    columns: [...groups, ...sums.map((one) => one.name), ...averages.map((one) => one.name)],
    // A group that revisions emptied sums to 0, and is none until the engine drops its rows.
    sql: `SELECT ${selected.join(", ")}
FROM ${name} AS t
WHERE t.${time.name} >= ${bucket}(${SINCE}) AND t.${time.name} < ${UNTIL}
GROUP BY ${groups.map((column) => `t.${column}`).join(", ")}
HAVING sum(t.${weight}) != 0
ORDER BY ${time.name} DESC, ${weight} DESC, ${groups.slice(1).join(", ")}
${LIMIT}`,
  };
}

const SESSIONS_QUERY: NamedQuery = {
  name: "sessions",
  description: "Finished sessions, one row each; newest first",
  columns: SESSION_COLUMNS.map(({ name }) => name),
  sql: `SELECT ${SESSION_COLUMNS.map(({ name }) => name).join(", ")}
FROM sessions
WHERE session_start >= ${SINCE} AND session_start < ${UNTIL}
ORDER BY session_start DESC, session_id, source_partition, first_offset
${LIMIT}`,
};

/** The queries, by name. */
export const NAMED_QUERIES: ReadonlyMap<string, NamedQuery> = new Map(
  [...ANALYTICS.map(analyticsQuery), SESSIONS_QUERY].map((query) => [query.name, query]),
);

/**
 * Runs a query by its name.
 *
 * @throws {UserError} where there is none of that name, or a parameter is out of its range; else the client's errors
 */
export async function runNamedQuery(
  client: ClickHouseClient,
  name: string,
  { limit = QUERY_LIMIT_DEFAULT, sinceMs = TIME_MIN_MS, untilMs = TIME_MAX_MS }: QueryParams = {},
): Promise<QueryResult> {
  const query = NAMED_QUERIES.get(name);
  if (query === undefined) {
    const names = [...NAMED_QUERIES.keys()].join(", ");
    throw new UserError(`There is no query '${name}': choose one of ${names}.`, EXIT.usage);
  }
  if (!Number.isInteger(limit) || limit < 1 || limit > QUERY_LIMIT_MAX) {
    throw new UserError(`A query's limit is an integer from 1 to ${QUERY_LIMIT_MAX}: found ${limit}.`);
  }
  const result = await client.query({
    query: query.sql,
    query_params: { limit, since: timeParam("since", sinceMs), until: timeParam("until", untilMs) },
    clickhouse_settings: { date_time_output_format: "iso", output_format_json_quote_64bit_integers: 0 },
    format: "JSONCompactEachRow",
  });
  return { columns: query.columns, rows: await result.json<unknown[]>() as unknown[][] };
}

/** A time as ClickHouse reads it: `YYYY-MM-DD HH:MM:SS.mmm`, UTC. */
function timeParam(name: string, milliseconds: number): string {
  if (!(milliseconds >= TIME_MIN_MS && milliseconds <= TIME_MAX_MS)) {
    throw new UserError(
      `A query's ${name} lies between 1970 and 2106, in epoch milliseconds: found ${milliseconds}.`,
    );
  }
  return new Date(milliseconds).toISOString().replace("T", " ").replace("Z", "");
}
