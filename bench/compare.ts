/** Two runs side by side. Pure. */
import { type Figure, formatNumber, type Run } from "./record.ts";

/** Two measurements on one machine differ by so much without a reason, where no samples tell. */
const NOISE_DEFAULT = 0.1;

/** One figure in both runs. */
export interface Comparison {
  readonly suite: string;
  readonly name: string;
  readonly unit: string;
  readonly before: number;
  readonly after: number;
  /** After ÷ before. */
  readonly ratio: number;
  /** Whether the ratio is further from 1 than chance has it. */
  readonly differs: boolean;
}

/** How far the samples lie apart, as a share of the value. */
function spread({ samples, value }: Figure): number {
  if (samples.length < 3 || value === 0) return 0;
  return (Math.max(...samples) - Math.min(...samples)) / Math.abs(value);
}

/** The figures that both runs have, in the first one's order. */
export function compareRuns(before: Run, after: Run): Comparison[] {
  const found = new Map(
    after.suites.flatMap(({ suite, over, figures }) =>
      figures.map((one) => [`${suite}/${over}/${one.name}/${one.unit}`, one] as const)
    ),
  );
  return before.suites.flatMap(({ suite, over, figures }) =>
    figures.flatMap((one): Comparison[] => {
      const other = found.get(`${suite}/${over}/${one.name}/${one.unit}`);
      if (other === undefined) return [];
      const ratio = one.value === other.value ? 1 : other.value / one.value;
      const noise = Math.max(NOISE_DEFAULT, spread(one), spread(other));
      const differs = Math.abs(Math.log(ratio)) > Math.log(1 + noise);
      const { name, unit } = one;
      return [{
        suite: `${suite}, ${over}`,
        name,
        unit,
        before: one.value,
        after: other.value,
        ratio,
        differs,
      }];
    })
  );
}

/** The comparison's rows; what is within the noise says so. */
export function comparisonRows(comparisons: readonly Comparison[]): string[][] {
  return comparisons.map(({ suite, name, unit, before, after, ratio, differs }) => [
    suite,
    name,
    unit,
    formatNumber(before),
    formatNumber(after),
    ratio.toFixed(2),
    differs ? "differs" : "noise",
  ]);
}
