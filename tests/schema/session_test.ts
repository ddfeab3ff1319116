import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import type { Cell, PageEvent } from "../../schema/column_batch.ts";
import {
  reduceSession,
  SESSION_COLUMNS,
  SESSION_KINDS,
  sessionColumnIndex,
  type SessionFacts,
} from "../../schema/session.ts";
import type { AcceptedEvent, TextField } from "../../schema/user_event.ts";
import { anyEvent, eventOf, T0 } from "../support/records.ts";

const FACTS: SessionFacts = {
  closeReason: "timeout",
  sourcePartition: 3,
  firstOffset: 41,
  lastOffset: 99,
  revision: 0,
  createdAt: T0 + 1,
  batchId: 12,
};

type Row = Readonly<Record<string, Cell>>;

function rowOf(events: readonly AcceptedEvent[]): Row {
  const cells = reduceSession(events, FACTS);
  return Object.fromEntries(SESSION_COLUMNS.map(({ name }, i) => [name, cells[i]!]));
}

/** The columns that the warehouse had before, with their ClickHouse types. */
const PRESCRIBED: Readonly<Record<string, string>> = {
  session_id: "String",
  user_id: "UInt32",
  brand: "String",
  country: "String",
  city: "String",
  device_type: "String",
  device_os: "String",
  browser: "String",
  subscription_tier: "String",
  user_segment: "String",
  session_start: "DateTime('UTC')",
  session_end: "DateTime('UTC')",
  session_duration_sec: "UInt32",
  total_events: "UInt16",
  article_views: "UInt16",
  article_clicks: "UInt16",
  video_plays: "UInt16",
  newsletter_signups: "UInt16",
  ad_clicks: "UInt16",
  searches: "UInt16",
  pages_visited_count: "UInt16",
  unique_pages_count: "UInt16",
  unique_categories_count: "UInt16",
  categories_visited: "String",
  article_ids_visited: "String",
  article_titles_visited: "String",
  page_events: "String",
  created_at: "DateTime('UTC')",
  batch_id: "UInt64",
};
const ADDED = ["revision", "close_reason", "source_partition", "first_offset", "last_offset"];

Deno.test("the table has exactly the prescribed columns with their types, and the five that Sessionary adds", () => {
  assertEquals(SESSION_COLUMNS.map(({ name }) => name).sort(), [...Object.keys(PRESCRIBED), ...ADDED].sort());
  for (const [name, type] of Object.entries(PRESCRIBED)) {
    assertEquals(SESSION_COLUMNS[sessionColumnIndex(name)]!.clickhouse, type, name);
  }
  assert(SESSION_COLUMNS.every(({ doc }) => doc.endsWith(".")));
});

Deno.test("in Delta counters are integers, ids, batches and offsets longs, lists lists", () => {
  const kinds = Object.fromEntries(SESSION_COLUMNS.map(({ name, kind }) => [name, kind]));
  for (const name of ["user_id", "batch_id", "first_offset", "last_offset"]) {
    assertEquals(kinds[name], "int64", name);
  }
  for (const [name, type] of Object.entries(PRESCRIBED)) {
    if (type === "UInt16") assertEquals(kinds[name], "int32", name);
  }
  for (const name of ["session_start", "session_end", "created_at"]) {
    assertEquals(kinds[name], "timestamp", name);
  }
  for (const name of ["categories_visited", "article_ids_visited", "article_titles_visited"]) {
    assertEquals(kinds[name], "list_utf8", name);
  }
  assertEquals(kinds.page_events, "list_page_event");
  assertEquals(SESSION_KINDS, SESSION_COLUMNS.map(({ kind }) => kind));
});

Deno.test("what would keep an erased reader's trace has no statistics: session_id and user_id alone", () => {
  assertEquals(SESSION_COLUMNS.filter(({ stats }) => !stats).map(({ name }) => name), [
    "session_id",
    "user_id",
  ]);
});

Deno.test("a column that does not exist is refused by name", () => {
  assertThrows(() => sessionColumnIndex("colour"), RangeError, "'colour'");
});

/** A session's row computed the long way, event by event, from the definitions. */
function expectedRow(events: readonly AcceptedEvent[]): Row {
  const counts: Record<string, number> = {};
  const texts: Record<string, string | null> = {};
  const pages: PageEvent[] = [];
  const urls: string[] = [];
  const categories: string[] = [];
  const ids: string[] = [];
  const titles: string[] = [];
  let [start, end] = [Infinity, -Infinity];
  for (const event of events) {
    counts[event.eventType] = (counts[event.eventType] ?? 0) + 1;
    if (event.time < start) start = event.time;
    if (event.time > end) end = event.time;
    for (
      const field of [
        "brand",
        "country",
        "city",
        "device_type",
        "device_os",
        "browser",
        "subscription_tier",
        "user_segment",
      ] as TextField[]
    ) {
      if (!texts[field]) texts[field] = event[field];
    }
    if (event.category !== null && !categories.includes(event.category)) categories.push(event.category);
    const view = event.eventType === "article_view";
    if ((view || event.eventType === "navigation") && event.page_url !== null) {
      const { time, eventType, page_url, article_id } = event;
      pages.push({ timestamp: time, event_type: eventType, page_url, article_id });
      if (!urls.includes(page_url)) urls.push(page_url);
    }
    if (!view || event.article_id === null) continue;
    if (!ids.includes(event.article_id)) titles[ids.push(event.article_id) - 1] = "";
    const at = ids.indexOf(event.article_id);
    if (titles[at] === "" && event.page_title !== null) titles[at] = event.page_title;
  }
  const count = (type: string) => counts[type] ?? 0;
  return {
    session_id: events[0]!.sessionId,
    user_id: events[0]!.userId,
    ...texts as Record<string, string | null>,
    session_start: start,
    session_end: end,
    session_duration_sec: (end - start - (end - start) % 1000) / 1000,
    total_events: events.length,
    article_views: count("article_view"),
    article_clicks: count("article_click"),
    video_plays: count("video_play"),
    newsletter_signups: count("newsletter_signup"),
    ad_clicks: count("ad_click"),
    searches: count("search"),
    pages_visited_count: pages.length,
    unique_pages_count: urls.length,
    unique_categories_count: categories.length,
    categories_visited: categories,
    article_ids_visited: ids,
    article_titles_visited: titles,
    page_events: pages,
    created_at: FACTS.createdAt,
    batch_id: FACTS.batchId,
    revision: FACTS.revision,
    close_reason: FACTS.closeReason,
    source_partition: FACTS.sourcePartition,
    first_offset: FACTS.firstOffset,
    last_offset: FACTS.lastOffset,
  };
}

Deno.test("a session's row agrees with a second, plain computation of every definition", () => {
  fc.assert(fc.property(fc.array(anyEvent, { minLength: 1, maxLength: 40 }), (events) => {
    const ordered = [...events].sort((a, b) => a.time - b.time);
    assertEquals(rowOf(ordered), expectedRow(ordered));
  }));
});

Deno.test("a first-event value is the first that is not empty; it is null where no event has one", () => {
  const row = rowOf([eventOf(), eventOf({ brand: "Herald" }), eventOf({ brand: "Globe" })]);
  assertEquals([row.brand, row.city], ["Herald", null]);
});

Deno.test("the reader is the first event's, even where that is 0", () => {
  assertEquals(rowOf([eventOf({ userId: 0 }), eventOf({ userId: 9 })]).user_id, 0);
});

Deno.test("the duration is floored to whole seconds", () => {
  for (const [milliseconds, seconds] of [[0, 0], [999, 0], [1000, 1], [59_999, 59]] as const) {
    assertEquals(rowOf([eventOf(), eventOf({ time: T0 + milliseconds })]).session_duration_sec, seconds);
  }
});

Deno.test("session_end counts in total_events and in no counter of its own", () => {
  const row = rowOf([eventOf({ eventType: "session_end" })]);
  assertEquals(row.total_events, 1);
  const counters = [
    "article_views",
    "article_clicks",
    "video_plays",
    "newsletter_signups",
    "ad_clicks",
    "searches",
  ];
  assertEquals(counters.map((name) => row[name]), [0, 0, 0, 0, 0, 0]);
});

Deno.test("only article views and navigations with a URL are page events", () => {
  const page = { page_url: "/a" };
  const row = rowOf([
    eventOf({ eventType: "article_view", ...page }),
    eventOf({ eventType: "navigation", ...page }),
    eventOf({ eventType: "navigation" }),
    eventOf({ eventType: "article_click", ...page }),
    eventOf({ eventType: "session_end", ...page }),
  ]);
  assertEquals([row.pages_visited_count, row.unique_pages_count], [2, 1]);
  assertEquals((row.page_events as readonly PageEvent[]).map(({ event_type }) => event_type), [
    "article_view",
    "navigation",
  ]);
});

Deno.test("the first 1,000 page events are listed, and the counts stay exact beyond", () => {
  const events = Array.from(
    { length: 1500 },
    (_, i) => eventOf({ eventType: "navigation", page_url: `/${i}`, time: T0 + i }),
  );
  const row = rowOf(events);
  const listed = row.page_events as readonly PageEvent[];
  assertEquals([row.pages_visited_count, row.unique_pages_count, listed.length], [1500, 1500, 1000]);
  assertEquals([listed[0]!.page_url, listed[999]!.page_url], ["/0", "/999"]);
});

Deno.test('articles keep their order, and a title is the first one known, "" where none is', () => {
  const view = (article_id: string | null, page_title: string | null) =>
    eventOf({ eventType: "article_view", article_id, page_title });
  const row = rowOf([
    eventOf({ eventType: "article_click", article_id: "clicked", page_title: "not viewed" }),
    view("b", null),
    view("a", "A"),
    view("b", "B"),
    view("b", "another"),
    view("c", null),
    view(null, "no id"),
  ]);
  assertEquals(row.article_ids_visited, ["b", "a", "c"]);
  assertEquals(row.article_titles_visited, ["B", "A", ""]);
});

Deno.test("categories come from events of every type, each once, by first appearance", () => {
  const row = rowOf([
    eventOf({ category: "b" }),
    eventOf({ eventType: "session_end", category: "a" }),
    eventOf({ category: "b" }),
  ]);
  assertEquals([row.categories_visited, row.unique_categories_count], [["b", "a"], 2]);
});

Deno.test("a column of numbers or times that may be null may be so in ClickHouse too, and every other has a value there", () => {
  for (const { name, kind, nullable, clickhouse } of SESSION_COLUMNS) {
    const isNumber = kind !== "utf8" && kind !== "binary" && !kind.startsWith("list_");
    assertEquals(clickhouse.startsWith("Nullable("), nullable && isNumber, name);
  }
});
