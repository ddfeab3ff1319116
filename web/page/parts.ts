/** Small parts that all views share. */
/// <reference lib="dom" />
import { html, nothing, type TemplateResult } from "lit-html";
import type { Connection } from "./connection.ts";
import type { Status } from "../api_schema.ts";
import { instant, visible } from "./format.ts";

/** What a part may show: a template, a text, or nothing. */
export type Content = TemplateResult | string | typeof nothing;

/** What a view works with. */
export interface ViewContext {
  readonly connection: Connection;
  /** Draws the page again, soon. */
  readonly redraw: () => void;
  /** What this instance has written up to now: another one where there may be something new in the sinks. */
  readonly stamp: () => string;
}

/** What stands behind the `#` of the address. */
export interface Route {
  /** The first part of the path: the view. */
  readonly view: string;
  /** The others, decoded. */
  readonly parts: readonly string[];
  readonly params: URLSearchParams;
}

/** One of the page's four views. */
export interface View {
  /** The reader has come here. */
  open(route: Route): void;
  /** About once a second while it is shown: what is old may be asked again. */
  tick(): void;
  render(status: Status | null): TemplateResult;
}

/** A moment, readable by machines too. */
export function time(ms: number | null): Content {
  return ms === null ? "–" : html`<time datetime=${new Date(ms).toISOString()}>${instant(ms)}</time>`;
}

/** Anybody's text: only ever text, apart from the text around it, and with what is invisible spelled out. */
export function foreign(text: string): TemplateResult {
  return html`<bdi class="foreign">${visible(text)}</bdi>`;
}

/** A card with a heading. */
export function card(title: string, content: Content, note: Content = nothing, id = ""): TemplateResult {
  return html`<section class="card" id=${id || nothing}>
    <header><h2>${title}</h2>${note === nothing ? nothing : html`<p class="note">${note}</p>`}</header>
    ${content}
  </section>`;
}

/** A column of a table. */
export interface Column<R> {
  readonly title: string;
  readonly cell: (row: R) => Content;
  /** Numbers stand on the right. */
  readonly number?: boolean;
  /** Left out on a phone. */
  readonly minor?: boolean;
}

/** A table that scrolls by itself where it is wider than its place, and on a phone is a list of its rows; `empty` stands where there are no rows. */
export function table<R>(
  label: string,
  columns: readonly Column<R>[],
  rows: readonly R[],
  empty = "Nothing yet.",
): TemplateResult {
  if (rows.length === 0) return html`<p class="empty">${empty}</p>`;
  return html`
    <div class="scroll" tabindex="0" role="region" aria-label=${label}>
      <table>
        <thead>
          <tr>${columns.map(({ title, number }) =>
            html`<th scope="col" class=${number ? "number" : ""}>${title}</th>`
          )}</tr>
        </thead>
        <tbody>${rows.map((row) =>
          html`<tr>${
            columns.map(({ title, cell, number, minor }) =>
              html`<td class="${number ? "number" : ""} ${minor ? "minor" : ""}" data-label=${title}>${
                cell(row)
              }</td>`
            )
          }</tr>`
        )}</tbody>
      </table>
    </div>
  `;
}

/** A bar that shows a share of 1 beside its number. */
export function bar(share: number, label: string, kind = ""): TemplateResult {
  const width = Math.max(0, Math.min(100, 100 * share));
  return html`
    <svg class="bar ${kind}" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label=${label}>
      <rect class="track" width="100" height="8"></rect>
      <rect class="fill" width=${width.toFixed(1)} height="8"></rect>
    </svg>
  `;
}

/** A problem of one part of the page. */
export function problem(text: string | null): Content {
  return text === null ? nothing : html`<p class="problem" role="alert">${visible(text)}</p>`;
}
