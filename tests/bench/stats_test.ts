import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { fitLine, grows, histogramQuantile, median, quantile } from "../../bench/stats.ts";

Deno.test("A quantile lies between the least and the greatest value, and grows with its rank", () => {
  const values = fc.array(fc.integer(), { minLength: 1, maxLength: 50 });
  const rank = fc.double({ min: 0, max: 1, noNaN: true });
  fc.assert(fc.property(values, rank, rank, (all, a, b) => {
    const [low, high] = [quantile(all, Math.min(a, b)), quantile(all, Math.max(a, b))];
    assert(Math.min(...all) <= low && low <= high + 1e-6 && high <= Math.max(...all));
  }));
  assertEquals(median([4, 1, 3, 2]), 2.5);
  assert(Number.isNaN(median([])));
});

Deno.test("A quantile of a histogram is interpolated in its bucket, and never beyond the last bound", () => {
  const buckets = [[1, 50], [2, 100], [Infinity, 100]] as const;
  assertEquals(histogramQuantile(buckets, 0.5), 1);
  assertEquals(histogramQuantile(buckets, 0.75), 1.5);
  assertEquals(histogramQuantile([[1, 0], [2, 0], [Infinity, 10]], 0.5), 2);
});

Deno.test("Points on a line give that line back", () => {
  const integer = fc.integer({ min: -1_000, max: 1_000 });
  fc.assert(fc.property(integer, integer, (slope, intercept) => {
    const xs = [0, 1, 2, 5, 9];
    const line = fitLine(xs, xs.map((x) => intercept + slope * x))!;
    assert(Math.abs(line.slope - slope) < 1e-6 && Math.abs(line.intercept - intercept) < 1e-6);
    assert(line.error < 1e-6);
  }));
  assertEquals(fitLine([1, 1, 1], [1, 2, 3]), null);
  assertEquals(fitLine([1, 2], [1, 2]), null);
});

Deno.test("A leak is growth that is steady and that matters: neither noise nor a little drift is one", () => {
  const xs = Array.from({ length: 60 }, (_, i) => i);
  const noise = (i: number) => (i * 7_919) % 13;
  assert(grows(xs, xs.map((i) => 300 + 2 * i + noise(i)), 50));
  assert(!grows(xs, xs.map((i) => 300 + noise(i)), 0.5));
  assert(!grows(xs, xs.map((i) => 300 + 0.5 * i), 50));
  assert(!grows(xs, xs.map((i) => 300 - 2 * i), 50));
  assert(Math.abs(fitLine(xs, xs.map((i) => 3 + 2 * i + noise(i)))!.slope - 2) < 0.1);
});
