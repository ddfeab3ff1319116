import { assert, assertEquals, assertRejects } from "@std/assert";
import { SinkError } from "../../../schema/errors.ts";
import { SESSION_COLUMNS } from "../../../schema/session.ts";
import { clickhouseSchema, migrate, MIGRATIONS } from "../../../sinks/warehouse/migrations.ts";
import { rowsOf, withChdb } from "./harness.ts";

const COLUMNS =
  "SELECT name, type, comment FROM system.columns WHERE database = currentDatabase() AND table = ";

Deno.test("migrations make the tables, the views and the record of themselves, and twice changes nothing", () =>
  withChdb(async (host) => {
    const access = host.access();
    const tables = "SELECT name, engine FROM system.tables WHERE database = currentDatabase() ORDER BY name";
    await migrate(access.client, access.location);
    const first = await rowsOf(access, tables);
    const analytics = ["brand", "device", "geographic", "page", "subscription"].map((name) =>
      `${name}_analytics`
    );
    assertEquals(
      first,
      [
        ...[...analytics, "session_summary"].flatMap((name) => [
          [name, "SummingMergeTree"],
          [`${name}_mv`, "MaterializedView"],
        ]),
        ["followed_versions", "MergeTree"],
        ["schema_migrations", "MergeTree"],
        ["session_metrics", "VersionedCollapsingMergeTree"],
        ["sessions", "View"],
      ].sort(([a], [b]) => a! < b! ? -1 : 1),
    );
    await migrate(access.client, access.location);
    assertEquals(await rowsOf(access, tables), first);
    const applied = await rowsOf(access, "SELECT number, name FROM schema_migrations ORDER BY number");
    assertEquals(applied, MIGRATIONS.map(({ number, name }) => [number, name]));
    await access.client.close();
  }));

Deno.test("session_metrics has the declared columns, types and docs, and sessions all but the sign", () =>
  withChdb(async (host) => {
    const access = host.access();
    await migrate(access.client, access.location);
    const declared = SESSION_COLUMNS.map(({ name, clickhouse, doc }) => [name, clickhouse, doc]);
    const found = await rowsOf(access, `${COLUMNS}'session_metrics' ORDER BY position`);
    assertEquals(found.slice(0, -1), declared);
    assertEquals(found.at(-1)!.slice(0, 2), ["sign", "Int8"]);
    const view = await rowsOf(access, `${COLUMNS}'sessions' ORDER BY position`);
    assertEquals(view.map(([name, type]) => [name, type]), declared.map(([name, type]) => [name, type]));
    await access.client.close();
  }));

Deno.test("two instances that start at once both succeed", () =>
  withChdb(async (host) => {
    const instances = [host.access(), host.access()];
    await Promise.all(instances.map(({ client, location }) => migrate(client, location)));
    const [one] = instances;
    assertEquals(await rowsOf(one!, "SELECT count(DISTINCT number) FROM schema_migrations"), [[
      MIGRATIONS.length,
    ]]);
    for (const { client } of instances) await client.close();
  }));

Deno.test("only the migrations that are missing are applied, in order", () =>
  withChdb(async (host) => {
    const access = host.access();
    await migrate(access.client, access.location);
    const next = {
      number: MIGRATIONS.length + 1,
      name: "a log",
      statements: ["CREATE TABLE log (a UInt8) ENGINE = Memory"],
    };
    await migrate(access.client, access.location, [...MIGRATIONS, next]);
    await migrate(access.client, access.location, [...MIGRATIONS, next]); // its CREATE would fail a second time
    assertEquals(await rowsOf(access, "SELECT max(number), count() FROM schema_migrations"), [[
      next.number,
      next.number,
    ]]);
    const error = await assertRejects(
      () => migrate(access.client, access.location),
      SinkError,
      "newer version",
    );
    assert(!(error as SinkError).retryable);
    await access.client.close();
  }));

Deno.test("a session column that the table lacks is added in its place, and one it should not have is refused", () =>
  withChdb(async (host) => {
    const access = host.access();
    await migrate(access.client, access.location);
    await access.client.command({ query: "DROP VIEW sessions" });
    await access.client.command({ query: "ALTER TABLE session_metrics DROP COLUMN batch_id" });
    await migrate(access.client, access.location);
    const found = await rowsOf(access, `${COLUMNS}'session_metrics' ORDER BY position`);
    assertEquals(found.slice(0, -1).map(([name]) => name), SESSION_COLUMNS.map(({ name }) => name));
    await access.client.command({ query: "ALTER TABLE session_metrics ADD COLUMN mood String" });
    await assertRejects(
      () => migrate(access.client, access.location),
      SinkError,
      "session_metrics has the columns mood, which this program has not",
    );
    await access.client.close();
  }));

Deno.test("a session column of another type is refused, one that is stored differently is not", () =>
  withChdb(async (host) => {
    const access = host.access();
    await migrate(access.client, access.location);
    const alter = (type: string) =>
      access.client.command({ query: `ALTER TABLE session_metrics MODIFY COLUMN city ${type}` });
    await alter("LowCardinality(String)");
    await migrate(access.client, access.location);
    await alter("FixedString(9)");
    await assertRejects(
      () => migrate(access.client, access.location),
      SinkError,
      "The column city of session_metrics",
    );
    await access.client.close();
  }));

Deno.test("the schema that is printed can be executed as it is", () =>
  withChdb(async (host) => {
    const access = host.access();
    for (const statement of clickhouseSchema().split(";\n").filter((text) => text.trim() !== "")) {
      await access.client.command({ query: statement });
    }
    await migrate(access.client, access.location);
    assertEquals(await rowsOf(access, "SELECT count() FROM sessions"), [[0]]);
    await access.client.close();
  }));
