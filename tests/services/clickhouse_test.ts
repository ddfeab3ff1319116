/** The warehouse over HTTP: its contract, and the first contact. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { SinkError } from "../../schema/errors.ts";
import {
  type ClickHouseAccess,
  httpAccess,
  type HttpOptions,
} from "../../sinks/warehouse/clickhouse_access.ts";
import { createWarehouse } from "../../sinks/warehouse/clickhouse_warehouse.ts";
import {
  addedRows,
  expectedTotals,
  parquetOf,
  rowsOf,
  sessionRows,
  totals,
} from "../sinks/warehouse/harness.ts";
import { warehouseContract } from "../sinks/warehouse_contract.ts";
import {
  ClickHouseFront,
  type ClickHouseServer,
  dropDatabase,
  newDatabase,
  openClickHouse,
  optionsOf,
} from "./harness/clickhouse.ts";
import { freePort } from "./harness/ports.ts";

let server: ClickHouseServer | null = null;

Deno.test.beforeAll(async () => {
  server = await openClickHouse();
});

Deno.test.afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
});

warehouseContract("ClickHouse over HTTP", () => {
  const clickhouse = server!;
  const database = newDatabase();
  return Promise.resolve({
    connect: () => httpAccess(optionsOf(clickhouse, database)),
    [Symbol.asyncDispose]: () => dropDatabase(clickhouse, database),
  });
});

/** The sentence with which opening the warehouse fails. */
async function refusal(options: HttpOptions): Promise<SinkError> {
  const warehouse = createWarehouse({ access: httpAccess(options) });
  try {
    return await assertRejects(() => warehouse.open(), SinkError) as SinkError;
  } finally {
    await warehouse.close();
  }
}

Deno.test("ClickHouse over HTTP: a wrong password and a wrong user are one sentence that names the settings", async () => {
  const options = optionsOf(server!, "default");
  for (const wrong of [{ ...options, password: "wrong" }, { ...options, user: "nobody" }]) {
    const { message, retryable } = await refusal(wrong);
    assertEquals(
      message,
      `ClickHouse at ${options.url} refused the login: check CLICKHOUSE_USER and CLICKHOUSE_PASSWORD.`,
    );
    assert(!retryable);
  }
});

Deno.test("ClickHouse over HTTP: a port where nothing listens is one sentence that names CLICKHOUSE_URL", async () => {
  const url = `http://127.0.0.1:${freePort()}`;
  const { message } = await refusal({ ...optionsOf(server!, "default"), url });
  assertStringIncludes(message, `ClickHouse can't be reached at ${url}:`);
  assertStringIncludes(message, "check CLICKHOUSE_URL and that the server runs.");
});

Deno.test("ClickHouse over HTTP: 100,000 rows and their views survive a kill of the server in mid-insert", async () => {
  await using front = await ClickHouseFront.start();
  const open = (): ClickHouseAccess => httpAccess(optionsOf(front, "news"));
  const count = 100_000;
  let interrupted = 0;
  for (let round = 0; round < 3; round++) {
    const parquet = parquetOf(sessionRows(count, round * count));
    const warehouse = createWarehouse({ access: open() });
    await warehouse.open();
    const insert = warehouse.follow("t", round, addedRows(count, parquet)).then(
      () => null,
      (error: unknown) => error,
    );
    // Later each time: before the insert, in its midst, near its end.
    await new Promise((resolve) => setTimeout(resolve, 20 + 250 * round));
    await front.kill();
    const failure = await insert;
    if (failure !== null) interrupted++;
    assert(failure === null || failure instanceof SinkError && failure.retryable, String(failure));
    await front.start();
    await warehouse.follow("t", round, addedRows(count, parquet));
    await warehouse.close();
  }
  assert(interrupted > 0, "a kill came before the answer");
  const access = open();
  assertEquals(await totals(access), expectedTotals(3 * count));
  assertEquals(await rowsOf(access, "SELECT count() FROM followed_versions WHERE state = 'done'"), [[3]]);
  await access.client.close();
});
