import { assertEquals, assertRejects } from "@std/assert";
import { ClickHouseError } from "@clickhouse/client";
import { Readable } from "node:stream";
import { Buffer } from "node:buffer";
import { rowsOf, withChdb } from "./harness.ts";

const CREATE = "CREATE TABLE t (a Int64, s String) ENGINE = MergeTree ORDER BY a " +
  "SETTINGS non_replicated_deduplication_window = 100";

Deno.test("a token of one insert does not affect the next, whether the first worked or failed", () =>
  withChdb(async (host) => {
    const { client, ...access } = host.access();
    await client.command({ query: CREATE });
    const insert = (token?: string) =>
      client.command({
        query: "INSERT INTO t SELECT 1, 'x'",
        clickhouse_settings: token === undefined ? {} : { insert_deduplication_token: token },
      });
    await insert("one");
    await insert("one");
    await insert();
    await insert();
    assertEquals(await rowsOf({ client, ...access }, "SELECT count() FROM t"), [[3]]);
    const settings = { insert_deduplication_token: "two", max_threads: 1 };
    await assertRejects(() =>
      client.command({ query: "INSERT INTO nowhere SELECT 1", clickhouse_settings: settings })
    );
    await insert();
    assertEquals(await rowsOf({ client, ...access }, "SELECT count() FROM t"), [[4]]);
    const { stream } = await client.exec({ query: "SELECT getSetting('insert_deduplication_token')" });
    assertEquals(Buffer.concat(await stream.toArray()).toString(), "\n");
    await client.close();
  }));

Deno.test("an unknown setting fails its statement, and leaves nothing behind", () =>
  withChdb(async (host) => {
    const access = host.access();
    const settings = { max_threads: 1, no_such_setting: 1 };
    await assertRejects(() =>
      access.client.query({ query: "SELECT 1", clickhouse_settings: settings, format: "JSONEachRow" })
    );
    const [before] = await rowsOf(
      access,
      "SELECT value = default FROM system.settings WHERE name = 'max_threads'",
    );
    assertEquals(before, [1]);
    await access.client.close();
  }));

Deno.test("parameters of any text arrive as they are", () =>
  withChdb(async (host) => {
    const { client } = host.access();
    for (const text of ["", "it's", "\\", "a\tb\nc\r\0d", "{x:String}", "😀\u2028", "'; DROP TABLE t; --"]) {
      const result = await client.query({
        query: "SELECT {text:String} AS text, {n:Nullable(Int64)} AS n, {list:Array(String)} AS list",
        query_params: { text, n: null, list: [text] },
        format: "JSONEachRow",
      });
      assertEquals(await result.json<unknown>(), [{ text, n: null, list: [text] }]);
    }
    await client.close();
  }));

Deno.test("rows go in as text, from an array and from a stream, and an empty insert is none", () =>
  withChdb(async (host) => {
    const access = host.access();
    await access.client.command({ query: CREATE });
    const table = "t";
    await access.client.insert({ table, values: [{ a: 1, s: "é\n" }], format: "JSONEachRow" });
    const body = Buffer.from("2,é\n3,z\n");
    await access.client.insert({
      table,
      values: Readable.from([body.subarray(0, 3), body.subarray(3)], { objectMode: false }),
      format: "CSV",
    });
    await access.client.insert({ table, values: Readable.from([], { objectMode: false }), format: "CSV" });
    assertEquals(await rowsOf(access, "SELECT a, s FROM t ORDER BY a"), [[1, "é\n"], [2, "é"], [3, "z"]]);
    const binary = Readable.from([Buffer.from([0xff, 0xfe])], { objectMode: false });
    await assertRejects(
      () => access.client.insert({ table, values: binary, format: "CSV" }),
      Error,
      "takes an insert's body as UTF-8 text",
    );
    await access.client.close();
  }));

Deno.test("a failed statement is a ClickHouseError with the engine's code", () =>
  withChdb(async (host) => {
    const { client } = host.access();
    const error = await assertRejects(
      () => client.query({ query: "SELECT * FROM nowhere", format: "JSONEachRow" }),
      ClickHouseError,
    );
    assertEquals((error as ClickHouseError).code, "60");
    assertEquals((error as ClickHouseError).type, "UNKNOWN_TABLE");
    assertEquals(await client.ping(), { success: true });
    await client.close();
  }));

Deno.test("two ports with a database of their own do not meet, and the end of one leaves the other", () =>
  withChdb(async (host) => {
    const [one, two] = [host.access("one"), host.access("o`t\\her")];
    for (const access of [one, two]) {
      await access.createDatabase();
      await access.client.command({ query: CREATE });
      await access.client.command({ query: `INSERT INTO t VALUES (1, '${access === one ? "one" : "two"}')` });
    }
    const both = await Promise.all([one, two].map((access) => rowsOf(access, "SELECT s FROM t")));
    assertEquals(both, [[["one"]], [["two"]]]);
    await one.client.close();
    assertEquals(await rowsOf(two, "SELECT s FROM t"), [["two"]]);
    await assertRejects(() => rowsOf(one, "SELECT 1"), Error, "is closed");
    await two.client.close();
  }));

Deno.test("a request under way when the connection closes is rejected", () =>
  withChdb(async (host) => {
    const { client } = host.access();
    const slow = client.query({ query: "SELECT sum(number) FROM numbers(100000000)", format: "JSONEachRow" });
    const rejected = assertRejects(() => slow, Error, "is closed");
    await client.close();
    await rejected;
  }));

Deno.test("a read does not wait for a write under way", () =>
  withChdb(async (host) => {
    const access = host.access();
    const order: string[] = [];
    const write = access.client.command({ query: "SELECT sleep(2) FORMAT Null" }).then(() =>
      order.push("write")
    );
    await rowsOf(access, "SELECT 1").then(() => order.push("read"));
    await write;
    assertEquals(order, ["read", "write"]);
    await access.client.close();
  }));
