/** Quantiles, fitted slopes and what is noise. Pure. */

/** By linear interpolation between the two nearest values; NaN of nothing. */
export function quantile(values: readonly number[], q: number): number {
  if (values.length === 0) return NaN;
  const sorted = values.toSorted((a, b) => a - b);
  const at = (sorted.length - 1) * q;
  const [low, high] = [sorted[Math.floor(at)]!, sorted[Math.ceil(at)]!];
  return low + (high - low) * (at - Math.floor(at));
}

/** The middle value; of an even number the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** A value of a cumulative histogram, by linear interpolation in its bucket, as Prometheus does. */
export function histogramQuantile(
  cumulative: readonly (readonly [bound: number, count: number])[],
  q: number,
): number {
  const buckets = cumulative.toSorted(([a], [b]) => a - b);
  const rank = q * (buckets.at(-1)?.[1] ?? 0);
  let [lower, below] = [0, 0];
  for (const [bound, count] of buckets) {
    if (count >= rank && count > below) {
      return bound === Infinity ? lower : lower + (bound - lower) * (rank - below) / (count - below);
    }
    [lower, below] = [bound, count];
  }
  return lower;
}

/** A straight line through points. */
export interface Line {
  readonly slope: number;
  readonly intercept: number;
  /** The slope's standard error; 0 where the points lie on the line. */
  readonly error: number;
}

/** The line of least squares; null of fewer than three points, or where all have one x. */
export function fitLine(xs: readonly number[], ys: readonly number[]): Line | null {
  const count = xs.length;
  if (count < 3 || ys.length !== count) return null;
  const [meanX, meanY] = [xs, ys].map((values) => values.reduce((sum, value) => sum + value, 0) / count) as [
    number,
    number,
  ];
  let [sxx, sxy] = [0, 0];
  xs.forEach((x, i) => {
    sxx += (x - meanX) ** 2;
    sxy += (x - meanX) * (ys[i]! - meanY);
  });
  if (sxx === 0) return null;
  const slope = sxy / sxx;
  const intercept = meanY - slope * meanX;
  const residuals = xs.reduce((sum, x, i) => sum + (ys[i]! - intercept - slope * x) ** 2, 0);
  return { slope, intercept, error: Math.sqrt(residuals / (count - 2) / sxx) };
}

/** A slope counts from so many standard errors on: samples in a row are not independent, so twice would be too few. */
const ERRORS_MIN = 4;

/** Whether values grow: the slope is far from chance, and what it adds over the whole run is more than `tolerated`. */
export function grows(xs: readonly number[], ys: readonly number[], tolerated: number): boolean {
  const line = fitLine(xs, ys);
  if (line === null) return false;
  const growth = line.slope * (xs.at(-1)! - xs[0]!);
  return line.slope > ERRORS_MIN * line.error && growth > tolerated;
}
