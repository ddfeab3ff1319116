/**
 * The queries behind the page: analytics over a time range, and finished sessions one page at a time. All SQL is
 * written here; what comes from outside is bound as a parameter. Times are `YYYY-MM-DDTHH:MM:SSZ`, days `YYYY-MM-DD`.
 */
import type { ClickHouseClient } from "@clickhouse/client";
import type {
  AnalyticsResult,
  Rows,
  SessionFilter,
  SessionPosition,
  TimeRange,
} from "../../schema/exploration.ts";
import { SESSION_COLUMNS } from "../../schema/session.ts";
import { ANALYTICS, type Analytics } from "./analytics.ts";

/** Seconds that an answer may be old, of what other instances insert: ClickHouse keeps it for all who ask the same. */
export const CACHE_SECONDS = 5;
/** Buckets of one series at most: a month of hours. */
export const SERIES_BUCKETS_MAX = 31 * 24;
/** Seconds after which ClickHouse gives a query up. */
const EXECUTION_SECONDS_MAX = 20;

/** What DateTime can hold: with it, a bound that is not given changes nothing. */
const TIME_MIN_MS = 0;
const TIME_MAX_MS = Date.UTC(2106, 0, 1);

const READABLE = {
  date_time_output_format: "iso",
  output_format_json_quote_64bit_integers: 0,
  max_execution_time: EXECUTION_SECONDS_MAX,
} as const;

/** Views and their sums are deterministic, so the same text with the same parameters may be answered from the cache. */
const CACHED = {
  ...READABLE,
  use_query_cache: 1,
  query_cache_ttl: CACHE_SECONDS,
} as const;

/** The names that {@linkcode analyticsOver} knows, in their order. */
export const ANALYTICS_NAMES: readonly string[] = ANALYTICS.map(({ name }) => name);

function sumsOf({ sums, averages }: Analytics): { readonly columns: string[]; readonly sql: string[] } {
  return {
    columns: [...sums.map(({ name }) => name), ...averages.map(({ name }) => name)],
    sql: [
      ...sums.map(({ name }) => `sum(t.${name}) AS ${name}`),
      ...averages.map((one) => `round(sum(t.${one.sum}) / sum(t.${one.per}), 2) AS ${one.name}`),
    ],
  };
}

/** `bucket`: its start must lie in the bucket of `since` or later, and before `until`. */
function rangeCondition({ time }: Analytics): string {
  const bucket = time.type === "Date" ? "toDate" : "toStartOfHour";
  return `t.${time.name} >= ${bucket}({since:DateTime64(3, 'UTC')}) AND t.${time.name} < {until:DateTime64(3, 'UTC')}`;
}

function totalsSql(analytics: Analytics): string {
  const { name, dimensions, sums } = analytics;
  const groups = dimensions.map((column) => column.name);
  const weight = sums[0]!.name;
  return `SELECT ${[...groups.map((group) => `t.${group} AS ${group}`), ...sumsOf(analytics).sql].join(", ")}
FROM ${name} AS t
WHERE ${rangeCondition(analytics)}
GROUP BY ${groups.map((group) => `t.${group}`).join(", ")}
HAVING sum(t.${weight}) != 0
ORDER BY ${weight} DESC, ${groups.join(", ")}
LIMIT {limit:UInt32}`;
}

function seriesSql(analytics: Analytics): string {
  const { name, time, sums } = analytics;
  return `SELECT t.${time.name} AS ${time.name}, ${sumsOf(analytics).sql.join(", ")}
FROM ${name} AS t
WHERE ${rangeCondition(analytics)}
GROUP BY t.${time.name}
HAVING sum(t.${sums[0]!.name}) != 0
ORDER BY ${time.name} DESC
LIMIT {limit:UInt32}`;
}

/** A time as ClickHouse reads it: `YYYY-MM-DD HH:MM:SS.mmm`, UTC; cut to what DateTime holds. */
function timeParam(milliseconds: number): string {
  const cut = Math.min(Math.max(milliseconds, TIME_MIN_MS), TIME_MAX_MS);
  return new Date(cut).toISOString().replace("T", " ").replace("Z", "");
}

async function rowsOf(
  client: ClickHouseClient,
  query: string,
  query_params: Record<string, unknown>,
  clickhouse_settings: Record<string, string | number>,
): Promise<unknown[][]> {
  const result = await client.query({
    query,
    query_params,
    clickhouse_settings,
    format: "JSONCompactEachRow",
  });
  return await result.json<unknown[]>() as unknown[][];
}

/**
 * One of the analytics over a time range, answered from ClickHouse's query cache where it was asked a moment ago; null
 * where there is none of that name.
 *
 * @param limit rows of `totals` at most
 * @param stamp the cache's tag: another one is another question
 */
export async function analyticsOver(
  client: ClickHouseClient,
  name: string,
  { sinceMs, untilMs }: TimeRange,
  limit: number,
  stamp: string,
): Promise<AnalyticsResult | null> {
  const analytics = ANALYTICS.find((one) => one.name === name);
  if (analytics === undefined) return null;
  const range = { since: timeParam(sinceMs ?? TIME_MIN_MS), until: timeParam(untilMs ?? TIME_MAX_MS) };
  const cached = { ...CACHED, query_cache_tag: stamp };
  const [totals, series] = await Promise.all([
    rowsOf(client, totalsSql(analytics), { ...range, limit }, cached),
    rowsOf(client, seriesSql(analytics), { ...range, limit: SERIES_BUCKETS_MAX }, cached),
  ]);
  const dimensions = analytics.dimensions.map((column) => column.name);
  const { columns } = sumsOf(analytics);
  return {
    name,
    description: analytics.doc,
    bucket: analytics.time.type === "Date" ? "day" : "hour",
    dimensions,
    weight: analytics.sums[0]!.name,
    totals: { columns: [...dimensions, ...columns], rows: totals },
    truncated: totals.length === limit,
    series: { columns: [analytics.time.name, ...columns], rows: series.reverse() },
  };
}

/** Columns that may be long; a list of sessions leaves them out. */
const LISTS = new Set(["categories_visited", "article_ids_visited", "article_titles_visited", "page_events"]);
const ALL_COLUMNS = SESSION_COLUMNS.map(({ name }) => name);
const LIST_COLUMNS = ALL_COLUMNS.filter((name) => !LISTS.has(name));
const PLACE = "(batch_id, source_partition, first_offset)";
const BEFORE = `${PLACE} < ({batch:UInt64}, {partition:UInt32}, {offset:UInt64})`;
/** Above every place. */
const NEWEST: SessionPosition = {
  batchId: Number.MAX_SAFE_INTEGER,
  sourcePartition: 0,
  firstOffset: 0,
};

function conditionOf(
  filter: SessionFilter,
): { readonly sql: string; readonly params: Record<string, unknown> } {
  switch (filter.by) {
    case "all":
      return { sql: "1", params: {} };
    case "session_id":
      return { sql: "session_id = {session_id:String}", params: { session_id: filter.sessionId } };
    case "user_id":
      return { sql: "user_id = {user_id:UInt32}", params: { user_id: filter.userId } };
  }
}

/**
 * Finished sessions in the order of {@linkcode SessionPosition}, descending, at most `limit` that stand before
 * `before`. The columns are the session's, without the long lists unless one session was asked for.
 */
export async function finishedSessions(
  client: ClickHouseClient,
  filter: SessionFilter,
  limit: number,
  before: SessionPosition | null,
): Promise<Rows> {
  const columns = filter.by === "session_id" ? ALL_COLUMNS : LIST_COLUMNS;
  const { sql, params } = conditionOf(filter);
  const { batchId, sourcePartition, firstOffset } = before ?? NEWEST;
  // First the places, from a few narrow columns; only then the rows, by their key: FINAL over the whole table, as the
  // view has it, would cost in proportion to it. Twice as many, because a revised session has several places.
  const query = `SELECT ${columns.join(", ")}
FROM sessions
WHERE (session_id, source_partition, first_offset) IN (
  SELECT session_id, source_partition, first_offset FROM session_metrics
  WHERE sign = 1 AND ${sql} AND ${BEFORE}
  ORDER BY batch_id DESC, source_partition DESC, first_offset DESC
  LIMIT {places:UInt32}
) AND ${sql} AND ${BEFORE}
ORDER BY batch_id DESC, source_partition DESC, first_offset DESC
LIMIT {limit:UInt32}`;
  const place = { batch: batchId, partition: sourcePartition, offset: firstOffset };
  const rows = await rowsOf(client, query, { ...params, ...place, limit, places: 2 * limit }, READABLE);
  return { columns, rows };
}
