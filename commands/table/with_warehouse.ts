/** The ClickHouse that the configuration names, for commands that ask it what it has. */
import { startEmbeddedWarehouse } from "../../actors/supervisor.ts";
import type { Config } from "../../schema/config.ts";
import { dataPaths } from "../../schema/data_paths.ts";
import type { Warehouse } from "../../sinks/sink.ts";
import type { ClickHouseAccess } from "../../sinks/warehouse/clickhouse_access.ts";
import { createWarehouse } from "../../sinks/warehouse/clickhouse_warehouse.ts";
import { openAccess } from "../../sinks/warehouse/open.ts";
import type { CommandContext } from "../context.ts";
import { openDataDir } from "../data_dir.ts";

/** It, and the way to it. */
export interface OpenedWarehouse {
  readonly warehouse: Warehouse;
  readonly access: ClickHouseAccess;
}

/**
 * Does some work with it. The embedded one answers no other process, so no pipeline of this data directory may run.
 *
 * @throws {UserError} while the embedded ClickHouse is in use
 */
export async function withWarehouse(
  config: Config,
  context: CommandContext,
  work: (opened: OpenedWarehouse) => Promise<void>,
): Promise<void> {
  if (config.clickhouseUrl !== null) {
    const access = openAccess(config, null);
    const warehouse = createWarehouse({ access });
    return await work({ warehouse, access }).finally(() => warehouse.close());
  }
  const dataDir = await openDataDir({ path: config.dataDir, pid: context.pid });
  try {
    const embedded = await startEmbeddedWarehouse(dataPaths(config.dataDir).warehouse);
    const access = openAccess(config, embedded.connect());
    const warehouse = createWarehouse({ access });
    try {
      await warehouse.open();
      await work({ warehouse, access });
    } finally {
      await warehouse.close();
      await embedded.close();
    }
  } finally {
    await dataDir.release();
  }
}
