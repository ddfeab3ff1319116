/** `sessionary query`: asks the process that holds the data directory, or opens the data itself. */
import { request } from "node:http";
import { Buffer } from "node:buffer";
import type { Config } from "../schema/config.ts";
import { EXIT, messageOf, UserError } from "../schema/errors.ts";
import type { SettingValues } from "../schema/setting.ts";
import { QUERY_ROWS_MAX, type QUERY_SETTINGS } from "../schema/settings.ts";
import { type QueryResult, type QueryService, rowObjects, unknownQuery } from "../web/query_service.ts";
import type { CommandContext } from "./context.ts";
import { type DataDir, type Holder, tryDataDir } from "./data_dir.ts";
import { formatTable } from "./terminal.ts";

const TABLE_ROWS_DEFAULT = 20;
/** A process that is just starting gets this long to begin answering: tries, and milliseconds between them. */
const TRIES_MAX = 40;
const TRY_INTERVAL_MS = 500;

/** What a table shows of a query that has more columns than a terminal. */
const TABLE_COLUMNS: Readonly<Record<string, readonly string[]>> = {
  sessions: [
    "session_id",
    "brand",
    "country",
    "device_type",
    "session_start",
    "session_duration_sec",
    "total_events",
    "article_views",
    "pages_visited_count",
    "close_reason",
  ],
  "dead-letters": ["partition", "offset", "timestamp", "reason", "detail", "value_text", "value_base64"],
};

export interface QueryOptions {
  readonly name: string;
  readonly config: Config;
  readonly settings: SettingValues<typeof QUERY_SETTINGS>;
  /** Opens the data where no process holds it; the service is closed after the query. */
  readonly openQueryService: (config: Config) => Promise<QueryService & AsyncDisposable>;
}

/**
 * Runs one named query and prints its result, as a table or as a JSON array of objects.
 *
 * @throws {UserError} where there is no such query, no data, or no answer
 */
export async function query(options: QueryOptions, context: CommandContext): Promise<void> {
  const { json } = options.settings;
  const limit = options.settings.limit ?? (json ? QUERY_ROWS_MAX : TABLE_ROWS_DEFAULT);
  const result = await answer(options, limit, context);
  if (json) return context.print(JSON.stringify(rowObjects(result), null, 1));
  const chosen = TABLE_COLUMNS[options.name] ?? result.columns;
  context.print(formatTable(selectColumns(result, chosen)));
  if (result.rows.length === 0) {
    return context.warn(options.settings.asOf === null ? "There are no rows yet." : "There were no rows.");
  }
  const hidden = result.columns.length - chosen.length;
  if (hidden > 0) context.warn(`${hidden} more columns: --json shows them.`);
  if (result.rows.length === limit) context.warn(`${limit} rows at most: --limit changes that.`);
}

async function answer(
  options: QueryOptions,
  limit: number,
  context: CommandContext,
): Promise<QueryResult> {
  const { name, config, settings: { asOf } } = options;
  if (asOf === null) return await fetchResult(options, limit, context);
  // Loaded only where it is used.
  const { queryAsOf } = await import("./query_as_of.ts");
  return await queryAsOf(config, { name, limit, asOf }, context);
}

async function fetchResult(
  { name, config, openQueryService }: QueryOptions,
  limit: number,
  context: CommandContext,
): Promise<QueryResult> {
  const { dataDir: path } = config;
  await requireFolder(path);
  for (let tries = 1;; tries++) {
    const attempt = await tryDataDir({ path, pid: context.pid });
    if (attempt.status === "taken") {
      return await queryHere(name, limit, attempt.dataDir, () => openQueryService(config));
    }
    const answer = await askHolder(attempt.holder, config.httpToken, name, limit);
    if (answer !== null) return answer;
    if (tries === TRIES_MAX || context.stop.aborted) throw noAnswer(path, attempt.holder);
    await context.clock.sleep(TRY_INTERVAL_MS, context.stop);
  }
}

async function requireFolder(path: string): Promise<void> {
  const info = await Deno.stat(path).catch(() => null);
  if (info?.isDirectory) return;
  throw new UserError(
    `DATA_DIR must be a folder that dev or run has written, and there is none at ${path}: ` +
      `start \`dev\` first, or set DATA_DIR.`,
  );
}

async function queryHere(
  name: string,
  limit: number,
  dataDir: DataDir,
  open: () => Promise<QueryService & AsyncDisposable>,
): Promise<QueryResult> {
  try {
    await using service = await open();
    if (!service.queries.some((query) => query.name === name)) {
      throw new UserError(unknownQuery(name, service.queries));
    }
    return await service.run(name, { limit });
  } finally {
    await dataDir.release();
  }
}

/** Asks the process that holds the data; null where it does not answer yet. */
async function askHolder(
  holder: Holder | null,
  token: string | null,
  name: string,
  limit: number,
): Promise<QueryResult | null> {
  if (!holder?.url) return null;
  const url = `${holder.url}/api/query/${encodeURIComponent(name)}?limit=${limit}`;
  const response = await httpGet(url, token).catch(() => null);
  if (response === null || response.status === 503) return null;
  const body = JSON.parse(response.body);
  if (response.status === 200) return body;
  const exitCode = response.status === 500 ? EXIT.sink : EXIT.usage;
  throw new UserError(String(body.error), exitCode);
}

function noAnswer(path: string, holder: Holder | null): UserError {
  const who = holder === null ? "another process" : `process ${holder.pid}`;
  return new UserError(
    `DATA_DIR ${path} is held by ${who}, which does not answer queries: it may be starting or stopping, ` +
      `so try again in a moment, or stop it.`,
    EXIT.busy,
  );
}

/** GET by `node:http`, which takes no proxy from the environment: the holder is on this machine. */
function httpGet(url: string, token: string | null): Promise<{ status: number; body: string }> {
  const headers = token === null ? {} : { authorization: `Bearer ${token}` };
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { headers }, (incoming) => {
      const chunks: Uint8Array[] = [];
      incoming.on("data", (chunk: Uint8Array) => chunks.push(chunk));
      incoming.on("error", reject);
      incoming.on("end", () => {
        resolve({ status: incoming.statusCode ?? 0, body: Buffer.concat(chunks).toString("utf8") });
      });
    });
    outgoing.on("error", (error) => reject(new Error(`GET ${url}: ${messageOf(error)}`)));
    outgoing.end();
  });
}

function selectColumns({ columns, rows }: QueryResult, chosen: readonly string[]): QueryResult {
  const indexes = chosen.map((column) => columns.indexOf(column));
  return { columns: chosen, rows: rows.map((row) => indexes.map((index) => row[index])) };
}
