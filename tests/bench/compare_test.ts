import { assertEquals } from "@std/assert";
import { compareRuns, comparisonRows } from "../../bench/compare.ts";
import { figure } from "../../bench/record.ts";
import { runOf } from "../support/bench_run.ts";

Deno.test("A ratio counts when it is further from 1 than the samples of either run lie apart", () => {
  const before = runOf([
    figure("rate", "events/s", 100, { samples: [70, 100, 130] }),
    figure("steady", "ms", 100),
    figure("gone", "ms", 1),
  ]);
  const after = runOf([
    figure("rate", "events/s", 140, { samples: [138, 140, 142] }),
    figure("steady", "ms", 120),
    figure("new", "ms", 1),
  ]);
  const compared = compareRuns(before, after);
  assertEquals(compared.map(({ name, ratio, differs }) => [name, ratio, differs]), [
    ["rate", 1.4, false],
    ["steady", 1.2, true],
  ]);
  assertEquals(comparisonRows(compared)[1], [
    "baseline, embedded",
    "steady",
    "ms",
    "100",
    "120",
    "1.20",
    "differs",
  ]);
});

Deno.test("A run beside itself differs nowhere", () => {
  const run = runOf([figure("rate", "events/s", 100), figure("lag", "events", 0)]);
  assertEquals(compareRuns(run, run).filter(({ differs }) => differs), []);
});
