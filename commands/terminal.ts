/** What the terminal shows: the first screen, a line a batch, tables. Pure: text in, text out. */
import Table from "cli-table3";
import type { EpochReport, PipelineSummary } from "../actors/protocol.ts";
import type { QueryResult } from "../web/query_service.ts";

/** A cell of a table is cut at this many characters. */
const CELL_CHARACTERS_MAX = 60;

/** What an unsafe character does to a terminal ranges from moving the cursor to retitling the window. */
// deno-lint-ignore no-control-regex
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]|\\/g;
const SHORT_ESCAPES: Readonly<Record<string, string>> = {
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\\": "\\\\",
};

/** Text that a terminal shows as it is: control and direction characters become `\n`, `\u001b` … */
export function escapeControls(text: string): string {
  return text.toWellFormed().replace(
    UNSAFE,
    (character) => SHORT_ESCAPES[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function showCell(value: unknown): string {
  if (value === null || value === undefined) return "";
  const text = escapeControls(typeof value === "object" ? JSON.stringify(value) : String(value));
  const characters = [...text];
  return characters.length <= CELL_CHARACTERS_MAX
    ? text
    : `${characters.slice(0, CELL_CHARACTERS_MAX - 1).join("")}…`;
}

const BARE = {
  "top": "",
  "top-mid": "",
  "top-left": "",
  "top-right": "",
  "bottom": "",
  "bottom-mid": "",
  "bottom-left": "",
  "bottom-right": "",
  "left": "",
  "left-mid": "",
  "mid": "",
  "mid-mid": "",
  "right": "",
  "right-mid": "",
  "middle": "  ",
};

/** Rows as an aligned table with a header; numbers stand at the right. */
export function formatTable({ columns, rows }: QueryResult): string {
  const table = new Table({
    head: [...columns],
    colAligns: columns.map((_, index) => rows.every((row) => isNumber(row[index])) ? "right" : "left"),
    chars: BARE,
    style: { head: [], border: [], "padding-left": 0, "padding-right": 0 },
  });
  for (const row of rows) table.push(row.map(showCell));
  return table.toString().split("\n").map((line) => line.trimEnd()).join("\n");
}

/** ClickHouse's JSON has 64-bit integers as strings. */
function isNumber(value: unknown): boolean {
  return value === null || typeof value === "number" ||
    (typeof value === "string" && /^-?\d+(\.\d+)?$/.test(value));
}

const COLUMNS = [
  { title: "epoch", width: 6, of: (report) => String(report.epoch) },
  { title: "sessions", width: 9, of: (report) => count(report.sessions) },
  { title: "events/s", width: 10, of: (report) => count(Math.round(report.eventsPerSecond)) },
  { title: "open", width: 9, of: (report) => count(report.openSessions) },
  { title: "commit", width: 9, of: (report) => milliseconds(report.commitMs) },
  { title: "insert", width: 9, of: (report) => milliseconds(report.insertMs) },
  { title: "dead letters", width: 13, of: (report) => count(report.deadLetters) },
] as const satisfies readonly { title: string; width: number; of(report: EpochReport): string }[];

const thousands = new Intl.NumberFormat("en-US");

function count(value: number): string {
  return thousands.format(value);
}

function milliseconds(value: number | null): string {
  return value === null ? "later" : `${thousands.format(Math.round(value))} ms`;
}

/** The header of the lines that {@linkcode formatEpoch} makes. */
export function epochHeader(): string {
  return COLUMNS.map(({ title, width }) => title.padStart(width)).join(" ");
}

/** One epoch as a line under {@linkcode epochHeader}. An insert that is still to come is `later`. */
export function formatEpoch(report: EpochReport): string {
  const why = report.closedBy === "interval" ? "" : `  (${report.closedBy})`;
  return COLUMNS.map(({ of, width }) => of(report).padStart(width)).join(" ") + why;
}

/** The last line of a run. */
export function formatSummary({ epochs, sessions, events, deadLetters }: PipelineSummary): string {
  return `Stopped in order: ${count(epochs)} epochs, ${count(sessions)} sessions from ${
    count(events)
  } events, ` +
    `${count(deadLetters)} dead letters.`;
}

/** What the first screen says. */
export interface FirstScreen {
  readonly source: string;
  /** Where the Delta table is. */
  readonly deltaTable: string;
  readonly warehouse: string;
  readonly url: string;
  /** Why the web server is not where it was expected; null where it is. */
  readonly portNote: string | null;
  /** How the program is started, such as `deno task sessionary`. */
  readonly program: string;
  /** Written before `query`, so that it finds the same data: empty for the default folder. */
  readonly environment: string;
}

/** The first screen of `dev` and `run`: what is happening, where the data is, what to try next. */
export function formatFirstScreen(screen: FirstScreen): string {
  const command = (rest: string) => `    ${screen.environment}${screen.program} ${rest}`;
  return [
    `Sessionary: ${screen.source} → sessions → Delta table and ClickHouse`,
    "",
    `  Delta table   ${screen.deltaTable}`,
    `  ClickHouse    ${screen.warehouse}`,
    `  Web           ${screen.url}${screen.portNote === null ? "" : `  (${screen.portNote})`}`,
    "",
    "  Try from a second terminal:",
    command("query brand_analytics"),
    command("query sessions --limit 5"),
    command("query dead-letters"),
    "",
    "  Ctrl-C stops in order: what has been read is committed first.",
  ].join("\n");
}
