import { assertFiltersFind, byDeltaRs } from "./readers/pruning.ts";

// Spark, for which this takes two minutes, is asked by `deno task test:upkeep`.
Deno.test("delta-rs, which skips files by our statistics, finds every row: long texts, emoji, parts of a millisecond, nulls", () =>
  assertFiltersFind("delta-rs", byDeltaRs));
