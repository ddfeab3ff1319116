/** Rebuilds ClickHouse from the Delta table as it is now: what is wrong there can always be thrown away. */
import { ANALYTICS } from "../warehouse/analytics.ts";
import { clustered } from "../warehouse/cluster.ts";
import { putRetiredSumsBack, setRetiredSumsAside } from "./retired_sums.ts";
import type { VerifyDeps } from "./verify.ts";

/** Versions from one word of the progress to the next. */
const VERSIONS_PER_WORD = 100;

/**
 * Drops the tables, makes them anew, and inserts the newest version's files. Earlier versions are not asked for: their
 * files may be vacuumed. What the analytics know of dates that left the lake is kept. Readers see an incomplete warehouse
 * meanwhile.
 *
 * @param progress told the versions done, of how many
 */
export async function rebuildWarehouse(
  { lake, warehouse, access }: VerifyDeps,
  progress: (done: number, of: number) => void,
): Promise<void> {
  const { tableId } = await lake.open();
  const horizon = await lake.horizon();
  if (horizon !== null) await setRetiredSumsAside(access, horizon);
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
  const shares = await lake.shareOut();
  for (const { version, files } of shares) {
    await warehouse.follow(tableId, version, await lake.encodeVersion(files));
    const done = version + 1;
    if (done % VERSIONS_PER_WORD === 0 || done === shares.length) progress(done, shares.length);
  }
  if (horizon !== null) await putRetiredSumsBack(access, horizon);
}
