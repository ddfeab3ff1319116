/**
 * `query --as-of`: a named query over the Delta table as it was. The files of that version go into a ClickHouse of its own,
 * embedded and gone afterwards, so the answer comes from the very same tables, views and SQL as today's.
 */
import { systemClock } from "../actors/clock.ts";
import { startEmbeddedWarehouse } from "../actors/supervisor.ts";
import type { Config } from "../schema/config.ts";
import { dataPaths } from "../schema/data_paths.ts";
import type { DeltaLake } from "../sinks/lake/lake.ts";
import { openLake } from "../sinks/lake/open.ts";
import type { ChangedFile, Warehouse } from "../sinks/sink.ts";
import { createWarehouse } from "../sinks/warehouse/clickhouse_warehouse.ts";
import { openAccess } from "../sinks/warehouse/open.ts";
import { runNamedQuery } from "../sinks/warehouse/queries.ts";
import type { QueryResult } from "../web/query_service.ts";
import type { CommandContext } from "./context.ts";
import { openDataDir } from "./data_dir.ts";
import { DEAD_LETTERS_QUERY, deadLetterRows } from "./open_query_service.ts";
import { pickAsOf } from "./table/pick_version.ts";

/** Rows that are inserted at once; a file with more goes alone. */
const ROWS_PER_PART = 100_000;

/** Which query, over what the table was when. */
export interface AsOfQuery {
  readonly name: string;
  readonly limit: number;
  /** A version's number or a time. */
  readonly asOf: string;
}

/**
 * Runs a query over the table at a version, beside whoever writes to it.
 *
 * @throws {UserError} where there is no such version, or another such query runs in this data directory
 */
export async function queryAsOf(
  config: Config,
  { name, limit, asOf }: AsOfQuery,
  context: CommandContext,
): Promise<QueryResult> {
  const { lake } = await openLake(config, { now: systemClock.now, notice: context.warn });
  const version = await pickAsOf(lake.past, asOf);
  const { commit } = await lake.past.describe(version);
  const made = commit?.timestampMs ?? null;
  context.warn(`Version ${version}${made === null ? "" : `, of ${new Date(made).toISOString()}`}:`);
  if (name === DEAD_LETTERS_QUERY) return deadLetterRows(await lake.readDeadLetters(limit, version));
  const files = await lake.past.filesAt(version);
  return await withEmptyClickHouse(config, context, async (warehouse, client) => {
    await fill(warehouse, lake, files);
    return await runNamedQuery(client, name, { limit });
  });
}

type Client = Parameters<typeof runNamedQuery>[0];

/** A folder of its own: one such query at a time, and what a killed one has left is swept away by the next. */
async function withEmptyClickHouse<T>(
  config: Config,
  context: CommandContext,
  work: (warehouse: Warehouse, client: Client) => Promise<T>,
): Promise<T> {
  const scratch = await openDataDir({ path: `${config.dataDir}/as_of`, pid: context.pid });
  const own: Config = { ...config, dataDir: scratch.path, clickhouseUrl: null };
  const path = dataPaths(own.dataDir).warehouse;
  const sweep = () =>
    Deno.remove(path, { recursive: true }).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  try {
    await sweep();
    const embedded = await startEmbeddedWarehouse(path);
    const access = openAccess(own, embedded.connect());
    const warehouse = createWarehouse({ access });
    try {
      await warehouse.open();
      return await work(warehouse, access.client);
    } finally {
      await warehouse.close();
      await embedded.close();
      await sweep();
    }
  } finally {
    await scratch.release();
  }
}

/** Inserts the files, some at a time, as if each part were a version. */
async function fill(warehouse: Warehouse, lake: DeltaLake, files: readonly ChangedFile[]): Promise<void> {
  let part: ChangedFile[] = [];
  let [rows, parts] = [0, 0];
  const insert = async () => {
    await warehouse.follow("as-of", parts++, await lake.encodeVersion(part));
    [part, rows] = [[], 0];
  };
  for (const file of files) {
    const more = file.rows ?? ROWS_PER_PART;
    if (part.length > 0 && rows + more > ROWS_PER_PART) await insert();
    part.push(file);
    rows += more;
  }
  if (part.length > 0) await insert();
}
