/**
 * A thin HTTP front over real chDB, in a process of its own: ClickHouse's engine behind as much of ClickHouse's HTTP
 * interface as `@clickhouse/client` and the warehouse use. What it is not: a server. Statements of one kind (reads,
 * writes) run one at a time, there are no sessions, roles or users but the one, no multipart bodies, and a body of
 * Parquet is put into a file below the data folder and read by `file()`, because chDB takes no bytes for `input()`.
 *
 * Its first line of input is a {@linkcode FrontOptions} as JSON; it answers with a {@linkcode FrontReady}. It ends
 * with its input, so that it never outlives the tests, or by SIGTERM.
 */
import { gunzipSync, gzipSync } from "node:zlib";
import { messageOf } from "../../../schema/errors.ts";
import { ChdbEngine, type EngineResult } from "../../../sinks/warehouse/chdb_engine.ts";
import {
  isRead,
  readFromFile,
  splitRequest,
  type Statement,
  unescapeParameter,
} from "./clickhouse_statement.ts";

/** What a front is told when it starts. */
export interface FrontOptions {
  readonly folder: string;
  /** 0: a free one. */
  readonly port: number;
  readonly user: string;
  readonly password: string;
}

/** What it says when it can be asked, or why it can't. */
export type FrontReady = { readonly port: number } | { readonly failure: string };

/** Parameters of the interface itself; every other one is a setting, or a statement's parameter. */
const INTERFACE_PARAMETERS = new Set([
  "query",
  "query_id",
  "database",
  "default_format",
  "user",
  "password",
  "wait_end_of_query",
  "enable_http_compression",
]);

/** Parameters that a server would heed and this front can't. */
const REFUSED_PARAMETERS = ["session_id", "role", "compress", "decompress"];

/** An exception as a server words it. */
class Exception extends Error {
  constructor(readonly code: number, name: string, text: string) {
    super(`Code: ${code}. DB::Exception: ${text}. (${name}) (version of chDB)`);
  }
}

/** The status that a server gives an exception. */
function statusOf(code: number): number {
  if (code === 194) return 401;
  if ([192, 193, 497, 516].includes(code)) return 403;
  if ([46, 47, 50, 60, 73, 81, 115].includes(code)) return 404;
  if ([6, 27, 36, 43, 53, 62, 117].includes(code)) return 400;
  return code === 48 ? 501 : 500;
}

function checkLogin(request: Request, parameters: URLSearchParams, { user, password }: FrontOptions): void {
  const basic = /^Basic (.+)$/.exec(request.headers.get("authorization") ?? "")?.[1];
  const [basicUser, ...rest] = basic === undefined ? [] : atob(basic).split(":");
  const givenUser = request.headers.get("x-clickhouse-user") ?? basicUser ?? parameters.get("user") ??
    "default";
  const givenPassword = request.headers.get("x-clickhouse-key") ??
    (basic === undefined ? parameters.get("password") ?? "" : rest.join(":"));
  if (givenUser === user && givenPassword === password) return;
  throw new Exception(
    516,
    "AUTHENTICATION_FAILED",
    `${givenUser}: Authentication failed: password is incorrect, or there is no user with such name`,
  );
}

/** The settings and the statement's parameters of a request. */
function readParameters(parameters: URLSearchParams) {
  const settings: Record<string, string> = {};
  const params: Record<string, string | null> = {};
  for (const [name, value] of parameters) {
    if (REFUSED_PARAMETERS.includes(name)) {
      throw new Exception(48, "NOT_IMPLEMENTED", `The tests' front has no ${name}`);
    }
    if (name.startsWith("param_")) params[name.slice("param_".length)] = unescapeParameter(value);
    else if (!INTERFACE_PARAMETERS.has(name)) settings[name] = value;
  }
  return { settings, params };
}

class Front {
  constructor(private readonly engine: ChdbEngine, private readonly options: FrontOptions) {}

  async handle(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/ping") return new Response("Ok.\n");
    const compress = searchParams.get("enable_http_compression") === "1" &&
      /\bgzip\b/.test(request.headers.get("accept-encoding") ?? "");
    const queryId = searchParams.get("query_id") ?? crypto.randomUUID();
    try {
      checkLogin(request, searchParams, this.options);
      const body = new Uint8Array(await request.arrayBuffer());
      const plain = request.headers.get("content-encoding") === "gzip" ? gunzipSync(body) : body;
      const statement = splitRequest(searchParams.get("query") ?? "", plain);
      if (request.method === "GET" && !isRead(statement.sql)) {
        throw new Exception(164, "READONLY", "Cannot execute query in readonly mode. A GET reads only");
      }
      const result = await this.#run(statement, searchParams);
      return answer(result.bytes, compress, { ...summary(result), "X-ClickHouse-Query-Id": queryId });
    } catch (error) {
      const message = messageOf(error);
      const code = /Code: (\d+)/.exec(message)?.[1] ?? "1001";
      const headers = { "X-ClickHouse-Exception-Code": code, "X-ClickHouse-Query-Id": queryId };
      return answer(new TextEncoder().encode(`${message}\n`), compress, headers, statusOf(Number(code)));
    }
  }

  async #run(statement: Statement, parameters: URLSearchParams): Promise<EngineResult> {
    const format = parameters.get("default_format");
    const request = {
      id: 0,
      lane: isRead(statement.sql) ? "read" : "write",
      database: parameters.get("database") ?? "default",
      ...readParameters(parameters),
    } as const;
    if (statement.parquet === null) {
      const named = format === null || !isRead(statement.sql) || /\bFORMAT\s+\w+\s*$/i.test(statement.sql);
      return await this.engine.run({
        ...request,
        sql: named ? statement.sql : `${statement.sql}\nFORMAT ${format}`,
      });
    }
    const path = await Deno.makeTempFile({ dir: `${this.options.folder}/incoming`, suffix: ".parquet" });
    try {
      await Deno.writeFile(path, statement.parquet);
      return await this.engine.run({ ...request, sql: readFromFile(statement.sql, path) });
    } finally {
      await Deno.remove(path);
    }
  }
}

function summary({ rowsRead, bytesRead, elapsed }: EngineResult): Record<string, string> {
  const figures = {
    read_rows: String(rowsRead),
    read_bytes: String(bytesRead),
    written_rows: "0",
    written_bytes: "0",
    total_rows_to_read: "0",
    result_rows: "0",
    result_bytes: "0",
    elapsed_ns: String(Math.round(elapsed * 1e9)),
  };
  return { "X-ClickHouse-Summary": JSON.stringify(figures) };
}

function answer(
  bytes: Uint8Array,
  compress: boolean,
  headers: Record<string, string>,
  status = 200,
): Response {
  // The engine's memory is not ours to keep.
  const body = compress ? gzipSync(bytes) : bytes.slice();
  return new Response(body as Uint8Array<ArrayBuffer>, {
    status,
    headers: { ...headers, ...(compress ? { "Content-Encoding": "gzip" } : {}) },
  });
}

/** The first line of the input, and the promise of its end. */
async function readInput(): Promise<{ line: string; ended: Promise<void> }> {
  const reader = Deno.stdin.readable.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("\n")) {
    const { value, done } = await reader.read();
    if (done) break;
    text += value;
  }
  const untilEnd = async () => {
    while (!(await reader.read()).done);
  };
  return { line: text, ended: untilEnd() };
}

function say(ready: FrontReady): void {
  console.log(JSON.stringify(ready));
}

async function main(): Promise<void> {
  const { line, ended } = await readInput();
  const options: FrontOptions = JSON.parse(line);
  const engine = await ChdbEngine.open(options.folder);
  await Deno.mkdir(`${options.folder}/incoming`, { recursive: true });
  const front = new Front(engine, options);
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: options.port, onListen: ({ port }) => say({ port }) },
    (request) => front.handle(request),
  );
  const terminated = new Promise<void>((resolve) => Deno.addSignalListener("SIGTERM", resolve));
  await Promise.race([ended, terminated]);
  await server.shutdown();
  await engine.close();
}

if (import.meta.main) {
  try {
    await main();
    Deno.exit(0);
  } catch (error) {
    say({ failure: messageOf(error) });
    Deno.exit(1);
  }
}
