/** The page's entry: the frame around the views, the way from one to another, and the line to the server. */
/// <reference lib="dom" />
import "./language.ts";
import { html, nothing, render, type TemplateResult } from "lit-html";
import type { Status } from "../api_schema.ts";
import { AnalyticsView } from "./analytics_view.ts";
import { every } from "./browser.ts";
import { Connection, type LineState } from "./connection.ts";
import { FlowView } from "./flow_view.ts";
import { instant, visible } from "./format.ts";
import type { Route, View } from "./parts.ts";
import { SessionsView } from "./sessions_view.ts";
import { TableView } from "./table_view.ts";
import { defineTimeChart } from "./time_chart.ts";

const TICK_MS = 1_000;
const root = document.getElementById("app")!;

let status: Status | null = null;
let drawing = false;

/** Draws once before the next frame, however often it is asked to. */
function redraw(): void {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    render(renderPage(), root);
  });
}

const connection = new Connection((_line: LineState, newest: Status | null) => {
  status = newest ?? status;
  redraw();
});
const stamp = () => `${status?.deltaVersion} ${status?.sinks.warehouse?.rows} ${status?.lagVersions}`;
const context = { connection, redraw, stamp };

const VIEWS: Readonly<Record<string, { readonly title: string; readonly view: View }>> = {
  flow: { title: "Flow", view: new FlowView(context) },
  sessions: { title: "Sessions", view: new SessionsView(context) },
  analytics: { title: "Analytics", view: new AnalyticsView(context) },
  table: { title: "Table", view: new TableView(context) },
};

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function readRoute(): Route {
  const [path = "", query = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  const [view = "", ...parts] = path.split("/");
  return {
    view: view in VIEWS ? view : "flow",
    parts: parts.map(decoded),
    params: new URLSearchParams(query),
  };
}

let route = readRoute();

function goTo(next: Route): void {
  const moved = next.view !== route.view;
  route = next;
  const { title, view } = VIEWS[route.view]!;
  document.title = `${title} · Sessionary`;
  view.open(route);
  redraw();
  if (moved) scrollTo(0, 0);
}

function renderPage(): TemplateResult {
  const { view } = VIEWS[route.view]!;
  const skip = (event: Event) => {
    event.preventDefault();
    document.getElementById("main")?.focus();
  };
  return html`
    <a class="skip" href="#main" @click=${skip}>To the content</a>
    <header class="top">
      <a class="brand" href="#/flow"><img src="/page/icon.svg" alt="" width="24" height="24" />Sessionary</a>
      <nav aria-label="Views">${Object.entries(VIEWS).map(([name, { title }]) =>
        html`<a href="#/${name}" aria-current=${name === route.view ? "page" : nothing}>${title}</a>`
      )}</nav>
      <p class="line">${renderLine()}</p>
    </header>
    <div class="health" role="status">${renderHealth()}</div>
    <main id="main" tabindex="-1">${connection.line.state === "token"
      ? renderTokenForm()
      : view.render(status)}</main>
    <footer>
      ${status === null
        ? nothing
        : html`Sessionary ${status.version}, up since ${instant(status.startedMs)}.`}
      <a href="/api/openapi.json">API</a>
    </footer>
  `;
}

function renderLine(): TemplateResult {
  const { state } = connection.line;
  switch (state) {
    case "live":
      return html`<span class="dot live" aria-hidden="true">●</span> live${
        status === null ? "" : `, ${instant(status.now).slice(11)}`
      }`;
    case "connecting":
      return html`connecting …`;
    case "token":
      return html`a token is needed`;
    case "lost":
      return html`<span class="dot lost" aria-hidden="true">■</span> no connection`;
  }
}

/** What stands out of a finding: up to its first colon or stop. */
function headline(text: string): string {
  return /^.*?[.:](?= )/s.exec(text)?.[0] ?? text;
}

/** The same words as long as nothing changes, so that they are read out once. */
function renderHealth(): TemplateResult {
  const { state, sinceMs } = connection.line;
  if (state === "lost") {
    return html`<p class="finding error"><strong>No connection to Sessionary since ${
      instant(sinceMs)
    }.</strong>
      The page tries again every second. If it does not come back, look at the program's last lines.</p>`;
  }
  if (state !== "live" || status === null) return html``;
  if (!status.up) {
    return html`<p class="finding warning"><strong>The pipeline is starting or stopping.</strong></p>`;
  }
  if (status.findings.length === 0) {
    return html`
      <p
        class="finding good"><strong>All is well.</strong> Nothing holds the pipeline up; the lake and ClickHouse take what comes.</p>
    `;
  }
  return html`${
    status.findings.map(({ severity, text, advice }) =>
      html`<p class="finding ${severity}"><strong>${headline(text)}</strong>${
        visible(text.slice(headline(text).length))
      } ${advice}</p>`
    )
  }`;
}

function renderTokenForm(): TemplateResult {
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const token = String(new FormData(event.target as HTMLFormElement).get("token")).trim();
    if (token === "") return;
    connection.setToken(token);
    goTo(route);
  };
  return html`<form class="card token" @submit=${submit}>
    <h2>Who may see this</h2>
    <p>Sessionary asks for its token (HTTP_TOKEN). It is kept in this tab only, and forgotten with it.</p>
    ${connection.wasRefused ? html`<p class="problem" role="alert">That was not the token.</p>` : nothing}
    <label>Token <input name="token" type="password" autocomplete="off" required /></label>
    <button>Enter</button>
  </form>`;
}

defineTimeChart();
addEventListener("hashchange", () => goTo(readRoute()));
every(TICK_MS, () => {
  if (connection.line.state === "live") VIEWS[route.view]!.view.tick();
});
goTo(route);
connection.follow();
