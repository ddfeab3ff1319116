/** A whole pipeline whose old dates leave: both sinks, the analytics, the ledger and the archive, and it goes on. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { systemClock } from "../../actors/clock.ts";
import { runCommandLine } from "../../commands/command_line.ts";
import { verifyData } from "../../commands/verify.ts";
import { UserError } from "../../schema/errors.ts";
import { openLake } from "../../sinks/lake/open.ts";
import { retentionOptions } from "../../sinks/lake/retention_plan.ts";
import { SimulatedFeed } from "../../sources/simulated_feed.ts";
import { Simulator, virtualTimeline } from "../../sources/simulator.ts";
import { ALL_FOLLOWED } from "../sinks/lake/upkeep_fixture.ts";
import { recordingContext, withTempDir } from "../support/command_context.ts";
import {
  configOf,
  deltaRows,
  feedTopic,
  ledgerOf,
  runToEnd,
  warehouseRows,
} from "../support/pipeline_run.ts";

const DAY_MS = 86_400_000;
/** So late events still make sessions, and a file waits as long before it leaves. */
const LATE = { ALLOWED_LATENESS: "30d" };
const AHEAD_MS = 40 * DAY_MS;
/** Four days before today, seen from then. */
const OLDER = ["--older-than", "44d"];
const SMALL = { EPOCH_BYTES_MAX: "1MiB", MAILBOX_BYTES_MAX: "256KiB", REVISION_INTERVAL: "0ms" };

/** What a command printed and warned of, some time from now. */
async function run(env: Record<string, string>, aheadMs: number, ...args: readonly string[]) {
  const context = {
    ...recordingContext(env),
    clock: { ...systemClock, now: () => systemClock.now() + aheadMs },
  };
  await runCommandLine(args, context);
  return { printed: context.printed.join("\n"), warned: context.warned.join("\n") };
}

Deno.test("old dates leave Delta and ClickHouse, the analytics keep their sums, verify agrees, and the pipeline goes on", () =>
  withTempDir(async (dir) => {
    const env = { DATA_DIR: `${dir}/data`, ARCHIVE_PREFIX: "cold", ...SMALL, ...LATE };
    const config = configOf(env);
    const feed = async (seed: number, daysAgo: number) => {
      const { timeline, readers } = virtualTimeline(2_000, Date.now() - daysAgo * DAY_MS);
      const simulator = new Simulator({ seed, timeline, readers });
      await feedTopic(config, new SimulatedFeed(simulator, { events: 2_000 }));
      await runToEnd(config);
    };
    const verified = async (repair = false) => {
      const context = recordingContext();
      await verifyData(config, { json: false, repair }, context);
      return context.printed.join("\n");
    };
    const answers = async () => await warehouseRows(config, ["brand_analytics", "session_summary"]);
    await feed(3, 10);
    await feed(4, 0);
    const [before, ledger, sums] = [await deltaRows(config), await ledgerOf(config), await answers()];
    const dates = [...new Set(before.map(({ session_date }) => session_date as string))].sort();
    assert(dates.length > 1);

    await assertRejects(
      () => run(env, 0, "table", "retain"),
      UserError,
      "--older-than or RETENTION must say",
    );
    const waits = await run(env, 0, "table", "retain", "--older-than", "4d");
    assertStringIncludes(waits.warned, "a late event could still amend their sessions");
    const planned = JSON.parse(
      (await run(env, AHEAD_MS, "table", "retain", ...OLDER, "--dry-run", "--json")).printed,
    );
    assertEquals(await deltaRows(config), before, "a dry run changes nothing");
    const retired = JSON.parse(
      (await run(env, AHEAD_MS, "table", "retain", ...OLDER, "--json")).printed,
    );
    const gone = before.filter(({ session_date }) => (session_date as string) < retired.horizon);
    assert(gone.length > 0 && gone.length < before.length);
    assertEquals(retired.dates, dates.filter((date) => date < retired.horizon));
    assertEquals([retired.rows, retired.clickhouse.rows >= gone.length], [gone.length, true]);
    assertEquals(
      [planned.dates, planned.files, planned.bytes, planned.clickhouse.rows],
      [retired.dates, retired.files, retired.bytes, retired.clickhouse.rows],
    );
    assert(retired.clickhouse.bytes > 0 && retired.clickhouse.uncompressedBytes > retired.clickhouse.bytes);
    assertEquals((await deltaRows(config)).length, before.length - gone.length);
    const report = await verified();
    assertStringIncludes(report, "Everything agrees.");
    assertStringIncludes(report, `before ${retired.horizon}`);
    assertEquals(await answers(), sums, "the analytics keep what left");
    assertEquals(await ledgerOf(config), ledger);

    await feed(5, 0);
    assertStringIncludes(await verified(), "Everything agrees.");
    // Another date older than the horizon comes late: both sinks have it until it leaves too.
    await feed(6, 8);
    const late = (await deltaRows(config)).filter(({ session_date }) =>
      (session_date as string) < retired.horizon
    );
    assert(late.length > 0);
    assertStringIncludes(await verified(), "Everything agrees.");
    const kept = await answers();
    assertStringIncludes(await verified(true), "Everything agrees.");
    assertEquals(await answers(), kept, "also where ClickHouse was filled anew");
    // Where the process dies after the commit, the next start's follower deletes the dates in ClickHouse.
    const now = () => systemClock.now() + AHEAD_MS;
    const { retention } = await openLake(config, { now, notice: () => {} });
    const again = await retention.retire(retentionOptions(config, now(), 44 * DAY_MS), ALL_FOLLOWED);
    assertEquals([again.horizon, again.rows], [retired.horizon, late.length]);
    await assertRejects(() => verified(), UserError, "Verification found");
    await runToEnd(config);
    assertStringIncludes(await verified(), "Everything agrees.");
    assertEquals(await answers(), kept);
    assertEquals(
      (await deltaRows(config)).every(({ session_date }) => (session_date as string) >= retired.horizon),
      true,
    );
  }));
