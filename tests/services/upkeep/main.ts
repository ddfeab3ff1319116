/** `deno task test:upkeep [MINUTES]`: a table under the fire of four writers, Spark's MERGE among them, for five minutes. */
import { withTempDir } from "../../support/command_context.ts";
import { tableUnderFire } from "./fire.ts";

const minutes = Number(Deno.args[0] ?? 5);
await withTempDir(async (folder) => {
  const { optimized: { versions, ...optimized }, ...report } = await tableUnderFire(folder, {
    seconds: minutes * 60,
    spark: true,
  });
  console.log(
    JSON.stringify({ minutes, ...report, optimizeVersions: versions.length, ...optimized }, null, 1),
  );
  console.log("Every row is there once, in its newest revision.");
});
