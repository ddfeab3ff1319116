/** What the sessions take in ClickHouse. */
import { startEmbeddedWarehouse } from "../actors/supervisor.ts";
import type { Config } from "../schema/config.ts";
import { dataPaths } from "../schema/data_paths.ts";
import { openAccess } from "../sinks/warehouse/open.ts";

/** Bytes on disk of `session_metrics`, merged to one part a month: a table that grows is merged by itself. */
export async function warehouseBytes(config: Config): Promise<number> {
  const embedded = config.clickhouseUrl === null
    ? await startEmbeddedWarehouse(dataPaths(config.dataDir).warehouse)
    : null;
  const { client } = openAccess(config, embedded?.connect() ?? null);
  try {
    await client.command({ query: "OPTIMIZE TABLE session_metrics FINAL" });
    const result = await client.query({
      query: `SELECT toFloat64(sum(bytes_on_disk)) AS bytes FROM system.parts
        WHERE active AND database = currentDatabase() AND table = 'session_metrics'`,
      format: "JSONEachRow",
    });
    return (await result.json<{ bytes: number }>())[0]!.bytes;
  } finally {
    await client.close();
    await embedded?.close();
  }
}
