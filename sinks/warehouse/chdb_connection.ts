/**
 * `@clickhouse/client`'s connection seam over a message port to `chdb_worker.ts`: the client works as it does over
 * HTTP, on any thread, with settings and parameters that hold for one request.
 */
import { Readable } from "node:stream";
import { Buffer } from "node:buffer";
import { type ClickHouseClientConfigOptions, ClickHouseError, parseError } from "@clickhouse/client";
import { SinkError } from "../../schema/errors.ts";
import type { ChdbRequest, ChdbResponse, Lane, RequestSettings } from "./chdb_protocol.ts";

// The client doesn't export the seam's types by name, but its options have them.
type Connection = NonNullable<ClickHouseClientConfigOptions["connection"]>;
type ConnBaseQueryParams = Parameters<Connection["query"]>[0];
type ConnExecParams = Parameters<Connection["exec"]>[0];
type ConnInsertParams = Parameters<Connection["insert"]>[0];
type ConnQueryResult = Awaited<ReturnType<Connection["query"]>>;
type ConnCommandResult = Awaited<ReturnType<Connection["command"]>>;
type ConnExecResult = Awaited<ReturnType<Connection["exec"]>>;
type ConnInsertResult = Awaited<ReturnType<Connection["insert"]>>;
type ConnPingResult = Awaited<ReturnType<Connection["ping"]>>;

type Succeeded = Extract<ChdbResponse, { ok: true }>;

/** A request under way. */
interface Pending {
  resolve(response: Succeeded): void;
  reject(error: Error): void;
}

/** Where the connection's requests go. */
export interface ChdbConnectionOptions {
  /** A port that `chdb_worker.ts` serves; the connection owns it from now on. */
  readonly port: MessagePort;
  /** The database that unqualified names mean. */
  readonly database: string;
}

/**
 * Embedded ClickHouse as a connection of the client: `createClient({ connection: new ChdbConnection(…) })`.
 * A result is buffered whole. Inserts with a body take text formats; Parquet goes in through `file()`.
 */
export class ChdbConnection implements Connection {
  readonly #port: MessagePort;
  readonly #database: string;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;
  #closed = false;

  constructor({ port, database }: ChdbConnectionOptions) {
    this.#port = port;
    this.#database = database;
    port.onmessage = ({ data }: MessageEvent<ChdbResponse>) => this.#settle(data);
  }

  async query(params: ConnBaseQueryParams): Promise<ConnQueryResult> {
    const response = await this.#request("read", params, params.query);
    return { ...headers(params), stream: readable(response.bytes) };
  }

  /** `database`, where given, is in force for this command instead of the connection's own. */
  async command(params: ConnBaseQueryParams & { readonly database?: string }): Promise<ConnCommandResult> {
    const response = await this.#request("write", params, params.query, params.database);
    return { ...headers(params), summary: summary(response) };
  }

  async exec(params: ConnExecParams): Promise<ConnExecResult> {
    const sql = params.values === undefined ? params.query : `${params.query}\n${await text(params.values)}`;
    const response = await this.#request("write", params, sql);
    return { ...headers(params), stream: readable(response.bytes), summary: summary(response) };
  }

  async insert(params: ConnInsertParams): Promise<ConnInsertResult> {
    const body = typeof params.values === "string" ? params.values : await text(params.values);
    if (body.length === 0) return headers(params); // The engine refuses a body without rows; a server accepts it.
    const response = await this.#request("write", params, `${params.query}\n${body}`);
    return { ...headers(params), summary: summary(response) };
  }

  async ping(): Promise<ConnPingResult> {
    try {
      await this.#request("read", {}, "SELECT 1");
      return { success: true };
    } catch (error) {
      return { success: false, error: error as Error };
    }
  }

  /** Ends the connection, not the engine; requests under way are rejected. */
  close(): Promise<void> {
    this.#closed = true;
    this.#port.close();
    for (const { reject } of this.#pending.values()) reject(closedError());
    this.#pending.clear();
    return Promise.resolve();
  }

  #request(
    lane: Lane,
    params: Partial<ConnBaseQueryParams>,
    sql: string,
    database = this.#database,
  ): Promise<Succeeded> {
    if (this.#closed) return Promise.reject(closedError());
    const request: ChdbRequest = {
      id: ++this.#lastId,
      lane,
      database,
      sql,
      params: params.query_params ?? {},
      settings: plainSettings(params.clickhouse_settings ?? {}),
    };
    return new Promise((resolve, reject) => {
      this.#pending.set(request.id, { resolve, reject });
      this.#port.postMessage(request);
    });
  }

  #settle(response: ChdbResponse): void {
    const pending = this.#pending.get(response.id);
    if (pending === undefined) return; // Rejected meanwhile, by `close`.
    this.#pending.delete(response.id);
    if (response.ok) return pending.resolve(response);
    const error = parseError(response.message);
    // Over HTTP a failure without a code passes; here there is nothing on the way that could have written it.
    pending.reject(error instanceof ClickHouseError ? error : new SinkError(error.message, false));
  }
}

function closedError(): Error {
  return new SinkError("The connection to the embedded ClickHouse is closed.", false);
}

/** Settings as the engine takes them: an unset one is left out, a map is written as ClickHouse writes it. */
function plainSettings(settings: NonNullable<ConnBaseQueryParams["clickhouse_settings"]>): RequestSettings {
  const plain: Record<string, string | number | boolean> = {};
  for (const [name, value] of Object.entries(settings)) {
    if (value === undefined) continue;
    plain[name] = typeof value === "object" ? value.toString() : value;
  }
  return plain;
}

function headers(params: Partial<ConnBaseQueryParams>) {
  return { query_id: params.query_id ?? crypto.randomUUID(), response_headers: {}, http_status_code: 200 };
}

function summary({ rowsRead, bytesRead, elapsedSeconds }: Succeeded) {
  return {
    read_rows: String(rowsRead),
    read_bytes: String(bytesRead),
    written_rows: "0",
    written_bytes: "0",
    result_rows: "0",
    result_bytes: "0",
    total_rows_to_read: "0",
    elapsed_ns: String(Math.round(elapsedSeconds * 1e9)),
  };
}

function readable(bytes: Uint8Array<ArrayBuffer>): Readable {
  const stream = Readable.from([Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)], {
    objectMode: false,
  });
  // The client destroys an unread result with an error of its own, which nobody else would hear.
  stream.on("error", () => {});
  return stream;
}

/** The body of an insert, which becomes part of the statement's text. */
async function text(values: Readable): Promise<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  try {
    let body = "";
    for await (const chunk of values) {
      body += typeof chunk === "string" ? chunk : decoder.decode(chunk as Uint8Array, { stream: true });
    }
    return body + decoder.decode();
  } catch (error) {
    throw new Error(
      "The embedded ClickHouse takes an insert's body as UTF-8 text, and this one isn't: write it to a file and " +
        "insert from file().",
      { cause: error },
    );
  }
}
