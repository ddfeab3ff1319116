/**
 * The simulator's own truth: each session's row, computed from the events as they were generated. It shares no code
 * with the pipeline's reducer, because it is there to find the reducer wrong.
 */
import { invariant, messageOf, UserError } from "../schema/errors.ts";
import type { SimulatedEvent, SimulatedRecord } from "./simulator.ts";
import type { RecordPosition } from "./source.ts";

/** A page event as a reader of the Delta table sees it. */
interface TruePageEvent {
  timestamp: string;
  event_type: string;
  page_url: string;
  article_id: string | null;
}

/** A session's row: the Delta table's columns but `batch_id` and `created_at`. Times are RFC 3339, UTC, ms. */
export interface TrueSession {
  session_id: string;
  user_id: number;
  brand: string | null;
  country: string | null;
  city: string | null;
  device_type: string | null;
  device_os: string | null;
  browser: string | null;
  subscription_tier: string | null;
  user_segment: string | null;
  session_date: string;
  session_start: string;
  session_end: string;
  session_duration_sec: number;
  total_events: number;
  article_views: number;
  article_clicks: number;
  video_plays: number;
  newsletter_signups: number;
  ad_clicks: number;
  searches: number;
  pages_visited_count: number;
  unique_pages_count: number;
  unique_categories_count: number;
  categories_visited: string[];
  article_ids_visited: string[];
  article_titles_visited: string[];
  page_events: TruePageEvent[];
  /** Unsaid where events are late: how many revisions that makes depends on when the pipeline ran. */
  revision?: 0;
  close_reason: "session_end" | "drain";
  source_partition: number;
  first_offset: number;
  last_offset: number;
}

/** A session that has records to come. */
interface OpenSession {
  readonly events: { readonly event: SimulatedEvent; readonly offset: number }[];
  readonly partition: number;
  ended: boolean;
}

/** Follows the acknowledged records and gives each session's row when it is complete. */
export class Truth {
  readonly #open = new Map<string, OpenSession>();
  #events = 0;
  #records = 0;

  /** @param late whether events come after their session's end; then the truth says no revision */
  constructor(private readonly late = false) {}

  /** Events, each counted once however often it was sent. */
  get events(): number {
    return this.#events;
  }

  /** Records acknowledged. */
  get records(): number {
    return this.#records;
  }

  /** Takes a record that is in the log; returns the row of the session that it completes. */
  add(
    { event, duplicate, more }: SimulatedRecord,
    { partition, offset }: RecordPosition,
  ): TrueSession | null {
    this.#records++;
    const { session_id } = event;
    const session = this.#open.get(session_id) ?? { events: [], partition, ended: false };
    if (!duplicate) {
      this.#events++;
      invariant(session.partition === partition, `session ${session_id} lies in one partition`);
      session.events.push({ event, offset });
      this.#open.set(session_id, session);
      session.ended ||= event.event_type === "session_end";
    }
    if (!session.ended || more) return null;
    this.#open.delete(session_id);
    return this.#row(session);
  }

  /** The rows of the sessions that never ended, and of those whose late events were never sent. */
  *drain(): Generator<TrueSession> {
    for (const session of this.#open.values()) yield this.#row(session);
    this.#open.clear();
  }

  #row(session: OpenSession): TrueSession {
    const row = rowOf(session);
    return this.late ? row : { ...row, revision: 0 };
  }
}

function rowOf({ events, partition, ended }: OpenSession): TrueSession {
  // Times are all alike in form, so their text orders them.
  const ordered = [...events].sort((a, b) => a.event.timestamp < b.event.timestamp ? -1 : 1);
  const first = ordered[0]!.event;
  const last = ordered[ordered.length - 1]!.event;
  const tally = new Map<string, number>();
  const categories: string[] = [];
  const articleIds: string[] = [];
  const articleTitles: string[] = [];
  const pages: TruePageEvent[] = [];
  for (const { event } of ordered) {
    const { event_type, page_url, article_id, page_title, category, timestamp } = event;
    tally.set(event_type, (tally.get(event_type) ?? 0) + 1);
    if (category && !categories.includes(category)) categories.push(category);
    if (event_type === "article_view" && article_id && !articleIds.includes(article_id)) {
      articleIds.push(article_id);
      articleTitles.push(page_title ?? "");
    }
    if (page_url && (event_type === "article_view" || event_type === "navigation")) {
      pages.push({ timestamp, event_type, page_url, article_id });
    }
  }
  const offsets = events.map(({ offset }) => offset);
  return {
    session_id: first.session_id,
    user_id: first.user_id,
    brand: first.brand,
    country: first.country,
    city: first.city,
    device_type: first.device_type,
    device_os: first.device_os,
    browser: first.browser,
    subscription_tier: first.subscription_tier,
    user_segment: first.user_segment,
    session_date: first.timestamp.slice(0, 10),
    session_start: first.timestamp,
    session_end: last.timestamp,
    session_duration_sec: Math.floor((Date.parse(last.timestamp) - Date.parse(first.timestamp)) / 1000),
    total_events: ordered.length,
    article_views: tally.get("article_view") ?? 0,
    article_clicks: tally.get("article_click") ?? 0,
    video_plays: tally.get("video_play") ?? 0,
    newsletter_signups: tally.get("newsletter_signup") ?? 0,
    ad_clicks: tally.get("ad_click") ?? 0,
    searches: tally.get("search") ?? 0,
    pages_visited_count: pages.length,
    unique_pages_count: new Set(pages.map(({ page_url }) => page_url)).size,
    unique_categories_count: categories.length,
    categories_visited: categories,
    article_ids_visited: articleIds,
    article_titles_visited: articleTitles,
    page_events: pages,
    close_reason: ended ? "session_end" : "drain",
    source_partition: partition,
    first_offset: offsets[0]!,
    // Not the last one: events that came after the session's end are added before it.
    last_offset: Math.max(...offsets),
  };
}

const COUNT_WIDTH = 16;
const FLUSH_CHARACTERS = 1024 * 1024;

/**
 * Writes `{"seed":…,"events":…,"records":…,"sessions":[…]}`, session by session, so that a million events need no
 * huge string. The counts, known only at the end, are filled into space that was left for them; the file has its
 * name only when it is complete.
 */
export class TruthFile {
  readonly #draft: string;
  readonly #file: Deno.FsFile;
  readonly #countsAt: number;
  readonly #encoder = new TextEncoder();
  #text = "";
  #sessions = 0;
  #closed = false;

  /** @throws {UserError} where the file cannot be written */
  constructor(readonly path: string, seed: number) {
    this.#draft = `${path}.partial`;
    this.#file = this.#explained(() => Deno.createSync(this.#draft));
    const head = `{"seed":${seed},`;
    this.#countsAt = head.length;
    this.#text = head + countsText(0, 0) + `"sessions":[`;
  }

  add(session: TrueSession): void {
    this.#text += `${this.#sessions++ === 0 ? "" : ","}\n${JSON.stringify(session)}`;
    if (this.#text.length >= FLUSH_CHARACTERS) this.#flush();
  }

  /** Fills in the counts and gives the file its name. */
  finish(events: number, records: number): void {
    this.#text += "\n]}\n";
    this.#flush();
    this.#explained(() => {
      this.#file.seekSync(this.#countsAt, Deno.SeekMode.Start);
      this.#writeAll(countsText(events, records));
      this.#file.syncSync();
      this.#close();
      Deno.renameSync(this.#draft, this.path);
    });
  }

  /** Leaves no file. */
  abandon(): void {
    this.#close();
    this.#explained(() => Deno.removeSync(this.#draft));
  }

  #close(): void {
    if (!this.#closed) this.#file.close();
    this.#closed = true;
  }

  #flush(): void {
    this.#explained(() => this.#writeAll(this.#text));
    this.#text = "";
  }

  #writeAll(text: string): void {
    let bytes = this.#encoder.encode(text);
    while (bytes.length > 0) bytes = bytes.subarray(this.#file.writeSync(bytes));
  }

  #explained<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw new UserError(
        `Writing the truth file '${this.path}' failed: ${messageOf(error)}. Name a file that can be written.`,
        undefined,
        { cause: error },
      );
    }
  }
}

function countsText(events: number, records: number): string {
  return `"events":${String(events).padStart(COUNT_WIDTH)},"records":${
    String(records).padStart(COUNT_WIDTH)
  },`;
}
