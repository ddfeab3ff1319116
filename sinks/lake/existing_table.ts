/** Opens the Delta table that is there, for who looks after it. */
import { UserError } from "../../schema/errors.ts";
import type { DeltaLog } from "./delta_log.ts";
import type { Snapshot } from "./delta_snapshot.ts";
import { DeltaTable } from "./delta_table.ts";

/**
 * Reads the table anew.
 *
 * @param now wall clock, epoch milliseconds
 * @throws {UserError} where there is none
 */
export async function openExistingTable(
  log: DeltaLog,
  now: () => number,
): Promise<{ readonly table: DeltaTable; readonly snapshot: Snapshot }> {
  const table = new DeltaTable({
    log,
    now,
    onCommit: () => {},
    // The next writer's is as good.
    onCheckpointFailure: () => {},
  });
  const snapshot = await table.openExisting();
  if (snapshot !== null) return { table, snapshot };
  throw new UserError(`There is no Delta table at '${log.location}' yet: run the pipeline first.`);
}
