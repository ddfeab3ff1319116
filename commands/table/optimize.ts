/** `sessionary table optimize`: packs the table's small files, beside whoever writes to it. */
import type { Config } from "../../schema/config.ts";
import { openLake } from "../../sinks/lake/open.ts";
import { type Bin, optimizePlan } from "../../sinks/lake/optimize_plan.ts";
import type { CommandContext } from "../context.ts";
import { formatTable } from "../terminal.ts";

export interface OptimizeChoice {
  readonly date: string | null;
  readonly dryRun: boolean;
  readonly json: boolean;
}

/** Packs every small file that can't be revised any more, or says which it would. */
export async function optimizeTable(
  config: Config,
  { date, dryRun, json }: OptimizeChoice,
  context: CommandContext,
): Promise<void> {
  const { upkeep } = await openLake(config, { now: () => context.clock.now(), notice: context.warn });
  const plan = optimizePlan(config, context.clock.now(), { date, patient: false });
  if (dryRun) return showPlan(await upkeep.planOptimize(plan), json, context);
  const report = await upkeep.optimize(plan, context.stop);
  if (json) return context.print(JSON.stringify(report, null, 1));
  const { versions, filesRemoved, filesAdded, bytesRemoved, bytesAdded, conflicts, abandoned } = report;
  context.print(formatTable({
    columns: [
      "versions",
      "files before",
      "files after",
      "bytes before",
      "bytes after",
      "conflicts",
      "given up",
    ],
    rows: [[versions.length, filesRemoved, filesAdded, bytesRemoved, bytesAdded, conflicts, abandoned]],
  }));
}

function showPlan(bins: readonly Bin[], json: boolean, context: CommandContext): void {
  const planned = bins.map(({ sessionDate, files, bytes }) => ({ sessionDate, files: files.length, bytes }));
  if (json) return context.print(JSON.stringify(planned, null, 1));
  context.print(formatTable({
    columns: ["session_date", "files that become one", "bytes"],
    rows: planned.map(({ sessionDate, files, bytes }) => [sessionDate, files, bytes]),
  }));
}
