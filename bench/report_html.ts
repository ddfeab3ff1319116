/** A run as one HTML file that needs nothing else: tables, and plots by uPlot, whose script and style are inside. */
import { type Plot, type Run } from "./record.ts";
import { FIGURE_COLUMNS, figureRow, formatSurroundings } from "./report_text.ts";

/** uPlot's own files, and before its script what that needs of the browser. */
export interface PlotLibrary {
  readonly script: string;
  readonly style: string;
}

/** Reads uPlot from the installed packages. */
export async function readPlotLibrary(): Promise<PlotLibrary> {
  const read = (name: string) => Deno.readTextFile(new URL(name, import.meta.resolve("uplot")));
  // The resolved file is in dist/, as are these.
  const [script, style, language] = await Promise.all([
    read("./uPlot.iife.min.js"),
    read("./uPlot.min.css"),
    // The page's own: it has no types, and runs as it is.
    Deno.readTextFile(new URL("../web/page/language.ts", import.meta.url)),
  ]);
  return { script: `${language}\n${script}`, style };
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** JSON that may stand in a script element. */
function scriptJson(value: unknown): string {
  return JSON.stringify(value).replaceAll("<", "\\u003c");
}

const STYLE = `
:root { color-scheme: light dark; --text: #1c1e21; --muted: #5c6370; --line: #d9dce1; --back: #fff; --met: #17692f; --missed: #b3261e }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e8eb; --muted: #a3a9b3; --line: #3a3f47; --back: #16181b; --met: #6fd08c; --missed: #ff8a80 }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back); max-width: 1200px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin: 2.5rem 0 .3rem } h3 { font-size: 1rem; margin: 0 0 .3rem; font-weight: 600 }
p { color: var(--muted); margin: .3rem 0 .8rem }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line) }
th { color: var(--muted); font-weight: 500 } td.number, th.number { text-align: right }
.met { color: var(--met) } .missed, .fault { color: var(--missed); font-weight: 600 }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 540px), 1fr)); gap: 1.5rem; margin-top: 1.2rem }
.plot { min-width: 0 } .u-legend { color: var(--muted) }
`;

/** Runs in the reader's browser: draws each plot into the element with its number. */
const DRAW = `
const COLORS = ["#2f7ed8", "#e07b00", "#2a9d5c", "#b04ac0", "#c2374a", "#7a7f87"];
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const short = (v) => v == null ? "" : Math.abs(v) >= 1e6 ? +(v / 1e6).toPrecision(3) + " M" : Math.abs(v) >= 1e4 ? +(v / 1e3).toPrecision(3) + " K" : String(+v.toPrecision(4));
const title = ({ title, unit }) => unit ? title + " (" + unit + ")" : title;
const drawn = [];
function draw() {
  drawn.splice(0).forEach((plot) => plot.destroy());
  PLOTS.forEach((plot, number) => {
    const element = document.getElementById("plot-" + number);
    const bars = plot.kind === "bars";
    const many = plot.series.length;
    const axis = { stroke: css("--text"), grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line"), width: 1 }, font: "12px system-ui", labelFont: "12px system-ui" };
    const xs = plot.xs, last = xs[xs.length - 1];
    // Names that would run into each other are turned.
    const turned = plot.labels && plot.labels.reduce((sum, label) => sum + 7 * label.length + 20, 0) > element.clientWidth - 80;
    const xAxis = { ...axis, label: title(plot.x), ...(turned ? { rotate: 35, size: 130 } : {}), ...(plot.labels ? { splits: () => xs, values: (_, at) => at.map((x) => plot.labels[xs.indexOf(x)] ?? "") } : { values: (_, at) => at.map(short) }) };
    drawn.push(new uPlot({
      width: element.clientWidth, height: turned ? 380 : 280,
      scales: { x: { time: false, ...(bars ? { range: [xs[0] - 0.6, last + 0.6] } : {}) }, y: { range: (_, low, high) => [Math.min(0, low), high <= 0 ? 1 : high * 1.08] } },
      axes: [xAxis, { ...axis, label: title(plot.y), size: 64, values: (_, at) => at.map(short) }],
      series: [{ label: plot.x.title, value: (_, v) => v == null ? "" : plot.labels ? plot.labels[xs.indexOf(v)] : short(v) }, ...plot.series.map(({ name }, i) => ({
        label: name, stroke: COLORS[i % COLORS.length], width: 2, value: (_, v) => short(v),
        ...(bars ? { fill: COLORS[i % COLORS.length] + "cc", points: { show: false }, paths: uPlot.paths.bars({ size: [0.7 / many, 90], align: 0 }) } : { points: { show: xs.length < 40, size: 5 } }),
      }))],
      legend: { live: true },
    }, bars && many > 1 ? spread(plot) : [xs, ...plot.series.map(({ ys }) => ys)], element));
  });
}
// Bars of several series stand side by side: each series has points of its own beside the label's.
function spread(plot) {
  const many = plot.series.length, step = 0.75 / many;
  const xs = plot.xs.flatMap((x) => plot.series.map((_, i) => x + (i - (many - 1) / 2) * step));
  return [xs, ...plot.series.map(({ ys }, i) => xs.map((_, at) => at % many === i ? ys[Math.floor(at / many)] : null))];
}
draw();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
let width = innerWidth;
addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; draw(); } });
`;

function tableOf(rows: readonly (readonly string[])[]): string {
  const cell = (text: string, column: number) => {
    const kind = column === 1 || column === 4 ? "number" : column === 6 ? text : "";
    return `<td class="${kind}">${escapeHtml(text)}</td>`;
  };
  const head = FIGURE_COLUMNS.map((name, column) =>
    `<th class="${column === 1 || column === 4 ? "number" : ""}">${escapeHtml(name)}</th>`
  ).join("");
  const body = rows.map((row) => `<tr>${row.map(cell).join("")}</tr>`).join("\n");
  return `<table><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table>`;
}

/** The report's text. */
export function renderHtml({ surroundings, suites }: Run, { script, style }: PlotLibrary): string {
  const plots: Plot[] = [];
  const sections = suites.map(({ suite, over, about, figures, plots: own, faults }) => {
    const places = own.map((plot) => {
      plots.push(plot);
      return `<div class="plot"><h3>${escapeHtml(plot.title)}</h3><div id="plot-${
        plots.length - 1
      }"></div></div>`;
    });
    return [
      `<section><h2>${escapeHtml(`${suite}, ${over}`)}</h2><p>${escapeHtml(about)}</p>`,
      ...faults.map((fault) => `<p class="fault">${escapeHtml(fault)}</p>`),
      tableOf(figures.map(figureRow)),
      `<div class="plots">${places.join("")}</div></section>`,
    ].join("\n");
  });
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,"><title>Sessionary bench, ${escapeHtml(surroundings.startedAt)}</title>
<style>${style}${STYLE}</style></head>
<body><h1>Sessionary bench</h1><p>${escapeHtml(formatSurroundings(surroundings))}</p>
${sections.join("\n")}
<script>${script}</script>
<script>const PLOTS = ${scriptJson(plots)};${DRAW}</script>
</body></html>
`;
}
