/** Table: the Delta table's history, and the dead letters beside it with their bytes. */
/// <reference lib="dom" />
import { html, nothing, type TemplateResult } from "lit-html";
import type { DeadLetters, Table, Versions } from "../api_schema.ts";
import { bytes, count, fromBase64, hexDump, plural, visible } from "./format.ts";
import { Loaded } from "./loaded.ts";
import {
  card,
  type Column,
  type Content,
  foreign,
  problem,
  type Route,
  table,
  time,
  type View,
  type ViewContext,
} from "./parts.ts";

const PAGE_ROWS = 20;
/** Bytes of a dead letter that are shown; the lake has all of them. */
const BYTES_SHOWN = 1_024;

type Version = Versions["versions"][number];
type Letter = Readonly<Record<string, unknown>>;

/** The view at `#/table`; `#/table/dead-letters` goes on to those. */
export class TableView implements View {
  readonly #context: ViewContext;
  readonly #summary: Loaded<Table>;
  readonly #versions: Loaded<Versions>;
  readonly #letters: Loaded<DeadLetters>;
  #versionPages: (number | null)[] = [null];
  #letterPages: number[] = [0];
  #scrollTo = "";

  constructor(context: ViewContext) {
    this.#context = context;
    this.#summary = new Loaded(context.redraw);
    this.#versions = new Loaded(context.redraw);
    this.#letters = new Loaded(context.redraw);
  }

  open({ parts: [part] }: Route): void {
    this.#versionPages = [null];
    this.#letterPages = [0];
    this.#scrollTo = part === "dead-letters" ? part : "";
    for (const loaded of [this.#summary, this.#versions, this.#letters]) loaded.reset();
    this.tick();
  }

  tick(): void {
    const { connection } = this.#context;
    const stamp = this.#context.stamp();
    this.#summary.follow(stamp, () => connection.get<Table>("/api/table"));
    const before = this.#versionPages.at(-1)!;
    if (before === null || this.#versions.value === null) {
      this.#versions.follow(
        stamp,
        () => connection.get<Versions>("/api/table/versions", { limit: PAGE_ROWS, before }),
      );
    }
    const skip = this.#letterPages.at(-1)!;
    // One that is being read must not move away.
    const isRead = document.querySelector("#dead-letters details[open]") !== null;
    if ((skip === 0 && !isRead) || this.#letters.value === null) {
      this.#letters.follow(
        stamp,
        () => connection.get<DeadLetters>("/api/dead-letters", { limit: PAGE_ROWS, skip }),
      );
    }
    if (this.#scrollTo !== "" && this.#versions.value !== null && this.#letters.value !== null) {
      document.getElementById(this.#scrollTo)?.scrollIntoView();
      this.#scrollTo = "";
    }
  }

  render(): TemplateResult {
    return html`
      ${card(
        "The Delta table",
        html`${problem(this.#summary.problem)}${this.#renderSummary()}`,
        "At its newest version. Any Delta reader opens it, at this or an older version.",
      )}
      ${card(
        "Versions",
        html`${problem(this.#versions.problem)}${this.#renderVersions()}`,
        "What each commit did, the newest first.",
      )}
      ${card(
        "Dead letters",
        html`${problem(this.#letters.problem)}${this.#renderLetters()}`,
        "Events that could not be used, with their bytes, the newest first. They are also in the topic of dead letters.",
        "dead-letters",
      )}
    `;
  }

  #renderSummary(): Content {
    const summary = this.#summary.value;
    if (summary === null) return waiting();
    const entries: readonly (readonly [string, Content])[] = [
      ["version", html`<span data-figure="version">${count(summary.version)}</span>`],
      ["rows", html`<span data-figure="rows">${summary.rows === null ? "–" : count(summary.rows)}</span>`],
      ["files", count(summary.files)],
      ["size", bytes(summary.bytes)],
      ["per row", summary.rows === null || summary.rows === 0 ? "–" : bytes(summary.bytes / summary.rows)],
      [
        "session dates",
        summary.firstDate === null ? "–" : `${summary.firstDate} to ${summary.lastDate} (UTC)`,
      ],
      ["made", time(summary.createdMs)],
      ["protocol", `reader ${summary.minReaderVersion}, writer ${summary.minWriterVersion}`],
      ["place", foreign(summary.location)],
      ["table id", foreign(summary.tableId)],
    ];
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

  #renderVersions(): Content {
    const versions = this.#versions.value;
    if (versions === null) return waiting();
    const pages = this.#versionPages;
    return html`${table("Versions", VERSION_COLUMNS, versions.versions)}${
      this.#pager(pages.length, versions.next !== null, () =>
        pages.pop(), () =>
        pages.push(versions.next), this.#versions)
    }`;
  }

  #renderLetters(): Content {
    const letters = this.#letters.value;
    if (letters === null) return waiting();
    const rows = letters.rows.map((row): Letter =>
      Object.fromEntries(letters.columns.map((name, index) => [name, row[index]]))
    );
    const pages = this.#letterPages;
    return html`${table("Dead letters", LETTER_COLUMNS, rows, "There are none.")}${
      rows.length === 0 && pages.length === 1 ? nothing : this.#pager(
        pages.length,
        letters.next !== null,
        () => pages.pop(),
        () => pages.push(letters.next!),
        this.#letters,
      )
    }`;
  }

  #pager<T>(
    page: number,
    hasNext: boolean,
    back: () => void,
    on: () => void,
    loaded: Loaded<T>,
  ): TemplateResult {
    const turn = (change: () => void) => () => {
      change();
      loaded.reset();
      this.tick();
      this.#context.redraw();
    };
    return html`
      <p class="pager">
        <button ?disabled=${page === 1} @click=${turn(back)}>Newer</button>
        <span>Page ${page}</span>
        <button ?disabled=${!hasNext} @click=${turn(on)}>Older</button>
      </p>
    `;
  }
}

function waiting(): TemplateResult {
  return html`<p class="empty">Asking …</p>`;
}

const VERSION_COLUMNS: readonly Column<Version>[] = [
  { title: "Version", cell: ({ version }) => count(version), number: true },
  { title: "Committed", cell: ({ timestampMs }) => time(timestampMs) },
  { title: "Operation", minor: true, cell: ({ operation }) => operation === null ? "–" : foreign(operation) },
  { title: "Epoch", cell: ({ epoch }) => epoch === null ? "–" : count(epoch), number: true },
  { title: "Rows", cell: ({ rowsAdded }) => rowsAdded === null ? "–" : `+${count(rowsAdded)}`, number: true },
  {
    title: "Files",
    cell: ({ filesAdded, filesRemoved }) => `+${count(filesAdded)} −${count(filesRemoved)}`,
    number: true,
  },
  {
    title: "Size",
    cell: ({ bytesAdded, bytesRemoved }) =>
      `+${bytes(bytesAdded)} −${bytesRemoved === null ? "?" : bytes(bytesRemoved)}`,
    number: true,
  },
  { title: "Dead letters", cell: ({ deadLetters }) => count(deadLetters), number: true },
  { title: "Closed by", minor: true, cell: ({ closedBy }) => closedBy === null ? "–" : foreign(closedBy) },
  {
    title: "Written by",
    cell: ({ engine, details }) =>
      html`
        <details>
          <summary>${engine === null ? "unknown" : foreign(engine)}</summary>
          <dl class="pairs">${Object.entries(details).map(([name, value]) =>
            html`
              <dt>${visible(name)}</dt>
              <dd>${foreign(value)}</dd>
            `
          )}</dl>
        </details>
      `,
  },
];

const LETTER_COLUMNS: readonly Column<Letter>[] = [
  { title: "Reason", cell: ({ reason }) => foreign(String(reason)) },
  {
    title: "What is wrong",
    cell: ({ detail }) => html`<span class="wrap">${foreign(String(detail))}</span>`,
  },
  { title: "Arrived", cell: ({ timestamp }) => time(Date.parse(String(timestamp))) },
  { title: "Partition", cell: ({ partition }) => count(Number(partition)), number: true },
  { title: "Offset", cell: ({ offset }) => count(Number(offset)), number: true },
  { title: "Epoch", cell: ({ epoch }) => count(Number(epoch)), number: true },
  { title: "Bytes", cell: renderBytes },
];

/** Key and value as a dump: whatever they are, it is letters and digits. */
function renderBytes({ key_base64, value_base64 }: Letter): Content {
  if (value_base64 === null) return "no value";
  const value = fromBase64(String(value_base64));
  const key = key_base64 === null ? null : fromBase64(String(key_base64));
  const dump = (data: Uint8Array) =>
    html`<pre>${hexDump(data.subarray(0, BYTES_SHOWN))}${
      data.length > BYTES_SHOWN ? `\n… and ${count(data.length - BYTES_SHOWN)} more bytes` : ""
    }</pre>`;
  return html`<details><summary>${plural(value.length, "byte")}</summary>
    <p>Key${key === null ? ": none" : ""}</p>${key === null ? nothing : dump(key)}
    <p>Value</p>${dump(value)}
    <p>Value as text</p><pre class="text">${
    visible(new TextDecoder().decode(value.subarray(0, BYTES_SHOWN)))
  }</pre>
  </details>`;
}
