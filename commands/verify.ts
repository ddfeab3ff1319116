/** `sessionary verify`: proves that Delta, ClickHouse, the analytics and the ledger agree; with --repair, after a rebuild. */
import { systemClock } from "../actors/clock.ts";
import { startEmbeddedWarehouse } from "../actors/supervisor.ts";
import type { Config } from "../schema/config.ts";
import { dataPaths } from "../schema/data_paths.ts";
import { EXIT, UserError } from "../schema/errors.ts";
import type { SettingValues } from "../schema/setting.ts";
import type { VERIFY_SETTINGS } from "../schema/settings.ts";
import { openLake } from "../sinks/lake/open.ts";
import { rebuildWarehouse } from "../sinks/verification/repair.ts";
import { differencesOf, type Verification, verify } from "../sinks/verification/verify.ts";
import { createWarehouse } from "../sinks/warehouse/clickhouse_warehouse.ts";
import { openAccess } from "../sinks/warehouse/open.ts";
import type { CommandContext } from "./context.ts";
import { openDataDir } from "./data_dir.ts";
import { formatTable } from "./terminal.ts";

/**
 * Verifies the data that the configuration names. No pipeline of this data directory may run meanwhile.
 *
 * @throws {UserError} with exit code 1 where something does not agree; where there is no table
 */
export async function verifyData(
  config: Config,
  { json, repair }: SettingValues<typeof VERIFY_SETTINGS>,
  context: CommandContext,
): Promise<void> {
  const dataDir = await openDataDir({ path: config.dataDir, pid: context.pid });
  try {
    const found = await withSinks(config, context, async (deps) => {
      if (repair) {
        await rebuildWarehouse(deps, (done, of) => context.warn(`Rebuilt ${done} of ${of} versions.`));
      }
      return await verify(deps);
    });
    const differences = differencesOf(found);
    context.print(json ? JSON.stringify({ ...found, differences }, null, 2) : report(found, differences));
    if (differences.length === 0) return;
    const mend = found.ledger.differences.length === 0
      ? " `verify --repair` rebuilds ClickHouse from Delta."
      : "";
    throw new UserError(`Verification found ${differences.length} differences.${mend}`, EXIT.different);
  } finally {
    await dataDir.release();
  }
}

async function withSinks<T>(
  config: Config,
  context: CommandContext,
  work: (deps: Parameters<typeof verify>[0]) => Promise<T>,
): Promise<T> {
  const { lake } = await openLake(config, { now: systemClock.now, notice: context.warn });
  await lake.summary(); // Throws where there is no table: nothing to compare is not nothing that differs.
  const embedded = config.clickhouseUrl === null
    ? await startEmbeddedWarehouse(dataPaths(config.dataDir).warehouse)
    : null;
  const access = openAccess(config, embedded?.connect() ?? null);
  const warehouse = createWarehouse({ access });
  try {
    await warehouse.open();
    return await work({ lake, warehouse, access });
  } finally {
    await warehouse.close();
    await embedded?.close();
  }
}

/** The findings as a person reads them: rows, analytics, ledger, and what does not agree. */
function report(
  { version, days, views, ledger, horizon }: Verification,
  differences: readonly string[],
): string {
  const verdict = (differing: number) => differing === 0 ? "equal" : `${differing} differ`;
  const sum = (pick: (day: Verification["days"][number]) => number) =>
    days.reduce((total, day) => total + pick(day), 0);
  const rows = formatTable({
    columns: ["Delta version", "rows in Delta", "rows in ClickHouse", "verdict"],
    rows: [[
      version,
      sum((day) => day.deltaRows),
      sum((day) => day.clickhouseRows),
      verdict(sum((day) => day.differing)),
    ]],
  });
  const analytics = formatTable({
    columns: ["analytics", "groups", "verdict"],
    rows: views.map(({ name, groups, differing }) => [name, groups, verdict(differing)]),
  });
  const books = formatTable({
    columns: [
      "partition",
      "barriers",
      "from",
      "to",
      "consumed",
      "in sessions",
      "duplicates",
      "dead letters",
      "held",
      "retired",
    ],
    rows: ledger.partitions.map(({ partition, barriers, from, to, ledger: totals, retired }) => [
      partition,
      barriers,
      from,
      to,
      totals.consumed,
      totals.inSessions,
      totals.duplicates,
      totals.deadLetters,
      totals.held,
      retired,
    ]),
  });
  const left = horizon === null ? [] : [
    `Sessions of dates before ${horizon} were retired. The analytics keep their sums, which nothing is there to compare ` +
    "with: they were compared from that date on.",
  ];
  const end = differences.length === 0 ? "Everything agrees." : differences.join("\n");
  return [rows, analytics, books, ...left, end].join("\n\n");
}
