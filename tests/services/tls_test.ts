/** The object store and ClickHouse by TLS, with a certificate of an authority that only the settings name. */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { SinkError } from "../../schema/errors.ts";
import { createWarehouse } from "../../sinks/warehouse/clickhouse_warehouse.ts";
import { openAccess } from "../../sinks/warehouse/open.ts";
import { failureCode } from "../../sinks/warehouse/warehouse_errors.ts";
import { openLake } from "../../sinks/lake/open.ts";
import { addedRows, expectedTotals, parquetOf, sessionRows, totals } from "../sinks/warehouse/harness.ts";
import { withTempDir } from "../support/command_context.ts";
import { configOf } from "../support/pipeline_run.ts";
import { selfSigned } from "./harness/certificate.ts";
import { dropDatabase, newDatabase, openClickHouse } from "./harness/clickhouse.ts";
import { HttpFaultProxy } from "./harness/fault_proxy.ts";
import { s3, stopMinio } from "./harness/minio.ts";

Deno.test.afterAll(stopMinio);

function targetOf(url: string): { hostname: string; port: number } {
  const { hostname, port } = new URL(url);
  return { hostname, port: Number(port || 80) };
}

const LAKE_DEPS = { now: () => 0, notice: () => {} };

Deno.test("S3 by TLS: the probe, puts and gets pass where S3_TLS_CA vouches, and without it the refusal names it", () =>
  withTempDir(async (folder) => {
    const { caPath, ...identity } = await selfSigned(folder);
    const { endpoint, accessKey, secretKey, region } = await s3();
    await using proxy = new HttpFaultProxy(targetOf(endpoint), identity);
    const env = {
      DATA_DIR: folder,
      S3_ENDPOINT: proxy.url,
      S3_BUCKET: `tls-${crypto.randomUUID()}`,
      S3_ACCESS_KEY: accessKey,
      S3_SECRET_KEY: secretKey,
      S3_REGION: region,
    };
    const trusting = await openLake(configOf({ ...env, S3_TLS_CA: caPath }), LAKE_DEPS);
    await trusting.prepare();
    assertEquals((await trusting.lake.open()).version, 0);
    await trusting.ping();
    const other = await openLake(configOf(env), LAKE_DEPS);
    const error = await assertRejects(() => other.prepare(), SinkError) as SinkError;
    assertStringIncludes(error.message, "set S3_TLS_CA to a file with its authority's certificate");
    await assertRejects(
      () => openLake(configOf({ ...env, S3_TLS_CA: "/nowhere/ca.pem" }), LAKE_DEPS),
      SinkError,
      "S3_TLS_CA must be a PEM file that can be read",
    );
  }));

Deno.test("ClickHouse by TLS: rows land once through lost answers where CLICKHOUSE_TLS_CA vouches, else it is named", () =>
  withTempDir(async (folder) => {
    const { caPath, ...identity } = await selfSigned(folder);
    await using server = await openClickHouse();
    await using proxy = new HttpFaultProxy(targetOf(server.url), identity);
    const database = newDatabase();
    const env = {
      CLICKHOUSE_URL: proxy.url,
      CLICKHOUSE_USER: server.user,
      CLICKHOUSE_PASSWORD: server.password,
      CLICKHOUSE_DATABASE: database,
    };
    const access = openAccess(configOf({ ...env, CLICKHOUSE_TLS_CA: caPath }), null);
    const warehouse = createWarehouse({ access });
    await warehouse.open();
    const [versions, rows] = [12, 10];
    for (let version = 0; version < versions; version++) {
      const payload = addedRows(rows, parquetOf(sessionRows(rows, version * rows)));
      const lost = proxy.once(({ path }) => path.includes("insert_deduplication_token"), {
        type: "lose_answer",
      });
      const error = await assertRejects(() => warehouse.follow("t", version, payload), SinkError);
      assertEquals(failureCode((error as Error).cause), "ECONNRESET");
      await lost;
      await warehouse.follow("t", version, payload);
    }
    assertEquals(await totals(access), expectedTotals(versions * rows));
    await warehouse.close();
    const other = createWarehouse({ access: openAccess(configOf(env), null) });
    const error = await assertRejects(() => other.open(), SinkError) as SinkError;
    assertStringIncludes(error.message, "name its authority in CLICKHOUSE_TLS_CA");
    await other.close();
    await dropDatabase(server, database);
  }));
