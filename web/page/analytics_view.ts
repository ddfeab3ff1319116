/** Analytics: the six, over a chosen time, as charts and tables. */
/// <reference lib="dom" />
import { html, nothing, type TemplateResult } from "lit-html";
import type { Analytics } from "../api_schema.ts";
import { now } from "./browser.ts";
import { count, decimal, duration, instant, percent, plural } from "./format.ts";
import { Loaded } from "./loaded.ts";
import {
  bar,
  card,
  type Column,
  foreign,
  problem,
  type Route,
  table,
  type View,
  type ViewContext,
} from "./parts.ts";

const NAMES = [
  ["session_summary", "All sessions, by why they ended"],
  ["brand_analytics", "News sites"],
  ["device_analytics", "Devices"],
  ["geographic_analytics", "Places"],
  ["subscription_analytics", "Subscriptions"],
  ["page_analytics", "Pages"],
] as const;

const HOUR = 3_600_000;
const RANGES = [
  ["1h", "Last hour", HOUR],
  ["24h", "24 hours", 24 * HOUR],
  ["7d", "7 days", 7 * 24 * HOUR],
  ["30d", "30 days", 30 * 24 * HOUR],
  ["all", "All", null],
] as const;

const RANGE_DEFAULT = "24h";
const ROWS_SHORT = 10;
const ROWS_LONG = 200;

type Row = readonly unknown[];

/** The view at `#/analytics`. */
export class AnalyticsView implements View {
  readonly #context: ViewContext;
  readonly #loaded: ReadonlyMap<string, Loaded<Analytics>>;
  readonly #long = new Set<string>();
  #allColumns = false;
  #range: string = RANGE_DEFAULT;
  /** Of a range of the reader's own: RFC 3339, or null. */
  #since: string | null = null;
  #until: string | null = null;

  constructor(context: ViewContext) {
    this.#context = context;
    this.#loaded = new Map(NAMES.map(([name]) => [name, new Loaded<Analytics>(context.redraw)]));
  }

  open({ params }: Route): void {
    this.#since = params.get("since");
    this.#until = params.get("until");
    this.#range = this.#since !== null || this.#until !== null ? "own" : params.get("range") ?? RANGE_DEFAULT;
    for (const loaded of this.#loaded.values()) loaded.reset();
    this.tick();
  }

  tick(): void {
    for (const [name, loaded] of this.#loaded) {
      const limit = this.#long.has(name) ? ROWS_LONG : ROWS_SHORT;
      loaded.follow(
        this.#context.stamp(),
        () => this.#context.connection.get<Analytics>(`/api/analytics/${name}`, { ...this.#bounds(), limit }),
      );
    }
  }

  render(): TemplateResult {
    return html`${this.#renderRange()}
      <div class="columns">${NAMES.map(([name, title]) => this.#renderOne(name, title))}</div>`;
  }

  /** Whole hours: so the same question comes again, and ClickHouse has its answer. */
  #bounds(): { since: string | null; until: string | null } {
    if (this.#range === "own") return { since: this.#since, until: this.#until };
    const span = RANGES.find(([id]) => id === this.#range)?.[2] ?? null;
    if (span === null) return { since: null, until: null };
    const since = Math.floor((now() - span) / HOUR) * HOUR;
    return { since: new Date(since).toISOString(), until: null };
  }

  #renderRange(): TemplateResult {
    const submit = (event: SubmitEvent) => {
      event.preventDefault();
      const form = new FormData(event.target as HTMLFormElement);
      const params = new URLSearchParams();
      for (const name of ["since", "until"]) {
        const value = String(form.get(name));
        if (value !== "") params.set(name, `${value.slice(0, 16)}:00Z`);
      }
      location.hash = `#/analytics?${params}`;
    };
    const widen = (event: Event) => {
      this.#allColumns = (event.target as HTMLInputElement).checked;
      this.#context.redraw();
    };
    const shown = (value: string | null) => value?.slice(0, 16) ?? "";
    const { since, until } = this.#bounds();
    return html`
      <div class="ranges">
        <nav aria-label="Time range">${RANGES.map(([id, label]) =>
          html`<a href="#/analytics?range=${id}" aria-current=${
            id === this.#range ? "true" : nothing
          }>${label}</a>`
        )}</nav>
        <form @submit=${submit}>
          <label>From, UTC <input type="datetime-local" name="since" .value=${shown(this.#since)} /></label>
          <label>until, UTC <input type="datetime-local" name="until" .value=${shown(this.#until)} /></label>
          <button>Show</button>
        </form>
        <label class="check"><input type="checkbox" .checked=${this
          .#allColumns} @change=${widen} /> all columns</label>
        <p
          class="note">Sessions that started ${since === null
            ? "at any time"
            : html`from ${instant(Date.parse(since))} on`}${until === null
            ? ""
            : `, before ${
              instant(Date.parse(until))
            }`}, in whole hours or days (UTC). What other instances wrote may be missing for some seconds.</p>
      </div>
    `;
  }

  #renderOne(name: string, title: string): TemplateResult {
    const loaded = this.#loaded.get(name)!;
    const answer = loaded.value;
    const body = answer === null
      ? html`<p class="empty">${loaded.problem === null ? "Asking …" : "No answer."}</p>`
      : answer.totals.rows.length === 0
      ? html`<p class="empty">No sessions in this time.</p>`
      : html`${renderChart(answer)}${this.#renderTable(answer, title)}`;
    return html`<div data-analytics=${name}>${
      card(
        title,
        html`${problem(loaded.problem)}${body}`,
        answer === null ? nothing : html`${answer.description}. <code>${name}</code>`,
      )
    }</div>`;
  }

  #renderTable(answer: Analytics, title: string): TemplateResult {
    const { name, totals, truncated } = answer;
    const more = () => {
      this.#long.add(name);
      this.#loaded.get(name)!.reset();
      this.tick();
    };
    return html`${table(title, columnsOf(answer, this.#allColumns), totals.rows)}
      ${
      truncated && !this.#long.has(name)
        ? html`<p class="pager"><button @click=${more}>More rows</button></p>`
        : nothing
    }
      ${
      truncated && this.#long.has(name)
        ? html`<p class="note">The first ${plural(ROWS_LONG, "row")}.</p>`
        : nothing
    }`;
  }
}

const UNITS: Readonly<Record<string, (value: number) => string>> = {
  total_duration_sec: (value) => duration(value * 1000),
  avg_duration_sec: (value) => duration(value * 1000),
  avg_events: decimal,
  views_per_session: decimal,
};

function titleOf(column: string): string {
  const words = column.replace(/^total_duration_sec$/, "time in all").replace(/_sec$/, "").replaceAll(
    "_",
    " ",
  );
  return words[0]!.toUpperCase() + words.slice(1);
}

/** What a table shows of the sums, unless all columns are wanted. */
const MAIN_COLUMNS = new Set(["total_events"]);

function columnsOf(
  { totals, series, dimensions, weight }: Analytics,
  all: boolean,
): readonly Column<Row>[] {
  const at = totals.columns.indexOf(weight);
  // Of all of them, also where the table shows only the first ones.
  const whole = series.rows.reduce((sum, row) => sum + Number(row[series.columns.indexOf(weight)]), 0);
  const columns = totals.columns.map((name, index): Column<Row> => {
    if (dimensions.includes(name)) {
      return {
        title: titleOf(name),
        cell: (row) => row[index] === "" ? "unknown" : foreign(String(row[index])),
      };
    }
    const format = UNITS[name] ?? count;
    return { title: titleOf(name), cell: (row) => format(Number(row[index])), number: true };
  });
  const share: Column<Row> = {
    title: "Share",
    cell: (row) => {
      const value = whole === 0 ? 0 : Number(row[at]) / whole;
      return html`<span class="share">${bar(value, `${percent(value)} of all`)} ${percent(value)}</span>`;
    },
  };
  const others = columns.filter((_, index) =>
    index >= dimensions.length && index !== at && (all || MAIN_COLUMNS.has(totals.columns[index]!))
  );
  return [...columns.slice(0, dimensions.length), columns[at]!, share, ...others];
}

function renderChart({ series, bucket, weight }: Analytics): TemplateResult {
  const at = series.columns.indexOf(weight);
  const width = bucket === "hour" ? HOUR : 24 * HOUR;
  const values = new Map(series.rows.map((row) => [Date.parse(String(row[0])), Number(row[at])]));
  const times = [...values.keys()];
  // Buckets without sessions are none in ClickHouse, and zero here; a chart of one bucket has room beside it.
  const [first, last] = [Math.min(...times) - width, Math.max(...times) + width];
  const filled = Array.from(
    { length: Math.min(2_000, (last - first) / width + 1) },
    (_, i) => first + i * width,
  );
  const label = titleOf(weight);
  const data = {
    series: [{ label, color: "--c1", bars: true }],
    values: [filled.map((ms) => ms / 1000), filled.map((ms) => values.get(ms) ?? 0)],
    format: (value: number) => count(value),
    summary: `${label} by ${bucket}: ${plural(series.rows.length, bucket)}.`,
    height: 130,
    bucket: width / 1000,
  };
  return html`
    <p class="axis">${label} by ${bucket}, UTC</p>
    <time-chart .data=${data}></time-chart>
  `;
}
