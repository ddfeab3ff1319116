import { assert, assertEquals } from "@std/assert";
import { Upkeep } from "../../actors/upkeep.ts";
import { SinkError } from "../../schema/errors.ts";
import { NOTHING_OPTIMIZED } from "../../sinks/lake/optimize_report.ts";
import type { Retirement } from "../../sinks/lake/retention.ts";
import { startPipeline } from "../../actors/supervisor.ts";
import { systemClock } from "../../actors/clock.ts";
import { withTempDir } from "../support/command_context.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { configOf } from "../support/pipeline_run.ts";

const MINUTE_MS = 60_000;

const NOTHING_RETIRED: Retirement = {
  tableId: "table",
  version: null,
  horizon: "2024-01-02",
  dates: [],
  waiting: [],
  unfollowed: null,
  files: 0,
  rows: 0,
  bytes: 0,
  archived: false,
};
/** What each look for old dates finds, the first one being 1. */
const RETIRED: Readonly<Record<number, Retirement>> = {
  1: { ...NOTHING_RETIRED, dates: ["2024-01-01"], unfollowed: 5 },
  2: { ...NOTHING_RETIRED, dates: ["2024-01-01"], version: 7, files: 2, rows: 30, bytes: 400 },
};

function upkeepWorld(env: Record<string, string> = {}) {
  const clock = new FakeClock();
  const did: string[] = [];
  const notices: string[] = [];
  const fail = { next: false };
  const pack = () => {
    did.push("optimize");
    if (fail.next) return Promise.reject(new SinkError("The store is away.", true));
    return Promise.resolve({ ...NOTHING_OPTIMIZED, filesRemoved: 5, filesAdded: 1, conflicts: 2 });
  };
  const table = {
    vacuum() {
      did.push("vacuum");
      return Promise.resolve({ files: ["a", "b"], bytes: 70 });
    },
    cleanLog() {
      did.push("clean");
      return Promise.resolve({ filesDeleted: 9, oldestVersion: 10 });
    },
    retire() {
      did.push("retire");
      return Promise.resolve(RETIRED[did.filter((one) => one === "retire").length] ?? NOTHING_RETIRED);
    },
  };
  const upkeep = new Upkeep({
    config: configOf(env),
    clock,
    pack,
    openTable: () => Promise.resolve(table),
    notice: (level, text) => notices.push(`${level}: ${text}`),
  });
  return { clock, did, notices, fail, upkeep };
}

Deno.test("it packs, vacuums and cleans by its intervals, and counts what came of it", async () => {
  const { clock, did, upkeep } = upkeepWorld();
  const stop = new AbortController();
  const running = upkeep.run(stop.signal);
  for (let step = 0; step < 300; step++) await clock.advance(10 * MINUTE_MS);
  stop.abort();
  await running;
  const times = (what: string) => did.filter((one) => one === what).length;
  assertEquals([times("optimize"), times("vacuum"), times("clean")], [300, 2, 8]);
  const { optimizeRuns, filesRemoved, conflicts, filesVacuumed, bytesVacuumed, logFilesDeleted } =
    upkeep.stats;
  assertEquals([optimizeRuns, filesRemoved, conflicts], [1, 5, 2].map((n) => n * times("optimize")));
  assertEquals([filesVacuumed, bytesVacuumed], [2, 70].map((n) => n * times("vacuum")));
  assertEquals(logFilesDeleted, 9 * times("clean"));
});

Deno.test("an interval of 0 is never", async () => {
  const { clock, did, upkeep } = upkeepWorld({ VACUUM_INTERVAL: "0" });
  const stop = new AbortController();
  const running = upkeep.run(stop.signal);
  for (let day = 0; day < 3; day++) await clock.advance(24 * 60 * MINUTE_MS);
  stop.abort();
  await running;
  assertEquals(did.includes("vacuum"), false);
  assert(did.includes("optimize"));
});

Deno.test("old dates are looked for every hour where they are to leave, and what came of it is told", async () => {
  const { clock, did, notices, upkeep } = upkeepWorld({ RETENTION: "30d" });
  const stop = new AbortController();
  const running = upkeep.run(stop.signal);
  for (let step = 0; step < 36; step++) await clock.advance(10 * MINUTE_MS);
  stop.abort();
  await running;
  assertEquals(did.filter((one) => one === "retire").length, 6);
  assertEquals(notices, [
    "warning: 1 old dates stay for now: ClickHouse has not followed version 5, which changed them.",
    "info: Retired 1 dates up to 2024-01-01 as version 7: 30 rows, 2 files, 400 bytes.",
  ]);
});

Deno.test("what fails is told, and tried again the next time", async () => {
  const { clock, did, notices, fail, upkeep } = upkeepWorld({ VACUUM_INTERVAL: "0" });
  const stop = new AbortController();
  const running = upkeep.run(stop.signal);
  fail.next = true;
  await clock.advance(16 * MINUTE_MS);
  fail.next = false;
  await clock.advance(16 * MINUTE_MS);
  stop.abort();
  await running;
  assert(did.length >= 2);
  const told =
    "warning: Packing the Delta table's small files failed and is tried again later: The store is away.";
  assertEquals(notices[0], told);
  assertEquals(upkeep.stats.failures, notices.length);
});

Deno.test("a pipeline that runs has an upkeep actor of its own, unless it has nothing to do", () =>
  withTempDir(async (dir) => {
    for (
      const [env, has] of [[{ OPTIMIZE_INTERVAL: "50ms" }, true], [{
        OPTIMIZE_INTERVAL: "0",
        VACUUM_INTERVAL: "0",
      }, false]] as const
    ) {
      const config = configOf({ DATA_DIR: `${dir}/data`, EPOCH_INTERVAL: "100ms", ...env });
      const pipeline = await startPipeline({ config, untilEnd: false, closeOpen: false });
      assertEquals(pipeline.stats().pulses.some(({ name }) => name === "upkeep"), has);
      while (has && (pipeline.stats().upkeep?.optimizeRuns ?? 0) === 0) await systemClock.sleep(20);
      pipeline.drain();
      await pipeline.finished;
    }
  }));
