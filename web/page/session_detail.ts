/** One session: why it is still open, or its way through the pages. */
import { html, nothing, svg, type TemplateResult } from "lit-html";
import type { OpenSessions } from "../api_schema.ts";
import { count, duration, plural } from "./format.ts";
import { card, type Column, type Content, foreign, table, time } from "./parts.ts";

type OpenSession = OpenSessions["sessions"][number];

/** As the page events of a row are written. */
interface PageEvent {
  readonly timestamp: string;
  readonly event_type: string;
  readonly page_url: string;
  readonly article_id: string | null;
}

const REASONS: Readonly<Record<string, string>> = {
  session_end: "A session_end event closed it.",
  timeout: "The gap after its last event was longer than SESSION_TIMEOUT, by its partition's event times.",
  idle:
    "The gap after its last event was longer than SESSION_TIMEOUT; its partition was idle, so the clock said so.",
  cap: "It reached MAX_SESSION_DURATION or MAX_SESSION_EVENTS; what came after is a session of its own.",
  drain: "It was closed on request, when a bounded run ended.",
};

/** The earliest of the ways in which a session may close. */
function earliest({ explanation }: OpenSession): number | null {
  const times = explanation.ways.flatMap(({ earliestMs }) => earliestMs === null ? [] : [earliestMs]);
  return times.length === 0 ? null : Math.min(...times);
}

/** The columns of a list of open sessions. */
export const openColumns: readonly Column<OpenSession>[] = [
  {
    title: "Session",
    cell: ({ sessionId }) =>
      html`<a href="#/sessions/id/${encodeURIComponent(sessionId)}">${foreign(sessionId)}</a>`,
  },
  {
    title: "Reader",
    cell: ({ userId }) => html`<a href="#/sessions/user/${userId}">${userId}</a>`,
    number: true,
  },
  { title: "Brand", cell: ({ brand }) => brand === null ? "–" : foreign(brand) },
  { title: "Last event", cell: ({ lastEvent }) => lastEvent.type },
  { title: "At", cell: ({ end }) => time(end) },
  { title: "Events", cell: ({ events }) => count(events), number: true },
  { title: "Partition", minor: true, cell: ({ partition }) => count(partition), number: true },
  { title: "A gap closes it from", cell: (session) => time(earliest(session)) },
];

function facts(entries: readonly (readonly [string, Content])[]): TemplateResult {
  return html`<dl class="facts">${
    entries.map(([name, value]) =>
      html`
        <div>
          <dt>${name}</dt>
          <dd>${value}</dd>
        </div>
      `
    )
  }</dl>`;
}

/** Why a session is still open. */
export function renderOpen(session: OpenSession): TemplateResult {
  const { explanation, lastEvent } = session;
  const columns: readonly Column<OpenSession["explanation"]["ways"][number]>[] = [
    { title: "Closed by", cell: ({ reason }) => reason },
    { title: "When", cell: ({ when }) => html`<span class="wrap">${when}</span>` },
    {
      title: "At the earliest",
      cell: ({ earliestMs }) => earliestMs === null ? "with that event" : time(earliestMs),
    },
  ];
  return card(
    "Why is it still open?",
    html`
      <p class="answer">${explanation.why}</p>
      ${facts([
        ["last event", html`${lastEvent.type}, offset ${count(lastEvent.offset)}`],
        ["at", time(session.end)],
        ["page", lastEvent.pageUrl === null ? "–" : foreign(lastEvent.pageUrl)],
        ["partition", count(session.partition)],
        ["its watermark", time(session.watermark)],
        ["must pass", time(explanation.deadlineMs)],
        ["to go", explanation.remainingMs === null ? "–" : duration(explanation.remainingMs)],
        ["events", count(session.events)],
        ["started", time(session.start)],
        ["reader", html`<a href="#/sessions/user/${session.userId}">${session.userId}</a>`],
        ["session actor", count(session.shard)],
      ])}
      <h3>What would close it</h3>
      ${table("What would close it", columns, explanation.ways)}
    `,
    "Open: its row is not written yet.",
  );
}

/** A finished session's facts and its way through the pages. */
export function renderFinished(row: Readonly<Record<string, unknown>>): TemplateResult {
  const reason = String(row.close_reason);
  const start = Date.parse(String(row.session_start));
  const seconds = Number(row.session_duration_sec);
  const shown = (name: string) => row[name] === null || row[name] === "" ? "–" : foreign(String(row[name]));
  const number = (name: string) => count(Number(row[name]));
  return card(
    `Finished by ${reason}`,
    html`
      <p class="answer">${REASONS[reason] ?? nothing}</p>
      ${facts([
        ["start", time(start)],
        ["end", time(Date.parse(String(row.session_end)))],
        ["duration", duration(seconds * 1000)],
        ["events", number("total_events")],
        ["reader", html`<a href="#/sessions/user/${Number(row.user_id)}">${Number(row.user_id)}</a>`],
        ["brand", shown("brand")],
        ["place", html`${shown("city")}, ${shown("country")}`],
        ["device", html`${shown("device_type")}, ${shown("device_os")}, ${shown("browser")}`],
        ["tier", shown("subscription_tier")],
        ["segment", shown("user_segment")],
        ["categories", list(row.categories_visited)],
        ["article views", number("article_views")],
        ["article clicks", number("article_clicks")],
        ["video plays", number("video_plays")],
        ["searches", number("searches")],
        ["ad clicks", number("ad_clicks")],
        ["newsletter sign-ups", number("newsletter_signups")],
        ["epoch", number("batch_id")],
        ["revision", number("revision")],
        ["partition", number("source_partition")],
        ["offsets", html`${number("first_offset")} to ${number("last_offset")}`],
      ])}
      <h3>Pages</h3>
      ${renderPages(row, start, seconds * 1000)}
    `,
    html`Its row was written at ${time(Date.parse(String(row.created_at)))}.`,
  );
}

/** A column that ClickHouse holds as a JSON text. */
function jsonOf<T>(value: unknown): T[] {
  if (typeof value !== "string" || value === "") return [];
  const parsed: unknown = JSON.parse(value);
  return Array.isArray(parsed) ? parsed : [];
}

function list(value: unknown): Content {
  const texts = jsonOf<string>(value);
  return texts.length === 0
    ? "–"
    : html`${texts.map((text, index) => html`${index > 0 ? ", " : nothing}${foreign(text)}`)}`;
}

function renderPages(
  row: Readonly<Record<string, unknown>>,
  start: number,
  durationMs: number,
): TemplateResult {
  const events = jsonOf<PageEvent>(row.page_events);
  if (events.length === 0) return html`<p class="empty">It has no page events.</p>`;
  const ids = jsonOf<string>(row.article_ids_visited);
  const titles = jsonOf<string>(row.article_titles_visited);
  const titleOf = ({ article_id }: PageEvent) =>
    article_id === null ? "" : titles[ids.indexOf(article_id)] ?? "";
  const offset = ({ timestamp }: PageEvent) => Math.max(0, Date.parse(timestamp) - start);
  const columns: readonly Column<PageEvent>[] = [
    { title: "After", cell: (event) => duration(offset(event)), number: true },
    { title: "Event", cell: ({ event_type }) => event_type },
    { title: "Page", cell: ({ page_url }) => foreign(page_url) },
    { title: "Title", cell: (event) => titleOf(event) === "" ? "–" : foreign(titleOf(event)) },
    { title: "Article", cell: ({ article_id }) => article_id === null ? "–" : foreign(article_id) },
  ];
  const width = Math.max(1, durationMs);
  return html`
    <svg class="pages" viewBox="0 0 1000 20" preserveAspectRatio="none" role="img"
      aria-label="${plural(events.length, "page event")} over ${duration(durationMs)}">
      <rect class="track" y="9" width="1000" height="2"></rect>
      ${events.map((event) =>
        svg`
          <rect class=${event.event_type === "article_view" ? "s1" : "s3"}
            x=${Math.min(996, 1000 * offset(event) / width)} y="2" width="4" height="16"></rect>
        `
      )}
    </svg>
    <ul class="legend">
      <li><span class="swatch s1"></span>article view</li>
      <li><span class="swatch s3"></span>navigation</li>
    </ul>
    ${table("Pages", columns, events)}
  `;
}
