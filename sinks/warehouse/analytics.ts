/**
 * The six analytics, as data: the DDL of their tables and materialized views, and their named queries, derive from
 * this one table. Each is a table of sums under the name users query, fed by the view `<name>_mv` with `sign * x`, so
 * that a revision's −1 row takes back what its +1 row puts again.
 */
import { DEDUPLICATION_SETTINGS, sqlText } from "./ddl.ts";

/** A column that groups, or that is summed; `expression` reads a row `s` of `session_metrics`. */
export interface AnalyticsColumn {
  readonly name: string;
  readonly type: string;
  readonly expression: string;
  readonly doc: string;
}

/** A quotient of two sums, taken when it is read: averages can't be summed. */
export interface AnalyticsAverage {
  readonly name: string;
  readonly sum: string;
  readonly per: string;
}

/** One of the six. */
export interface Analytics {
  readonly name: string;
  readonly doc: string;
  /** The bucket of `session_start`. */
  readonly time: AnalyticsColumn;
  readonly dimensions: readonly AnalyticsColumn[];
  /** Summed as Int64: they go down again where a revision withdraws. A group whose first sum is 0 is empty. */
  readonly sums: readonly AnalyticsColumn[];
  readonly averages: readonly AnalyticsAverage[];
  /** An ARRAY JOIN that makes several rows of a session. */
  readonly arrayJoin?: string;
}

const HOUR: AnalyticsColumn = {
  name: "hour",
  type: "DateTime('UTC')",
  expression: "toStartOfHour(s.session_start)",
  doc: "The hour (UTC) in which the sessions started.",
};

const DAY: AnalyticsColumn = {
  name: "day",
  type: "Date",
  expression: "toDate(s.session_start)",
  doc: "The day (UTC) on which the sessions started.",
};

/** A text column of the session as a dimension: '' where the session has no value. */
function dimension(name: string, doc: string): AnalyticsColumn {
  return { name, type: "String", expression: `toString(s.${name})`, doc: `${doc}; '' where unknown.` };
}

function sum(name: string, expression: string, doc: string): AnalyticsColumn {
  return { name, type: "Int64", expression: `sum(s.sign * ${expression})`, doc };
}

const SESSION_SUMS: readonly AnalyticsColumn[] = [
  sum("sessions", "1", "Sessions."),
  sum("total_events", "s.total_events", "Their events."),
  sum("article_views", "s.article_views", "Article views."),
  sum("article_clicks", "s.article_clicks", "Article clicks."),
  sum("video_plays", "s.video_plays", "Video plays."),
  sum("newsletter_signups", "s.newsletter_signups", "Newsletter sign-ups."),
  sum("ad_clicks", "s.ad_clicks", "Ad clicks."),
  sum("searches", "s.searches", "Searches."),
  sum("total_duration_sec", "s.session_duration_sec", "Seconds from start to end, over all sessions."),
];

const SESSION_AVERAGES: readonly AnalyticsAverage[] = [
  { name: "avg_events", sum: "total_events", per: "sessions" },
  { name: "avg_duration_sec", sum: "total_duration_sec", per: "sessions" },
];

function sessionAnalytics(
  name: string,
  time: AnalyticsColumn,
  dimensions: readonly AnalyticsColumn[],
  doc: string,
): Analytics {
  return { name, doc, time, dimensions, sums: SESSION_SUMS, averages: SESSION_AVERAGES };
}

const PAGES = "JSONExtract(s.page_events, 'Array(Tuple(page_url String, article_id Nullable(String)))')";

const PAGE_ANALYTICS: Analytics = {
  name: "page_analytics",
  doc: "By day, page and article, from the page events that sessions list (the first 1,000 of a session)",
  time: DAY,
  dimensions: [
    { name: "page_url", type: "String", expression: "page.1", doc: "The page." },
    {
      name: "article_id",
      type: "String",
      expression: "ifNull(page.2, '')",
      doc: "Its article; '' for none.",
    },
  ],
  sums: [
    sum("page_views", "1", "Page events."),
    sum(
      "sessions",
      "(occurrence = 1)",
      "Sessions with at least one of them; one session counts on many pages.",
    ),
  ],
  averages: [{ name: "views_per_session", sum: "page_views", per: "sessions" }],
  arrayJoin: `${PAGES} AS page, arrayEnumerateUniq(${PAGES}) AS occurrence`,
};

/** The table. */
export const ANALYTICS: readonly Analytics[] = [
  sessionAnalytics("brand_analytics", HOUR, [dimension("brand", "News site")], "By hour and news site"),
  sessionAnalytics(
    "device_analytics",
    DAY,
    [
      dimension("device_type", "Device type"),
      dimension("device_os", "Operating system"),
      dimension("browser", "Browser"),
    ],
    "By day and device",
  ),
  sessionAnalytics(
    "geographic_analytics",
    DAY,
    [dimension("country", "Country"), dimension("city", "City")],
    "By day and place",
  ),
  sessionAnalytics(
    "subscription_analytics",
    DAY,
    [dimension("subscription_tier", "Subscription tier"), dimension("user_segment", "Reader segment")],
    "By day, subscription tier and reader segment",
  ),
  PAGE_ANALYTICS,
  sessionAnalytics(
    "session_summary",
    HOUR,
    [dimension("close_reason", "Why the sessions ended")],
    "All sessions, by hour and by why they ended",
  ),
];

/** The table of sums. A reader must sum and group: rows of one group are merged in the background. */
export function createAnalyticsTable({ name, doc, time, dimensions, sums }: Analytics): string {
  const columns = [time, ...dimensions, ...sums].map((column) =>
    `${column.name} ${column.type} COMMENT ${sqlText(column.doc)}`
  );
  return `CREATE TABLE IF NOT EXISTS ${name} (
  ${columns.join(",\n  ")}
) ENGINE = SummingMergeTree((${sums.map((column) => column.name).join(", ")}))
PARTITION BY toYYYYMM(${time.name})
ORDER BY (${[time, ...dimensions].map((column) => column.name).join(", ")})
SETTINGS ${DEDUPLICATION_SETTINGS}
COMMENT ${sqlText(`${doc}. Read with sum() and GROUP BY: rows of one group are merged later.`)}`;
}

/** The view that feeds it from each block inserted into `session_metrics`. */
export function createAnalyticsView({ name, time, dimensions, sums, arrayJoin }: Analytics): string {
  const groups = [time, ...dimensions];
  const columns = [...groups, ...sums].map((column) => `${column.expression} AS ${column.name}`);
  return `CREATE MATERIALIZED VIEW IF NOT EXISTS ${name}_mv TO ${name} AS
SELECT ${columns.join(", ")}
FROM session_metrics AS s${arrayJoin === undefined ? "" : `\nARRAY JOIN ${arrayJoin}`}
GROUP BY ${groups.map((column) => column.expression).join(", ")}`;
}
