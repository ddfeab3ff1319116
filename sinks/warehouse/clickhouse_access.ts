/** A ClickHouse, wherever it is: a client, and the way a Parquet file gets into it. */
import { type ClickHouseClient, ClickHouseLogLevel, createClient } from "@clickhouse/client";
import { Buffer } from "node:buffer";
import { Readable } from "node:stream";
import { httpPool } from "../http_pool.ts";
import { ChdbConnection } from "./chdb_connection.ts";
import type { RequestSettings } from "./chdb_protocol.ts";
import { clustered } from "./cluster.ts";
import { sqlName, sqlText } from "./ddl.ts";

/** One INSERT … SELECT from the file. */
export interface FileInsert {
  /** The statement, given the table function that reads the file. Its first line says what it is, and is short. */
  sql(source: string): string;
  readonly settings: RequestSettings;
}

/** What the warehouse needs of a ClickHouse. */
export interface ClickHouseAccess {
  readonly client: ClickHouseClient;
  /** Where it is, for sentences. */
  readonly location: string;
  readonly database: string;
  /** Whose nodes all get the tables; null for one server. */
  readonly cluster: string | null;
  /** Creates the database, which may exist by now. */
  createDatabase(): Promise<void>;
  /** Removes what an earlier process left behind. */
  prepare(): Promise<void>;
  /** Runs the inserts in order, each reading the whole file. */
  insertFile(parquet: Uint8Array, structure: string, inserts: readonly FileInsert[]): Promise<void>;
}

/** A ClickHouse server, by `CLICKHOUSE_URL` and its companions. */
export interface HttpOptions {
  readonly url: string;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  /** How long the server may be silent before a request fails, milliseconds. */
  readonly requestTimeoutMs: number;
  /** PEM of the authorities to trust; the well-known ones by default. */
  readonly tlsCa?: string | null;
  /** The cluster to make the tables on; null or absent for one server. */
  readonly cluster?: string | null;
}

/** The embedded ClickHouse, by a port that `chdb_worker.ts` serves. */
export interface ChdbOptions {
  /** Owned by the access from now on. */
  readonly port: MessagePort;
  /** The worker's data folder; Parquet files are put below it for the time of their insert. */
  readonly folder: string;
  readonly database: string;
}

// Failures come as rejections, and the program logs them itself.
const QUIET = { level: ClickHouseLogLevel.OFF };

/** Requests of one client at once; more of them wait for a connection. */
const CONNECTIONS_MAX = 10;

/** An idle connection is closed by us, before a server does it (its `keep_alive_timeout` is 3 s or more). */
const IDLE_CONNECTION_MS = 2_500;

/** The client leaves it out of the request, which then means the user's own default: from there others are made. */
const DEFAULT_DATABASE = "default";

function httpClient(options: HttpOptions, database: string): ClickHouseClient {
  return createClient({
    url: options.url,
    username: options.user,
    password: options.password,
    database,
    request_timeout: options.requestTimeoutMs,
    application: "sessionary",
    compression: { response: true, request: false }, // Parquet is compressed already.
    keep_alive: { enabled: true, idle_socket_ttl: IDLE_CONNECTION_MS },
    http_agent: httpPool({
      secure: new URL(options.url).protocol === "https:",
      connectionsMax: CONNECTIONS_MAX,
      tlsCa: options.tlsCa,
    }),
    log: QUIET,
  });
}

function createDatabaseStatement(database: string): string {
  return `CREATE DATABASE IF NOT EXISTS ${sqlName(database)}`;
}

/** Connects to nothing yet: the first request does. */
export function httpAccess(options: HttpOptions): ClickHouseAccess {
  const client = httpClient(options, options.database);
  return {
    client,
    location: new URL(options.url).origin,
    database: options.database,
    cluster: options.cluster ?? null,
    async createDatabase() {
      // A request that names a missing database is refused, whatever it asks for.
      await using outside = httpClient(options, DEFAULT_DATABASE);
      const statement = clustered(createDatabaseStatement(options.database), options.cluster ?? null);
      await outside.command({ query: statement });
    },
    prepare: () => Promise.resolve(),
    async insertFile(parquet, structure, inserts) {
      for (const { sql, settings } of inserts) {
        const { firstLine, rest } = splitStatement(sql(`input(${sqlText(structure)})`));
        const body = [Buffer.from(`${rest}\nFORMAT Parquet\n`), asBuffer(parquet)];
        const { stream } = await client.exec({
          query: firstLine,
          values: Readable.from(body, { objectMode: false }),
          clickhouse_settings: { ...settings, wait_end_of_query: 1 },
        });
        // The answer has no rows; reading it to its end frees the connection.
        for await (const _ of stream);
      }
    },
  };
}

/**
 * The client puts a statement with a body into the URL, which would be longer than many a proxy allows (8 KiB). A
 * server reads `query`, a line break and the body as one text (ClickHouse, "HTTP Interface"), so only the first line
 * goes there: in the logs of whatever is between it says what the request does.
 */
function splitStatement(sql: string): { firstLine: string; rest: string } {
  const end = sql.indexOf("\n");
  return { firstLine: sql.slice(0, end), rest: sql.slice(end + 1) };
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Over the worker's port. Parquet can't pass through chDB's own connection: it goes by way of a file. */
export function chdbAccess({ port, folder, database }: ChdbOptions): ClickHouseAccess {
  const connection = new ChdbConnection({ port, database });
  const client = createClient({ connection, log: QUIET });
  const incoming = `${folder}/incoming`;
  return {
    client,
    location: folder,
    database,
    cluster: null,
    async createDatabase() {
      await connection.command({ query: createDatabaseStatement(database), database: DEFAULT_DATABASE });
    },
    async prepare() {
      await Deno.mkdir(incoming, { recursive: true });
      for await (const { name } of Deno.readDir(incoming)) await Deno.remove(`${incoming}/${name}`);
    },
    async insertFile(parquet, structure, inserts) {
      const path = await Deno.makeTempFile({ dir: incoming, suffix: ".parquet" });
      try {
        await Deno.writeFile(path, parquet);
        const source = `file(${sqlText(await Deno.realPath(path))}, Parquet, ${sqlText(structure)})`;
        for (const { sql, settings } of inserts) {
          await client.command({ query: sql(source), clickhouse_settings: settings });
        }
      } finally {
        await Deno.remove(path);
      }
    },
  };
}
