import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { resolveConfig } from "../../../schema/config.ts";
import { SinkError } from "../../../schema/errors.ts";
import { type ClickHouseAccess, httpAccess } from "../../../sinks/warehouse/clickhouse_access.ts";
import { createWarehouse } from "../../../sinks/warehouse/clickhouse_warehouse.ts";
import { firstContactError, openDatabase } from "../../../sinks/warehouse/database.ts";
import { openAccess } from "../../../sinks/warehouse/open.ts";
import { failureCode, prospectOf, warehouseError } from "../../../sinks/warehouse/warehouse_errors.ts";

/** A request as a ClickHouse server sees it. */
interface Seen {
  readonly parameters: URLSearchParams;
  readonly user: string | null;
  readonly body: Uint8Array;
  /** The port of the connection that it came over. */
  readonly clientPort: number;
}

/** What a server answers: an exception, as ClickHouse writes it, or nothing. */
type Answer = (seen: Seen) => string | undefined;

const PASSWORD = "correct horse battery";

/** Runs `test` against a server that speaks as much of ClickHouse's HTTP interface as the access needs. */
async function withServer(
  answer: Answer,
  test: (access: ClickHouseAccess, seen: readonly Seen[]) => Promise<void>,
): Promise<void> {
  const seen: Seen[] = [];
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request, { remoteAddr }) => {
      const one: Seen = {
        parameters: new URL(request.url).searchParams,
        user: request.headers.get("authorization"),
        body: new Uint8Array(await request.arrayBuffer()),
        clientPort: remoteAddr.port,
      };
      seen.push(one);
      const exception = answer(one);
      const code = exception === undefined ? undefined : /Code: (\d+)/.exec(exception)?.[1];
      if (exception === undefined) return new Response("");
      return new Response(exception, { status: 500, headers: { "X-ClickHouse-Exception-Code": code ?? "" } });
    },
  );
  const access = accessTo(`http://127.0.0.1:${server.addr.port}`);
  try {
    await test(access, seen);
  } finally {
    await access.client.close();
    await server.shutdown();
  }
}

function accessTo(url: string): ClickHouseAccess {
  return httpAccess({ url, user: "reader", password: PASSWORD, database: "news", requestTimeoutMs: 5_000 });
}

/** The sentence with which the first contact fails. */
async function refusal(access: ClickHouseAccess): Promise<SinkError> {
  const error = await assertRejects(() => openDatabase(access), SinkError) as SinkError;
  assert(!error.message.includes(PASSWORD) && !error.message.includes("\n"));
  return error;
}

Deno.test("a server that is not there gives one sentence that names CLICKHOUSE_URL", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  const access = accessTo(`http://127.0.0.1:${port}`);
  const error = await refusal(access);
  assertStringIncludes(error.message, `can't be reached at http://127.0.0.1:${port}:`);
  assertStringIncludes(error.message, "check CLICKHOUSE_URL");
  assert(error.retryable);
  await access.client.close();
});

Deno.test("a refused login gives one sentence that names the settings and not the password", () =>
  withServer(
    () =>
      "Code: 516. DB::Exception: reader: Authentication failed: password is incorrect. (AUTHENTICATION_FAILED)",
    async (access) => {
      const error = await refusal(access);
      assertStringIncludes(
        error.message,
        "refused the login: check CLICKHOUSE_USER and CLICKHOUSE_PASSWORD.",
      );
      assert(!error.retryable);
    },
  ));

Deno.test("a missing database is created from the user's default one", () => {
  let created = false;
  return withServer(({ parameters, body }) => {
    created ||= new TextDecoder().decode(body) === "CREATE DATABASE IF NOT EXISTS `news`";
    if (parameters.get("database") === "news" && !created) {
      return "Code: 81. DB::Exception: Database news does not exist. (UNKNOWN_DATABASE)";
    }
  }, async (access, seen) => {
    await openDatabase(access);
    assertEquals(seen.map(({ parameters }) => parameters.get("database")), ["news", null]);
    await openDatabase(access);
    assertEquals(seen.length, 3);
  });
});

Deno.test("a database that may not be created gives one sentence that names CLICKHOUSE_DATABASE", () =>
  withServer(
    ({ parameters }) =>
      parameters.get("database") === "news"
        ? "Code: 81. DB::Exception: Database news does not exist. (UNKNOWN_DATABASE)"
        : "Code: 497. DB::Exception: reader: Not enough privileges. (ACCESS_DENIED)",
    async (access) => {
      const { message } = await refusal(access);
      assertStringIncludes(message, "use or create the database 'news' (CLICKHOUSE_DATABASE)");
    },
  ));

Deno.test("a Parquet file goes over in the body, after all of its INSERT but the first line, which the URL has", () =>
  withServer(() => undefined, async (access, seen) => {
    const parquet = new Uint8Array([0x50, 0x41, 0x52, 0x31, 0xff, 0x00, 0x0a]);
    const settings = { async_insert: 0, insert_deduplication_token: "t:1" };
    const sql = (source: string) => `INSERT INTO x\nSELECT a FROM ${source}`;
    const rest = new TextEncoder().encode(
      "SELECT a FROM input('a DateTime64(6, \\'UTC\\')')\nFORMAT Parquet\n",
    );
    await access.insertFile(parquet, "a DateTime64(6, 'UTC')", [{ sql, settings }, { sql, settings }]);
    assertEquals(seen.length, 2);
    for (const { parameters, body, user } of seen) {
      assertEquals(parameters.get("query"), "INSERT INTO x");
      assertEquals(parameters.get("insert_deduplication_token"), "t:1");
      assertEquals(parameters.get("async_insert"), "0");
      assertEquals(body, new Uint8Array([...rest, ...parquet]));
      assertEquals(user, `Basic ${btoa(`reader:${PASSWORD}`)}`);
    }
  }));

Deno.test("requests share connections, and at most ten are open at once", () =>
  withServer(() => undefined, async ({ client }, seen) => {
    const connections = () => new Set(seen.map(({ clientPort }) => clientPort)).size;
    for (let i = 0; i < 20; i++) await client.command({ query: "SELECT 1" });
    assertEquals(connections(), 1);
    await Promise.all(Array.from({ length: 40 }, () => client.command({ query: "SELECT 1" })));
    assertEquals(seen.length, 60);
    assert(connections() <= 10, `${connections()} connections`);
  }));

/** A server that answers `answers` requests of a connection, and then closes it instead of answering. */
async function closeInstead(
  listener: Deno.TcpListener,
  answers: number,
  requests = { count: 0 },
): Promise<void> {
  for await (const connection of listener) {
    const buffer = new Uint8Array(65_536);
    for (let left = answers;; left--) {
      let request = "";
      // Bodies are chunked: the last chunk is the end.
      while (!request.endsWith("0\r\n\r\n")) {
        request += new TextDecoder().decode(buffer.subarray(0, await connection.read(buffer) ?? 0));
      }
      requests.count++;
      if (left === 0) break;
      await connection.write(new TextEncoder().encode("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    }
    connection.close();
  }
}

Deno.test("a connection that the server closes instead of answering fails its request at once, new or reused", async () => {
  for (const answers of [0, 1, 5]) {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    void closeInstead(listener, answers).catch(() => {}); // Ends with the listener.
    const { client } = accessTo(`http://127.0.0.1:${listener.addr.port}`);
    for (let i = 0; i < answers; i++) await client.command({ query: "SELECT 1" });
    const error = await assertRejects(() => client.command({ query: "SELECT 1" }));
    assertEquals(failureCode(error), "ECONNRESET"); // Not the timeout.
    await client.close();
  }
});

Deno.test("more lost answers than there are connections: each fails at once, and no request is sent twice", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const requests = { count: 0 };
  void closeInstead(listener, 1, requests).catch(() => {}); // Ends with the listener.
  const access = accessTo(`http://127.0.0.1:${listener.addr.port}`);
  const insert = () =>
    access.insertFile(new Uint8Array(20_000), "a String", [{ sql: () => "INSERT\nSELECT", settings: {} }]);
  const lostAnswers = 25;
  const patience = Promise.withResolvers<never>();
  // A request that waits for a connection has no time limit.
  const timer = setTimeout(() => patience.reject(new Error("A request waited for a connection.")), 30_000);
  for (let i = 0; i < lostAnswers; i++) {
    await Promise.race([insert(), patience.promise]);
    assertEquals(failureCode(await assertRejects(insert)), "ECONNRESET"); // Not the timeout.
  }
  clearTimeout(timer);
  assertEquals(requests.count, 2 * lostAnswers);
  await access.client.close();
});

Deno.test("a failure under way is a sentence that says whether it is tried again", () =>
  withServer(
    () => "Code: 241. DB::Exception: Memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)",
    async (access) => {
      const warehouse = createWarehouse({ access });
      const error = await assertRejects(() => warehouse.doneVersions("t"), SinkError) as SinkError;
      assertStringIncludes(error.message, "could not list the versions it has: Memory limit exceeded");
      assertStringIncludes(
        error.message,
        "It is tried again (MEMORY_LIMIT_EXCEEDED: other queries hold the memory).",
      );
      assert(error.retryable);
    },
  ));

Deno.test("what may pass by itself is tried again, what must be mended is not, and the sentence says why", () => {
  const withCode = (code: string) => Object.assign(new Error("failed"), { code });
  const isRetryable = (error: unknown) => prospectOf(error).retryable;
  for (const code of ["210", "252", "999", "ECONNREFUSED", "ECONNRESET", "ENOSPC"]) {
    assert(isRetryable(withCode(code)), code);
  }
  for (const code of ["60", "62", "516", "497", "EACCES"]) assert(!isRetryable(withCode(code)), code);
  assert(isRetryable(withCode("2999")), "a code of a newer server");
  assert(isRetryable(new Error("Timeout error.")));
  assert(isRetryable(new Error("<html>500 Internal Server Error</html>")), "a proxy's answer");
  assert(isRetryable(new Error("")), "an answer without a body");
  assert(!isRetryable(new TypeError("x is not a function")));
  assert(isRetryable(new Error("fetch failed", { cause: withCode("ECONNRESET") })));
  assertEquals(failureCode(new Error("outer", { cause: withCode("60") })), "60");
  const sentence = new SinkError("already one.", true);
  assertEquals(warehouseError("do it", "here", sentence), sentence);
  assertStringIncludes(
    warehouseError("do it", "here", withCode("252")).message,
    "merges must catch up first",
  );
  assertStringIncludes(
    warehouseError("do it", "here", withCode("516")).message,
    "It is not tried again: check CLICKHOUSE_USER and CLICKHOUSE_PASSWORD.",
  );
});

Deno.test("authorities that can't be read, and a certificate that nobody vouches for, name CLICKHOUSE_TLS_CA", () => {
  const env = { CLICKHOUSE_URL: "https://127.0.0.1:1", CLICKHOUSE_TLS_CA: "/nowhere/ca.pem" };
  const { config } = resolveConfig({ flags: {}, env });
  assertThrows(
    () => openAccess(config, null),
    SinkError,
    "CLICKHOUSE_TLS_CA must be a PEM file that can be read",
  );
  const untrusted = Object.assign(new Error("unable to verify the first certificate"), {
    code: "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  });
  const { message } = firstContactError({ location: "https://here", database: "news" }, untrusted);
  assertStringIncludes(message, "name its authority in CLICKHOUSE_TLS_CA");
});
