import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { systemClock } from "../../actors/clock.ts";
import { runCommandLine } from "../../commands/command_line.ts";
import { verifyData } from "../../commands/verify.ts";
import type { Config } from "../../schema/config.ts";
import { UserError } from "../../schema/errors.ts";
import { recordingContext, withTempDir } from "../support/command_context.ts";
import { configOf, runToEnd, warehouseRows } from "../support/pipeline_run.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Small epochs, so that there are files to pack and late events find their sessions committed. */
const SMALL = { EPOCH_BYTES_MAX: "1MiB", MAILBOX_BYTES_MAX: "256KiB", REVISION_INTERVAL: "0ms" };

/** A command's output, some time from now. */
async function run(
  env: Record<string, string>,
  aheadMs: number,
  ...args: readonly string[]
): Promise<string> {
  const context = {
    ...recordingContext(env),
    clock: { ...systemClock, now: () => systemClock.now() + aheadMs },
  };
  await runCommandLine(args, context);
  return context.printed.join("\n");
}

async function verified(config: Config, repair = false): Promise<string> {
  const context = recordingContext();
  await verifyData(config, { json: false, repair }, context);
  return context.printed.join("\n");
}

Deno.test("a whole pipeline's table is packed, vacuumed and its log cleaned, and everything agrees after each", () =>
  withTempDir(async (dir) => {
    const env = { DATA_DIR: `${dir}/data`, ...SMALL };
    const config = configOf(env);
    for (const seed of ["3", "4"]) {
      await run(env, 0, "produce", "--events", "4000", "--seed", seed, "--late", "10", "--rate", "max");
      await runToEnd(config, seed === "4");
    }
    const answers = async () =>
      await warehouseRows(config, ["sessions", "brand_analytics", "session_summary"]);
    const before = await answers();

    await run(env, 0, "table", "optimize");
    assertEquals(
      JSON.parse(await run(env, HOUR_MS, "table", "optimize", "--date", "1999-01-01", "--dry-run", "--json")),
      [],
    );
    const planned: { files: number }[] = JSON.parse(
      await run(env, HOUR_MS, "table", "optimize", "--dry-run", "--json"),
    );
    assert(planned.length > 0);
    const packed = JSON.parse(await run(env, HOUR_MS, "table", "optimize", "--json"));
    assertEquals(packed.filesRemoved, planned.reduce((sum, { files }) => sum + files, 0));
    assertStringIncludes(await verified(config), "Everything agrees.");

    await assertRejects(
      () => run(env, 0, "table", "vacuum", "--retention", "1d"),
      UserError,
      "must be at least 7d",
    );
    assertEquals(JSON.parse(await run(env, 6 * DAY_MS, "table", "vacuum", "--json")).files, []);
    const listed = await run(env, 8 * DAY_MS, "table", "vacuum", "--dry-run");
    assertStringIncludes(listed, "sessions/session_date=");
    const vacuumed = JSON.parse(await run(env, 8 * DAY_MS, "table", "vacuum", "--json"));
    assert(vacuumed.files.length >= packed.filesRemoved);
    assertStringIncludes(await verified(config), "Everything agrees.");

    const cleaned = JSON.parse(await run(env, 40 * DAY_MS, "table", "vacuum", "--json"));
    const history: { version: number }[] = JSON.parse(await run(env, 0, "table", "history", "--json"));
    assertEquals(history.at(-1)!.version, cleaned.log.oldestVersion ?? 0);
    assertStringIncludes(await verified(config, true), "Everything agrees.");
    assertEquals(await answers(), before, "also where ClickHouse was filled anew");

    await run(env, 0, "produce", "--events", "500", "--seed", "6", "--rate", "max");
    await runToEnd(config, true);
    assertStringIncludes(await verified(config), "Everything agrees.");
  }));
