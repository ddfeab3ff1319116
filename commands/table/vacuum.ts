/** `sessionary table vacuum`: deletes the files that left the table, and what its log needs no more. */
import type { Config } from "../../schema/config.ts";
import { openLake } from "../../sinks/lake/open.ts";
import type { FollowedVersions, TableUpkeep } from "../../sinks/lake/upkeep.ts";
import type { CommandContext } from "../context.ts";
import { formatTable } from "../terminal.ts";
import { withWarehouse } from "./with_warehouse.ts";

export interface VacuumChoice {
  /** Milliseconds; null: as the setting has it. */
  readonly retention: number | null;
  readonly forceShortRetention: boolean;
  readonly dryRun: boolean;
  readonly json: boolean;
}

/**
 * Vacuums the table and cleans its log, or lists what would go. ClickHouse is asked which versions it has: their files may
 * go. The embedded one answers no other process, so while a pipeline of this data directory runs, that one vacuums.
 *
 * @throws {UserError} for a retention that is too short, or while the embedded ClickHouse is in use
 */
export async function vacuumTable(
  config: Config,
  choice: VacuumChoice,
  context: CommandContext,
): Promise<void> {
  const { upkeep } = await openLake(config, { now: () => context.clock.now(), notice: context.warn });
  await withWarehouse(config, context, ({ warehouse }) => {
    const followed = (tableId: string) => warehouse.doneVersions(tableId);
    return work(upkeep, config, choice, followed, context);
  });
}

async function work(
  upkeep: TableUpkeep,
  config: Config,
  { retention, forceShortRetention: force, dryRun, json }: VacuumChoice,
  followed: FollowedVersions,
  context: CommandContext,
): Promise<void> {
  const options = { retentionMs: retention ?? config.vacuumRetentionMs, force };
  const { files, bytes } = dryRun
    ? await upkeep.planVacuum(options, followed)
    : await upkeep.vacuum(options, followed);
  const log = dryRun ? null : await upkeep.cleanLog(followed);
  if (json) return context.print(JSON.stringify({ files, bytes, log }, null, 1));
  if (dryRun) files.forEach((file) => context.print(file));
  context.print(formatTable({
    columns: [dryRun ? "files that would go" : "files deleted", "bytes", "log files deleted"],
    rows: [[files.length, bytes, log?.filesDeleted ?? null]],
  }));
}
