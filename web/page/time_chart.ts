/** `<time-chart>`: uPlot as an element, in the page's colours, as wide as its place. */
/// <reference lib="dom" />
import uPlot from "uplot";

/** One line or row of bars over time. */
export interface Series {
  readonly label: string;
  /** One of the page's colours: `--c1` … `--c4`. */
  readonly color: string;
  readonly bars?: boolean;
}

/** What is drawn. */
export interface ChartData {
  readonly series: readonly Series[];
  /** The first row: epoch seconds, ascending; then one row a series. */
  readonly values: readonly (readonly (number | null)[])[];
  /** Writes a value of the y axis, with its unit. */
  readonly format: (value: number) => string;
  /** For those who can't see it: a sentence. */
  readonly summary: string;
  readonly height?: number;
  /** Of the bars, seconds: the time axis has no finer steps. */
  readonly bucket?: number;
}

const HEIGHT = 150;
const WIDTH_MIN = 120;

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** Steps of the time axis, seconds. */
const STEPS = [
  ...[10, 30, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 30 * MINUTE],
  ...[HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 30 * DAY, 90 * DAY, 365 * DAY],
];

/** Times of an axis, UTC: as much of each as its step needs, and the day at midnight. */
function timeLabels(times: readonly number[], step: number): string[] {
  return times.map((seconds) => {
    const text = new Date(seconds * 1000).toISOString();
    if (step >= DAY || seconds % DAY === 0) return step >= 30 * DAY ? text.slice(0, 10) : text.slice(5, 10);
    return text.slice(11, step >= MINUTE ? 16 : 19);
  });
}

class TimeChart extends HTMLElement {
  #plot: uPlot | null = null;
  #data: ChartData | null = null;
  #shape = "";
  readonly #resized = new ResizeObserver(() => this.#fit());
  readonly #scheme = matchMedia("(prefers-color-scheme: dark)");
  readonly #recolor = () => {
    this.#shape = "";
    this.#draw();
  };

  /** The properties are set by the views. */
  set data(data: ChartData) {
    this.#data = data;
    this.setAttribute("aria-label", data.summary);
    if (this.isConnected) this.#draw();
  }

  connectedCallback(): void {
    this.setAttribute("role", "img");
    this.#resized.observe(this);
    this.#scheme.addEventListener("change", this.#recolor);
    this.#draw();
  }

  disconnectedCallback(): void {
    this.#resized.disconnect();
    this.#scheme.removeEventListener("change", this.#recolor);
    this.#plot?.destroy();
    this.#plot = null;
    this.#shape = "";
  }

  #fit(): void {
    const data = this.#data;
    if (data !== null) this.#plot?.setSize({ width: this.#width, height: data.height ?? HEIGHT });
  }

  get #width(): number {
    return Math.max(WIDTH_MIN, this.clientWidth);
  }

  #draw(): void {
    const data = this.#data;
    if (data === null) return;
    const values = data.values as unknown as uPlot.AlignedData;
    const shape = JSON.stringify(data.series);
    if (this.#plot !== null && shape === this.#shape) return this.#plot.setData(values);
    this.#plot?.destroy();
    this.#shape = shape;
    this.#plot = new uPlot(this.#options(data), values, this);
  }

  #options({ series, format, height = HEIGHT, bucket = 0 }: ChartData): uPlot.Options {
    const style = getComputedStyle(this);
    const color = (name: string) => style.getPropertyValue(name).trim();
    const axis = {
      stroke: color("--muted"),
      grid: { stroke: color("--line"), width: 1 },
      ticks: { show: false },
      font: "12px system-ui, sans-serif",
    };
    return {
      width: this.#width,
      height,
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      legend: { show: false },
      cursor: { show: false },
      padding: [10, 28, 0, 0],
      scales: { y: { range: (_, __, max) => [0, max > 0 ? max * 1.1 : 1] } },
      axes: [{
        ...axis,
        space: 70,
        incrs: STEPS.filter((step) => step >= bucket),
        values: (_, ticks, __, ___, step) => timeLabels(ticks, step),
      }, { ...axis, size: 64, space: 36, values: (_, ticks) => ticks.map(format) }],
      series: [
        {},
        ...series.map((one): uPlot.Series => ({
          label: one.label,
          stroke: color(one.color),
          width: 2,
          points: { show: false },
          ...(one.bars
            ? { fill: color(one.color), width: 0, paths: uPlot.paths.bars!({ size: [0.7, 40], align: 1 }) }
            : {}),
        })),
      ],
    };
  }
}

/** Makes the element known; once a page. */
export function defineTimeChart(): void {
  customElements.define("time-chart", TimeChart);
}
