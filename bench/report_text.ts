/** The terminal's table of a run. Pure. */
import { formatTable } from "../commands/terminal.ts";
import {
  type Figure,
  formatNumber,
  formatTarget,
  isMet,
  ratioOf,
  type SuiteResult,
  type Surroundings,
} from "./record.ts";

/** `met`, `missed`, or nothing where nothing is demanded. */
export function verdictOf(one: Figure): string {
  const met = isMet(one);
  return met === null ? "" : met ? "met" : "missed";
}

/** A figure's row: name, value, unit, ceiling, share of it, target, verdict. */
export function figureRow(one: Figure): string[] {
  const ratio = ratioOf(one);
  return [
    one.name,
    formatNumber(one.value),
    one.unit,
    one.ceiling === null ? "" : `${one.ceiling.name}: ${formatNumber(one.ceiling.value)}`,
    ratio === null ? "" : ratio.toFixed(2),
    one.target === null ? "" : formatTarget(one.target),
    verdictOf(one),
  ];
}

export const FIGURE_COLUMNS = ["figure", "value", "unit", "beside", "ratio", "target", ""];

/** A suite's heading, sentence, table and faults. */
export function formatSuite({ suite, over, about, figures, faults }: SuiteResult): string {
  const table = figures.length === 0
    ? []
    : [formatTable({ columns: FIGURE_COLUMNS, rows: figures.map(figureRow) })];
  return [`${suite}, ${over}: ${about}`, ...table, ...faults.map((fault) => `FAULT: ${fault}`), ""].join(
    "\n",
  );
}

/** One line about the machine. */
export function formatSurroundings(of: Surroundings): string {
  const memory = `${(of.memoryBytes / 2 ** 30).toFixed(1)} GiB`;
  return `${of.startedAt}  ${of.cores} × ${of.cpu}, ${memory}, load ${of.load.toFixed(1)}; commit ${
    of.commit.slice(0, 12)
  }${of.dirty ? " with changes" : ""}; ${
    Object.entries(of.versions).map(([name, version]) => `${name} ${version}`).join(", ")
  }`;
}
