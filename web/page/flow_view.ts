/** Flow: clicks on their way to sessions as one picture, with what holds them up. */
/// <reference lib="dom" />
import { html, type TemplateResult } from "lit-html";
import type { History, Status } from "../api_schema.ts";
import { renderEpochs } from "./epochs.ts";
import { bytes, count, decimal, duration, percent, plural, seconds, timeOfDay, visible } from "./format.ts";
import { Loaded } from "./loaded.ts";
import { card, type Column, type Content, table, time, type View, type ViewContext } from "./parts.ts";
import { renderPicture } from "./picture.ts";

const HISTORY_SECONDS = 300;
type Point = History["points"][number];

/** The view at `#/flow`. */
export class FlowView implements View {
  readonly #context: ViewContext;
  readonly #history: Loaded<History>;
  /** What came live since the history was asked for. */
  #points: Point[] = [];
  #lastStatus: Status | null = null;
  /** The epoch that the reader looks at; null: the newest. */
  #chosen: number | null = null;

  constructor(context: ViewContext) {
    this.#context = context;
    this.#history = new Loaded(context.redraw);
  }

  open(): void {
    this.#history.reset();
    this.#points = [];
  }

  tick(): void {
    if (this.#history.value !== null) return;
    this.#history.refresh(2_000, () => this.#context.connection.get<History>("/api/history"));
  }

  render(status: Status | null): TemplateResult {
    if (status === null) return html`<p class="empty">Waiting for the first word from Sessionary …</p>`;
    this.#follow(status);
    return html`
      <p class="intro">
        Readers' clicks come in on the left, are cut into sessions, and every
        ${duration(status.epochIntervalMs)} all sessions that are finished land, each exactly once, in a Delta
        table and in ClickHouse.
      </p>
      ${renderTiles(status)}
      ${renderPicture(status)}
      <div class="columns">
        ${this.#chart("Events read", "events/s", "readPerSecond", "--c1")}
        ${this.#chart("Sessions committed", "sessions/s", "sessionsPerSecond", "--c2")}
        ${this.#chart("Open sessions", "sessions", "openSessions", "--c3")}
        ${this.#chart("Events that wait in the log", "events", "lagRecords", "--c4")}
      </div>
      ${card(
        "The last epochs",
        renderEpochs(status, this.#chosen, (epoch) => this.#choose(epoch)),
        "Where the time goes, from asking for an epoch's barriers until its sessions can be queried.",
        "epochs",
      )}
      ${card(
        "Partitions",
        renderPartitions(status),
        "Lag: events in the log that are not read yet. The watermark is the event time that a partition has reached.",
      )}
      <div class="columns">
        ${card(
          "Stages",
          renderStages(status),
          "Over all epochs since the start; their fifth has checkpoints.",
        )}
        ${card(
          "Dead letters",
          renderDeadLetters(status),
          html`Events that could not be used, by reason, since the
          start. <a href="#/table/dead-letters">Look at them</a>`,
        )}
      </div>
      ${card("Notices", renderNotices(status), "What the actors had to say, the newest first.")}
    `;
  }

  #choose(epoch: number | null): void {
    this.#chosen = epoch;
    this.#context.redraw();
  }

  #follow(status: Status): void {
    if (status === this.#lastStatus) return;
    this.#lastStatus = status;
    this.#points.push({
      at: status.now,
      readPerSecond: status.rates.events,
      sessionsPerSecond: status.rates.sessions,
      lagRecords: status.lagRecords,
      openSessions: status.openSessions,
    });
    if (this.#points.length > HISTORY_SECONDS) this.#points.shift();
  }

  #chart(title: string, unit: string, name: Exclude<keyof Point, "at">, color: string): TemplateResult {
    const first = this.#points[0]?.at ?? Infinity;
    const before = (this.#history.value?.points ?? []).filter(({ at }) => at < first);
    const points = [...before, ...this.#points].slice(-HISTORY_SECONDS);
    const newest = points.at(-1);
    const format = (value: number) => decimal(value);
    const shown = newest === undefined ? "–" : `${decimal(newest[name])} ${unit}`;
    const data = {
      series: [{ label: title, color }],
      values: [points.map(({ at }) => at / 1000), points.map((point) => point[name])],
      format,
      summary: `${title} over the last minutes: ${shown} now.`,
    };
    return card(
      title,
      html`<time-chart .data=${data}></time-chart>`,
      html`<strong>${shown}</strong>, over the last
      ${plural(HISTORY_SECONDS / 60, "minute")}, times in UTC`,
    );
  }
}

function renderTiles(status: Status): TemplateResult {
  const { rates, latency, totals, now } = status;
  const since = status.lastCommitMs === null ? null : now - status.lastCommitMs;
  const tile = (label: string, value: Content, note: Content, id: string) =>
    html`
      <div class="tile">
        <dt>${label}</dt>
        <dd><strong data-figure=${id}>${value}</strong><span>${note}</span></dd>
      </div>
    `;
  return html`<dl class="tiles">
    ${tile("Events", `${decimal(rates.events)} /s`, `${count(totals.events)} committed`, "events-rate")}
    ${
    tile(
      "Sessions",
      `${decimal(rates.sessions)} /s`,
      html`<span data-figure="sessions">${count(totals.sessions)}</span> committed`,
      "sessions-rate",
    )
  }
    ${tile("Open sessions", count(status.openSessions), `${count(status.heldEvents)} events held`, "open")}
    ${
    tile(
      "To queryable, P50",
      seconds(latency.p50),
      `P95 ${seconds(latency.p95)}, P99 ${seconds(latency.p99)}`,
      "latency",
    )
  }
    ${
    tile(
      "Last commit",
      since === null ? "–" : `${duration(Math.max(0, Math.round(since / 1000) * 1000))} ago`,
      `one every ${duration(status.epochIntervalMs)}`,
      "last-commit",
    )
  }
    ${
    tile(
      "Data quality",
      status.quality === null ? "–" : percent(status.quality),
      "usable, last 5 min",
      "quality",
    )
  }
    ${tile("Memory, CPU", bytes(status.residentBytes), `${decimal(rates.cpu)} cores in use`, "memory")}
  </dl>`;
}

const PARTITION_COLUMNS: readonly Column<Status["partitions"][number]>[] = [
  { title: "Partition", cell: ({ partition }) => count(partition), number: true },
  { title: "Lag, events", cell: ({ lag }) => count(lag), number: true },
  { title: "Next offset", cell: ({ position }) => count(position), number: true },
  { title: "Watermark", cell: ({ watermark }) => time(watermark) },
  {
    title: "Behind the clock",
    cell: ({ behindMs }) => behindMs === null ? "–" : duration(behindMs),
    number: true,
  },
  { title: "Idle since", cell: ({ idleSince }) => time(idleSince) },
];

function renderPartitions({ partitions }: Status): TemplateResult {
  return table("Partitions", PARTITION_COLUMNS, partitions, "No partition is assigned yet.");
}

function renderStages({ stages, latency }: Status): TemplateResult {
  const rows = [...Object.entries(stages), ["click to queryable, 5 min", latency] as const];
  const columns: readonly Column<typeof rows[number]>[] = [
    { title: "Stage", cell: ([name]) => name },
    { title: "P50", cell: ([, { p50 }]) => seconds(p50), number: true },
    { title: "P95", cell: ([, { p95 }]) => seconds(p95), number: true },
    { title: "P99", cell: ([, { p99 }]) => seconds(p99), number: true },
    { title: "Measured", cell: ([, { count: times }]) => count(times), number: true },
  ];
  return table("Stages", columns, rows);
}

function renderDeadLetters({ deadLetters }: Status): TemplateResult {
  const rows = Object.entries(deadLetters).sort(([, a], [, b]) => b - a);
  const columns: readonly Column<[string, number]>[] = [
    { title: "Reason", cell: ([reason]) => reason },
    { title: "Events", cell: ([, number]) => count(number), number: true },
  ];
  return table("Dead letters", columns, rows, "None since the start.");
}

function renderNotices({ notices }: Status): TemplateResult {
  if (notices.length === 0) return html`<p class="empty">None since the start.</p>`;
  return html`
    <div class="notices" tabindex="0" role="region" aria-label="Notices">
      <ul>${notices.map(({ atMs, level, text }) =>
        html`<li class=${level}><span class="when">${timeOfDay(atMs)}</span> ${visible(text)}</li>`
      )}</ul>
    </div>
  `;
}
