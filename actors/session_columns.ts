/**
 * Rows of the session table straight from the fast state: each column of `schema/session.ts` by a writer of its own, which
 * writes what the column's fold says (tests/actors/fast_sessions_test.ts holds the two together).
 */
import type { Column, ColumnBatch } from "../schema/column_batch.ts";
import {
  Int32Writer,
  Int64Writer,
  PageEventsWriter,
  TextListWriter,
  TextWriter,
} from "../schema/column_writer.ts";
import type { PartitionBarrier } from "../schema/epoch.ts";
import { invariant } from "../schema/errors.ts";
import type { EventTexts } from "../schema/event_texts.ts";
import { grown } from "../schema/growable.ts";
import { PAGE_EVENTS_LISTED_MAX } from "../schema/limits.ts";
import { CLOSE_REASONS, SESSION_COLUMNS } from "../schema/session.ts";
import { EVENT_TYPES, PAGE_FIELDS, PROFILE_FIELDS } from "../schema/user_event.ts";
import { type EventBlock } from "./event_blocks.ts";

const encoder = new TextEncoder();
const TYPE_NAMES = EVENT_TYPES.map((type) => encoder.encode(type));
const REASON_NAMES = CLOSE_REASONS.map((reason) => encoder.encode(reason));
const [ARTICLE_VIEW, NAVIGATION] = [EVENT_TYPES.indexOf("article_view"), EVENT_TYPES.indexOf("navigation")];
const [TITLE, URL_, ARTICLE, CATEGORY] = PAGE_FIELDS.map((_, i) => i) as [number, number, number, number];
const STAMP_MAX = 2 ** 32 - 1;
/** Events are put in order by insertion up to so many. */
const INSERTION_MAX = 64;

/** The columns that count events of a type, in the table's order. */
const COUNTS = [
  ["article_views", "article_view"],
  ["article_clicks", "article_click"],
  ["video_plays", "video_play"],
  ["newsletter_signups", "newsletter_signup"],
  ["ad_clicks", "ad_click"],
  ["searches", "search"],
] as const;

const INT32S = [
  "session_duration_sec",
  "total_events",
  ...COUNTS.map(([name]) => name),
  "pages_visited_count",
  "unique_pages_count",
  "unique_categories_count",
  "revision",
  "source_partition",
] as const;
const INT64S = ["user_id", "batch_id", "first_offset", "last_offset"] as const;
const TIMESTAMPS = ["session_start", "session_end", "created_at"] as const;
const TEXTS = ["session_id", ...PROFILE_FIELDS, "close_reason"] as const;
const TEXT_LISTS = ["categories_visited", "article_ids_visited", "article_titles_visited"] as const;

/** A finished occurrence. */
export interface FinishedSession {
  readonly events: EventBlock;
  readonly count: number;
  readonly sessionId: Uint8Array;
  readonly firstOffset: number;
  readonly start: number;
  readonly end: number;
  /** The index in CLOSE_REASONS. */
  readonly closeReason: number;
  readonly revision: number;
}

/** What is known of a committed row: its `batch_id` and its `total_events`. */
export interface ReplacedRow {
  readonly epoch: number;
  readonly events: number;
}

function writers<N extends string, W>(names: readonly N[], make: () => W): Record<N, W> {
  return Object.fromEntries(names.map((name) => [name, make()])) as Record<N, W>;
}

/** Collects rows, of finished sessions or of revisions, into a {@linkcode ColumnBatch}. */
export class SessionColumnsWriter {
  #rows = 0;
  readonly #int32s = writers(INT32S, () => new Int32Writer());
  readonly #int64s = writers(INT64S, () => new Int64Writer());
  readonly #timestamps = writers(TIMESTAMPS, () => new Int64Writer());
  readonly #texts = writers(TEXTS, () => new TextWriter());
  readonly #lists = writers(TEXT_LISTS, () => new TextListWriter());
  readonly #pageEvents = new PageEventsWriter();
  readonly #replacesEpoch = new Int64Writer();
  readonly #replacesEvents = new Int32Writer();

  constructor(private readonly known: EventTexts, private readonly scratch: RowScratch) {}

  /**
   * Appends a row.
   *
   * @param replaces of a revision: the row that it replaces; null for a session's first row
   */
  push(session: FinishedSession, barrier: PartitionBarrier, replaces: ReplacedRow | null): void {
    const { events, count, start, end } = session;
    const order = this.scratch.order(events, count);
    const [int32s, int64s, timestamps, texts] = [this.#int32s, this.#int64s, this.#timestamps, this.#texts];
    texts.session_id.pushBytes(session.sessionId);
    int64s.user_id.push(events.userIdOf(order[0]!));
    this.#pushProfile(session, order);
    timestamps.session_start.pushMillis(start);
    timestamps.session_end.pushMillis(end);
    int32s.session_duration_sec.push(Math.floor((end - start) / 1_000));
    int32s.total_events.push(count);
    this.#pushCounts(session);
    this.#pushPages(session, order);
    this.#pushArticles(session, order);
    timestamps.created_at.pushMillis(barrier.clock);
    int64s.batch_id.push(barrier.epoch);
    int32s.revision.push(session.revision);
    texts.close_reason.pushBytes(REASON_NAMES[session.closeReason]!);
    int32s.source_partition.push(barrier.partition);
    int64s.first_offset.push(session.firstOffset);
    int64s.last_offset.push(events.offsetOf(count - 1));
    if (replaces !== null) {
      this.#replacesEpoch.push(replaces.epoch);
      this.#replacesEvents.push(replaces.events);
    }
    this.#rows++;
  }

  /** The rows, in the order of SESSION_COLUMNS. */
  finishRows(): ColumnBatch {
    const columns = new Map<string, Column>();
    for (const name of INT32S) columns.set(name, this.#int32s[name].finish());
    for (const name of INT64S) columns.set(name, this.#int64s[name].finish("int64"));
    for (const name of TIMESTAMPS) columns.set(name, this.#timestamps[name].finish("timestamp"));
    for (const name of TEXTS) columns.set(name, this.#texts[name].finish());
    for (const name of TEXT_LISTS) columns.set(name, this.#lists[name].finish());
    columns.set("page_events", this.#pageEvents.finish());
    return {
      rows: this.#rows,
      columns: SESSION_COLUMNS.map(({ name }) => {
        const column = columns.get(name);
        invariant(column !== undefined, `the column '${name}' has a writer`);
        return column;
      }),
    };
  }

  /** The rows of revisions, in the order of REVISION_KINDS. */
  finishRevisions(): ColumnBatch {
    const { rows, columns } = this.finishRows();
    return {
      rows,
      columns: [...columns, this.#replacesEpoch.finish("int64"), this.#replacesEvents.finish()],
    };
  }

  /** Each text: the first event's that has one. */
  #pushProfile({ events, count }: FinishedSession, order: Uint32Array): void {
    const { texts, profiles } = this.known;
    const width = PROFILE_FIELDS.length;
    for (let field = 0; field < width; field++) {
      let id = profiles.values[events.profileOf(order[0]!) * width + field]!;
      for (let i = 1; id === 0 && events.wide && i < count; i++) {
        id = profiles.values[events.profileOf(order[i]!) * width + field]!;
      }
      this.#texts[PROFILE_FIELDS[field]!].pushText(texts, id);
    }
  }

  #pushCounts({ events, count }: FinishedSession): void {
    const counts = this.scratch.typeCounts.fill(0);
    for (let i = 0; i < count; i++) counts[events.what(i) & 15]!++;
    for (const [name, type] of COUNTS) this.#int32s[name].push(counts[EVENT_TYPES.indexOf(type)]!);
  }

  /** Page events, their URLs, and the categories of all events. */
  #pushPages({ events, count }: FinishedSession, order: Uint32Array): void {
    const { texts, pages } = this.known;
    const { urls, categories } = this.scratch.stamps(texts.count);
    const stamp = this.scratch.stamp;
    let [pageEvents, uniqueUrls, uniqueCategories] = [0, 0, 0];
    for (let i = 0; i < count; i++) {
      const what = events.what(order[i]!);
      const page = (what >>> 4) * PAGE_FIELDS.length;
      const category = pages.values[page + CATEGORY]!;
      if (category !== 0 && categories[category] !== stamp) {
        categories[category] = stamp;
        uniqueCategories++;
        this.#lists.categories_visited.pushText(texts, category);
      }
      const url = pages.values[page + URL_]!;
      const type = what & 15;
      if (url === 0 || type !== ARTICLE_VIEW && type !== NAVIGATION) continue;
      if (urls[url] !== stamp) {
        urls[url] = stamp;
        uniqueUrls++;
      }
      if (++pageEvents > PAGE_EVENTS_LISTED_MAX) continue;
      const articleId = pages.values[page + ARTICLE]!;
      this.#pageEvents.push(events.timeOf(order[i]!), TYPE_NAMES[type]!, texts, url, articleId);
    }
    this.#int32s.pages_visited_count.push(pageEvents);
    this.#int32s.unique_pages_count.push(uniqueUrls);
    this.#int32s.unique_categories_count.push(uniqueCategories);
    this.#lists.categories_visited.endRow();
    this.#pageEvents.endRow();
  }

  /** The articles viewed, by first view; each with its first title. */
  #pushArticles({ events, count }: FinishedSession, order: Uint32Array): void {
    const { texts, pages } = this.known;
    const { articles, places } = this.scratch.stamps(texts.count);
    const stamp = this.scratch.stamp;
    const titles = this.scratch.titles(count);
    let seen = 0;
    for (let i = 0; i < count; i++) {
      const what = events.what(order[i]!);
      if ((what & 15) !== ARTICLE_VIEW) continue;
      const page = (what >>> 4) * PAGE_FIELDS.length;
      const article = pages.values[page + ARTICLE]!;
      if (article === 0) continue;
      if (articles[article] !== stamp) {
        articles[article] = stamp;
        places[article] = seen;
        titles[seen++] = 0;
        this.#lists.article_ids_visited.pushText(texts, article);
      }
      const place = places[article]!;
      if (titles[place] === 0) titles[place] = pages.values[page + TITLE]!;
    }
    for (let i = 0; i < seen; i++) this.#lists.article_titles_visited.pushText(texts, titles[i]!);
    this.#lists.article_ids_visited.endRow();
    this.#lists.article_titles_visited.endRow();
  }
}

/** What the writing of a row needs and leaves behind; one a shard. */
export class RowScratch {
  stamp = 0;
  readonly typeCounts = new Uint32Array(16);
  #urls: Uint32Array = new Uint32Array(0);
  #categories: Uint32Array = new Uint32Array(0);
  #articles: Uint32Array = new Uint32Array(0);
  #places: Uint32Array = new Uint32Array(0);
  #titles: Uint32Array = new Uint32Array(0);
  #order: Uint32Array = new Uint32Array(0);
  #times: Float64Array = new Float64Array(0);

  /** The numbers of the events in the order (time, offset); begins a row. */
  order(events: EventBlock, count: number): Uint32Array {
    if (++this.stamp > STAMP_MAX) this.#restart();
    const order = this.#order = grown(this.#order, count);
    const times = this.#times = grown(this.#times, count);
    let sorted = true;
    for (let i = 0; i < count; i++) {
      order[i] = i;
      times[i] = events.timeOf(i);
      if (i > 0 && times[i - 1]! > times[i]!) sorted = false;
    }
    if (sorted) return order;
    if (count > INSERTION_MAX) {
      order.subarray(0, count).sort((a, b) => times[a]! - times[b]! || a - b);
      return order;
    }
    for (let i = 1; i < count; i++) {
      const event = order[i]!;
      let at = i;
      for (; at > 0 && times[order[at - 1]!]! > times[event]!; at--) order[at] = order[at - 1]!;
      order[at] = event;
    }
    return order;
  }

  /** By text: which row it was last seen in, as URL, category and article, and the article's place in its list. */
  stamps(texts: number) {
    if (texts >= this.#urls.length) {
      this.#urls = grown(this.#urls, texts + 1);
      this.#categories = grown(this.#categories, texts + 1);
      this.#articles = grown(this.#articles, texts + 1);
      this.#places = grown(this.#places, texts + 1);
    }
    return { urls: this.#urls, categories: this.#categories, articles: this.#articles, places: this.#places };
  }

  #restart(): void {
    for (const stamps of [this.#urls, this.#categories, this.#articles]) stamps.fill(0);
    this.stamp = 1;
  }

  /** Room for the titles of `count` articles. */
  titles(count: number): Uint32Array {
    return this.#titles = grown(this.#titles, count);
  }
}
