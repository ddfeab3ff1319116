/** What a run of the bench measures and where: the shape of its JSON files. NOUNS. */

/** What a figure should be. */
export interface Target {
  readonly at: "least" | "most";
  readonly value: number;
  /** The figure's own value, or its share of its ceiling. */
  readonly of: "value" | "ratio";
}

/** What a figure could be at most, measured in the same run. */
export interface Ceiling {
  readonly name: string;
  readonly value: number;
}

/** One measured number. */
export interface Figure {
  readonly name: string;
  /** Such as `events/s`, `ms`, `MiB`, `bytes`. */
  readonly unit: string;
  readonly value: number;
  /** What the value is the median of, in the order measured; empty where it was measured once. */
  readonly samples: readonly number[];
  readonly ceiling: Ceiling | null;
  readonly target: Target | null;
}

/** An axis; its unit is shown with its title. */
export interface Axis {
  readonly title: string;
  readonly unit: string;
}

/** Series over one x axis. `labels` name the points of a plot of bars, in the order of `xs`. */
export interface Plot {
  readonly title: string;
  readonly kind: "lines" | "bars";
  readonly x: Axis;
  readonly y: Axis;
  readonly xs: readonly number[];
  readonly labels: readonly string[] | null;
  readonly series: readonly { readonly name: string; readonly ys: readonly (number | null)[] }[];
}

/** What one suite found out. */
export interface SuiteResult {
  readonly suite: string;
  /** Over which parts: `embedded`, or real services. */
  readonly over: string;
  /** One sentence: what was done. */
  readonly about: string;
  readonly figures: readonly Figure[];
  readonly plots: readonly Plot[];
  /** What went wrong, as sentences: a leak, a result that differs from the truth. */
  readonly faults: readonly string[];
}

/** Where and with what a run was made. */
export interface Surroundings {
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  readonly commit: string;
  /** Whether files differed from the commit. */
  readonly dirty: boolean;
  readonly cores: number;
  readonly cpu: string;
  readonly memoryBytes: number;
  readonly versions: Readonly<Record<string, string>>;
  /** The load of the last minute when it began: what else the machine did. */
  readonly load: number;
  readonly settings: Readonly<Record<string, string>>;
}

/** A whole run: the content of a JSON file. */
export interface Run {
  readonly format: 1;
  readonly surroundings: Surroundings;
  readonly suites: readonly SuiteResult[];
}

/** Makes a figure; its value is the median of the samples where only these are given. */
export function figure(
  name: string,
  unit: string,
  value: number,
  more: Partial<Pick<Figure, "samples" | "ceiling" | "target">> = {},
): Figure {
  return { name, unit, value, samples: [], ceiling: null, target: null, ...more };
}

/** A target of the value itself. */
export function atMost(value: number): Target {
  return { at: "most", value, of: "value" };
}

/** A target of the value itself. */
export function atLeast(value: number): Target {
  return { at: "least", value, of: "value" };
}

/** The figure's share of its ceiling; null without one. */
export function ratioOf({ value, ceiling }: Figure): number | null {
  return ceiling === null ? null : value / ceiling.value;
}

/** Whether a figure is as it should be; null where nothing is demanded. */
export function isMet(one: Figure): boolean | null {
  if (one.target === null) return null;
  const found = one.target.of === "value" ? one.value : ratioOf(one);
  if (found === null || Number.isNaN(found)) return false;
  return one.target.at === "least" ? found >= one.target.value : found <= one.target.value;
}

/** A number with three digits that count, thousands apart. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const digits = Math.abs(value) >= 100 || value === 0 ? 0 : 2 - Math.floor(Math.log10(Math.abs(value)));
  return value.toLocaleString("en-US", { maximumFractionDigits: Math.min(Math.max(digits, 0), 6) });
}

/** Such as `≥ 1.1 of it`. */
export function formatTarget({ at, value, of }: Target): string {
  return `${at === "least" ? "≥" : "≤"} ${formatNumber(value)}${of === "ratio" ? " of it" : ""}`;
}
