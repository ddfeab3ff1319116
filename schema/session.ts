/**
 * ONE table of session columns. The reducer below, the Arrow schema, the Delta schema and ClickHouse's DDL derive
 * from it: a new column is one new entry, at the end, nullable, because the rows before it are null there. A column is never
 * taken out and never changes its type: the sinks refuse that at start.
 */
import type { Cell, ColumnKind, PageEvent, ValueOfKind } from "./column_batch.ts";
import { PAGE_EVENTS_LISTED_MAX } from "./limits.ts";
import type { EventType, SessionEvent, TextField } from "./user_event.ts";

/** Why a session is finished. */
export const CLOSE_REASONS = ["session_end", "timeout", "idle", "cap", "drain"] as const;
export type CloseReason = typeof CLOSE_REASONS[number];

/** What a session's row says besides what its events say. */
export interface SessionFacts {
  readonly closeReason: CloseReason;
  readonly sourcePartition: number;
  /** Offset of the event that opened the session: with id and partition, the row's identity. */
  readonly firstOffset: number;
  /** Highest offset of its accepted events. */
  readonly lastOffset: number;
  /** 0 until a late event amends the session. */
  readonly revision: number;
  /** The clock of the barrier that closed it, epoch milliseconds. */
  readonly createdAt: number;
  /** The number of the epoch that carries it. */
  readonly batchId: number;
}

/** How a column's value comes from the session's events, which are in the order (event time, offset). */
export type Fold<K extends ColumnKind> = (
  events: readonly SessionEvent[],
  facts: SessionFacts,
) => ValueOfKind[K];

/** One column of a session's row. */
export interface SessionColumn<K extends ColumnKind = ColumnKind> {
  readonly name: string;
  /** The physical kind, from which the Arrow and Delta types follow. */
  readonly kind: K;
  readonly clickhouse: string;
  readonly fold: Fold<K>;
  /** False where every row has a value. */
  readonly nullable: boolean;
  /** False where a file's min/max must not be kept, so that an erased reader leaves no trace in the log. */
  readonly stats: boolean;
  readonly doc: string;
}

type Options = Partial<Pick<SessionColumn, "nullable" | "stats">>;

function column<K extends ColumnKind>(
  name: string,
  kind: K,
  clickhouse: string,
  fold: Fold<K>,
  doc: string,
  options: Options = {},
): SessionColumn {
  return {
    name,
    kind,
    clickhouse,
    fold: fold as Fold<ColumnKind>,
    nullable: false,
    stats: true,
    doc,
    ...options,
  };
}

/** The first non-empty value of a text field; null where no event has one. */
function firstText(field: TextField): Fold<"utf8"> {
  return (events) => events.find((event) => event[field] !== null)?.[field] ?? null;
}

function first(name: TextField, doc: string): SessionColumn {
  return column(name, "utf8", "String", firstText(name), `${doc}: the first non-empty value.`, {
    nullable: true,
  });
}

function count(name: string, type: EventType): SessionColumn {
  const fold: Fold<"int32"> = (events) => events.filter((event) => event.eventType === type).length;
  return column(name, "int32", "UInt16", fold, `Events of type ${type}.`);
}

/** The values that are not null, each once, in the order of first appearance. */
function distinct(values: Iterable<string | null>): string[] {
  const seen = new Set(values);
  seen.delete(null);
  return [...seen] as string[];
}

/** Page events: `article_view` and `navigation` events that have a `page_url`. */
function pageEvents(events: readonly SessionEvent[]): (SessionEvent & { readonly page_url: string })[] {
  return events.filter((event): event is SessionEvent & { readonly page_url: string } =>
    event.page_url !== null && (event.eventType === "article_view" || event.eventType === "navigation")
  );
}

const categories: Fold<"list_utf8"> = (events) => distinct(events.map((event) => event.category));

/** The articles viewed, in order of first view; each has its first non-empty title, or "" where none is known. */
function articles(events: readonly SessionEvent[]): Map<string, string> {
  const titles = new Map<string, string>();
  for (const { eventType, article_id, page_title } of events) {
    if (eventType !== "article_view" || article_id === null) continue;
    titles.set(article_id, titles.get(article_id) || page_title || "");
  }
  return titles;
}

const firstEvent = (events: readonly SessionEvent[]) => events[0]!;
const lastEvent = (events: readonly SessionEvent[]) => events[events.length - 1]!;

/** The table: order here is the order of columns everywhere. */
export const SESSION_COLUMNS: readonly SessionColumn[] = [
  column("session_id", "utf8", "String", (e) => firstEvent(e).sessionId, "The session's id.", {
    stats: false,
  }),
  column("user_id", "int64", "UInt32", (e) => firstEvent(e).userId, "The first event's reader.", {
    stats: false,
  }),
  first("brand", "News site"),
  first("country", "Country"),
  first("city", "City"),
  first("device_type", "Device type"),
  first("device_os", "Operating system"),
  first("browser", "Browser"),
  first("subscription_tier", "Subscription tier"),
  first("user_segment", "Reader segment"),
  column("session_start", "timestamp", "DateTime('UTC')", (e) => firstEvent(e).time, "Least event time."),
  column("session_end", "timestamp", "DateTime('UTC')", (e) => lastEvent(e).time, "Greatest event time."),
  column(
    "session_duration_sec",
    "int32",
    "UInt32",
    (e) => Math.floor((lastEvent(e).time - firstEvent(e).time) / 1000),
    "Whole seconds from start to end.",
  ),
  column("total_events", "int32", "UInt16", (e) => e.length, "Accepted events, session_end included."),
  count("article_views", "article_view"),
  count("article_clicks", "article_click"),
  count("video_plays", "video_play"),
  count("newsletter_signups", "newsletter_signup"),
  count("ad_clicks", "ad_click"),
  count("searches", "search"),
  column("pages_visited_count", "int32", "UInt16", (e) => pageEvents(e).length, "Page events."),
  column(
    "unique_pages_count",
    "int32",
    "UInt16",
    (e) => new Set(pageEvents(e).map((event) => event.page_url)).size,
    "Distinct URLs of the page events.",
  ),
  column(
    "unique_categories_count",
    "int32",
    "UInt16",
    (e, facts) => categories(e, facts).length,
    "Distinct non-empty categories over all events.",
  ),
  column("categories_visited", "list_utf8", "String", categories, "Those categories, by first appearance."),
  column(
    "article_ids_visited",
    "list_utf8",
    "String",
    (e) => [...articles(e).keys()],
    "Distinct article ids of article_view events, by first view.",
  ),
  column(
    "article_titles_visited",
    "list_utf8",
    "String",
    (e) => [...articles(e).values()],
    'Those articles\' titles, in the same order; "" where unknown.',
  ),
  column(
    "page_events",
    "list_page_event",
    "String",
    (e) =>
      pageEvents(e).slice(0, PAGE_EVENTS_LISTED_MAX).map((
        { time, eventType, page_url, article_id },
      ): PageEvent => ({
        timestamp: time,
        event_type: eventType,
        page_url,
        article_id,
      })),
    `The first ${PAGE_EVENTS_LISTED_MAX} page events.`,
  ),
  column("created_at", "timestamp", "DateTime('UTC')", (_, f) => f.createdAt, "The closing barrier's clock."),
  column("batch_id", "int64", "UInt64", (_, f) => f.batchId, "The epoch that carries the row."),
  column("revision", "int32", "UInt32", (_, f) => f.revision, "0 until a late event amends the session."),
  column("close_reason", "utf8", "LowCardinality(String)", (_, f) => f.closeReason, "Why the session ended."),
  column("source_partition", "int32", "UInt32", (_, f) => f.sourcePartition, "Partition of its events."),
  column("first_offset", "int64", "UInt64", (_, f) => f.firstOffset, "Offset of the event that opened it."),
  column("last_offset", "int64", "UInt64", (_, f) => f.lastOffset, "Highest offset of its events."),
];

/** The kinds of {@linkcode SESSION_COLUMNS}, for builders. */
export const SESSION_KINDS: readonly ColumnKind[] = SESSION_COLUMNS.map(({ kind }) => kind);

/**
 * The kinds of a revision's row: {@linkcode SESSION_COLUMNS}, then of the row that it replaces the `batch_id` (int64), by
 * which the lake finds that row's file, and the `total_events` (int32), by which it knows whether it is that row.
 */
export const REVISION_KINDS: readonly ColumnKind[] = [...SESSION_KINDS, "int64", "int32"];

/** Where the named column stands in {@linkcode SESSION_COLUMNS}. */
export function sessionColumnIndex(name: string): number {
  const index = SESSION_COLUMNS.findIndex((column) => column.name === name);
  if (index < 0) throw new RangeError(`There is no session column '${name}'.`);
  return index;
}

/**
 * A session's row: one cell per column.
 *
 * @param events the accepted events, ordered by event time, then offset; at least one
 */
export function reduceSession(events: readonly SessionEvent[], facts: SessionFacts): Cell[] {
  return SESSION_COLUMNS.map(({ fold }) => fold(events, facts));
}
