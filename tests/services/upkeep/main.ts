/**
 * `deno task test:upkeep [MINUTES]`: what takes Spark long. Filters by which it skips files, then a table under the fire of
 * four writers, its MERGE among them, for five minutes.
 */
import { assertGreater } from "@std/assert";
import { withTempDir } from "../../support/command_context.ts";
import { assertFiltersFind, bySpark } from "../readers/pruning.ts";
import { tableUnderFire } from "./fire.ts";

const minutes = Number(Deno.args[0] ?? 5);
await assertFiltersFind("Spark", bySpark);
await withTempDir(async (folder) => {
  const { optimized: { versions, ...optimized }, ...report } = await tableUnderFire(folder, {
    seconds: minutes * 60,
    spark: true,
  });
  console.log(
    JSON.stringify({ minutes, ...report, optimizeVersions: versions.length, ...optimized }, null, 1),
  );
  assertGreater(report.merged, 0, "Spark's MERGE has committed");
  assertGreater(versions.length, 0, "OPTIMIZE has committed");
  console.log("Every row is there once, in its newest revision.");
});
