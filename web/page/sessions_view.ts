/** Sessions: those that finished last, those that are open and why, and any of them by its id or its reader. */
/// <reference lib="dom" />
import { html, nothing, type TemplateResult } from "lit-html";
import type { OpenSessions, Sessions } from "../api_schema.ts";
import { count, duration, plural, visible } from "./format.ts";
import { Loaded } from "./loaded.ts";
import {
  card,
  type Column,
  foreign,
  problem,
  type Route,
  table,
  time,
  type View,
  type ViewContext,
} from "./parts.ts";
import { openColumns, renderFinished, renderOpen } from "./session_detail.ts";

const REFRESH_MS = 2_000;
const PAGE_ROWS = 25;
const FOUND_ROWS = 20;

/** What the reader looks for; null: nothing special. */
type Search = { readonly by: "session_id" | "user_id"; readonly value: string } | null;

/** A cell of a finished session by its column's name. */
type Row = Readonly<Record<string, unknown>>;

function rowsOf({ columns, rows }: Sessions): Row[] {
  return rows.map((row) => Object.fromEntries(columns.map((name, index) => [name, row[index]])));
}

/** The address of a session's own page. */
export function sessionAddress(sessionId: string): string {
  return `#/sessions/id/${encodeURIComponent(sessionId)}`;
}

const text = (value: unknown) => value === null || value === "" ? "–" : foreign(String(value));
const number = (value: unknown) => count(Number(value));

const FINISHED_COLUMNS: readonly Column<Row>[] = [
  {
    title: "Session",
    cell: ({ session_id }) =>
      html`<a href=${sessionAddress(String(session_id))}>${foreign(String(session_id))}</a>`,
  },
  {
    title: "Reader",
    cell: ({ user_id }) => html`<a href="#/sessions/user/${Number(user_id)}">${Number(user_id)}</a>`,
    number: true,
  },
  { title: "Closed by", cell: ({ close_reason }) => text(close_reason) },
  { title: "Brand", cell: ({ brand }) => text(brand) },
  { title: "Country", minor: true, cell: ({ country }) => text(country) },
  { title: "Device", minor: true, cell: ({ device_type }) => text(device_type) },
  { title: "Start", cell: ({ session_start }) => time(Date.parse(String(session_start))) },
  {
    title: "Duration",
    cell: ({ session_duration_sec }) => duration(Number(session_duration_sec) * 1000),
    number: true,
  },
  { title: "Events", cell: ({ total_events }) => number(total_events), number: true },
  {
    title: "Pages",
    minor: true,
    cell: ({ pages_visited_count }) => number(pages_visited_count),
    number: true,
  },
  { title: "Epoch", minor: true, cell: ({ batch_id }) => number(batch_id), number: true },
];

/** The view at `#/sessions`, `#/sessions/id/…` and `#/sessions/user/…`. */
export class SessionsView implements View {
  readonly #context: ViewContext;
  readonly #open: Loaded<OpenSessions>;
  readonly #finished: Loaded<Sessions>;
  #search: Search = null;
  /** `before` of the pages that the reader has turned, the first one null. */
  #pages: (string | null)[] = [null];

  constructor(context: ViewContext) {
    this.#context = context;
    this.#open = new Loaded(context.redraw);
    this.#finished = new Loaded(context.redraw);
  }

  open({ parts: [kind, value], params }: Route): void {
    this.#search = value === undefined || value === ""
      ? null
      : { by: kind === "user" ? "user_id" : "session_id", value };
    this.#pages = [params.get("before")];
    this.#open.reset();
    this.#finished.reset();
    this.tick();
  }

  tick(): void {
    const { connection } = this.#context;
    const search = this.#search === null ? {} : { [this.#search.by]: this.#search.value };
    const before = this.#pages.at(-1)!;
    this.#open.refresh(
      REFRESH_MS,
      () => connection.get<OpenSessions>("/api/open-sessions", { ...search, limit: 20 }),
    );
    // A page that the reader has turned to stays as it is.
    if (before !== null && this.#finished.value !== null) return;
    const limit = this.#search === null ? PAGE_ROWS : FOUND_ROWS;
    this.#finished.follow(
      this.#context.stamp(),
      () => connection.get<Sessions>("/api/sessions", { ...search, limit, before }),
    );
  }

  render(): TemplateResult {
    return html`${this.#renderSearch()}${
      this.#search?.by === "session_id" ? this.#renderOne(this.#search.value) : this.#renderLists()
    }`;
  }

  #renderSearch(): TemplateResult {
    const submit = (event: SubmitEvent) => {
      event.preventDefault();
      const form = new FormData(event.target as HTMLFormElement);
      const value = String(form.get("value")).trim();
      const kind = form.get("by") === "user_id" ? "user" : "id";
      location.hash = value === "" ? "#/sessions" : `#/sessions/${kind}/${encodeURIComponent(value)}`;
    };
    const by = this.#search?.by ?? "session_id";
    return html`<form class="search" role="search" @submit=${submit}>
      <label>Find by
        <select name="by">
          <option value="session_id" ?selected=${by === "session_id"}>session_id</option>
          <option value="user_id" ?selected=${by === "user_id"}>user_id</option>
        </select>
      </label>
      <label class="grow">Value <input name="value" type="search" autocomplete="off" maxlength="128" .value=${
      this.#search?.value ?? ""
    } /></label>
      <button>Find</button>
      ${this.#search === null ? nothing : html`<a href="#/sessions">All sessions</a>`}
    </form>`;
  }

  #renderLists(): TemplateResult {
    const who = this.#search === null ? "" : ` of reader ${visible(this.#search.value)}`;
    const open = this.#open.value;
    const finished = this.#finished.value;
    const note = this.#search === null
      ? "Those with the newest events. Follow one to see why it is still open."
      : "Follow one to see why it is still open.";
    return html`
      ${card(
        `Open sessions${who}`,
        html`${problem(this.#open.problem)}${
          open === null
            ? waiting()
            : html`${this.#renderSilent(open)}${
              table("Open sessions", openColumns, open.sessions, "None is open.")
            }`
        }`,
        note,
      )}
      ${card(
        `Finished sessions${who}`,
        html`${problem(this.#finished.problem)}${
          finished === null
            ? waiting()
            : html`${table("Finished sessions", FINISHED_COLUMNS, rowsOf(finished), "None has finished yet.")}
        ${this.#renderPager(finished)}`
        }`,
        "As ClickHouse has them, the newest epoch first.",
      )}
    `;
  }

  #renderSilent({ silentShards }: OpenSessions): TemplateResult | typeof nothing {
    if (silentShards.length === 0) return nothing;
    return html`<p class="problem">Session actor ${
      silentShards.join(", ")
    } did not answer in time: open sessions may be missing.</p>`;
  }

  #renderPager({ next }: Sessions): TemplateResult {
    const turn = (change: () => void) => () => {
      change();
      this.#finished.reset();
      this.tick();
      this.#context.redraw();
    };
    return html`
      <p class="pager">
        <button ?disabled=${this.#pages.length === 1} @click=${turn(() => this.#pages.pop())}>Newer</button>
        <span>${this.#pages.length === 1
          ? "The newest; moves on by itself"
          : `Page ${this.#pages.length}; stands still`}</span>
        <button ?disabled=${next === null} @click=${turn(() => this.#pages.push(next))}>Older</button>
      </p>
    `;
  }

  #renderOne(sessionId: string): TemplateResult {
    const [open, finished] = [this.#open.value, this.#finished.value];
    const rows = finished === null ? [] : rowsOf(finished);
    const nowhere = open !== null && finished !== null && open.sessions.length + rows.length === 0;
    return html`
      <h2 class="subject">Session ${foreign(sessionId)}</h2>
      ${problem(this.#open.problem)}${problem(this.#finished.problem)}
      ${open === null || finished === null ? waiting() : nothing}
      ${open === null ? nothing : this.#renderSilent(open)}
      ${nowhere
        ? html`<p class="empty">There is no such session: none is open and none has finished under this id.
        Its events may be dead letters, or not read yet.</p>`
        : nothing}
      ${(open?.sessions ?? []).map(renderOpen)}
      ${rows.length > 1
        ? html`<p class="note">${
          plural(rows.length, "finished occurrence")
        } of this id, the newest epoch first.</p>`
        : nothing}
      ${rows.map(renderFinished)}
    `;
  }
}

function waiting(): TemplateResult {
  return html`<p class="empty">Asking …</p>`;
}
