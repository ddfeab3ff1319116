/** Rebuilds ClickHouse from the Delta log: what is wrong there can always be thrown away. */
import { ANALYTICS } from "../warehouse/analytics.ts";
import { clustered } from "../warehouse/cluster.ts";
import type { VerifyDeps } from "./verify.ts";

/** Versions read from the log at once. */
const VERSIONS_PER_READ = 100;

/**
 * Drops the tables, makes them anew, and inserts every version again. Readers see an incomplete warehouse meanwhile.
 *
 * @param progress told the versions done, of how many
 */
export async function rebuildWarehouse(
  { lake, warehouse, access }: VerifyDeps,
  progress: (done: number, of: number) => void,
): Promise<void> {
  const { tableId, version } = await lake.open();
  const names = [
    ...ANALYTICS.flatMap(({ name }) => [`${name}_mv`, name]),
    "sessions",
    "session_metrics",
    "followed_versions",
    "schema_migrations",
  ];
  for (const name of names) {
    const query = clustered(`DROP TABLE IF EXISTS ${name} SYNC`, access.cluster);
    await access.client.command({ query });
  }
  await warehouse.open();
  for (let from = 0; from <= version; from += VERSIONS_PER_READ) {
    const count = Math.min(VERSIONS_PER_READ, version + 1 - from);
    const changes = await lake.changes(Array.from({ length: count }, (_, i) => from + i));
    for (const { version, files } of changes) {
      await warehouse.follow(tableId, version, await lake.encodeVersion(files));
    }
    progress(from + count, version + 1);
  }
}
