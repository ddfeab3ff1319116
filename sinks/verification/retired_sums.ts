/**
 * What the analytics know of dates that left the lake is in no file any more. A rebuild of ClickHouse sets it aside in tables
 * of its own before it drops anything, and puts it back at its end. Those tables stay until then: a rebuild that was
 * interrupted finds them, and takes them instead of analytics that are half built.
 */
import { ANALYTICS, type Analytics, createAnalyticsTable } from "../warehouse/analytics.ts";
import type { ClickHouseAccess } from "../warehouse/clickhouse_access.ts";
import { clustered } from "../warehouse/cluster.ts";
import { sqlName, sqlText } from "../warehouse/ddl.ts";

const asideName = ({ name }: Analytics) => `${name}_retired`;
const unfinishedName = (analytics: Analytics) => `${asideName(analytics)}_unfinished`;

/** Copies the sums of dates before `horizon`. */
export async function setRetiredSumsAside(access: ClickHouseAccess, horizon: string): Promise<void> {
  const before = await tableNames(access);
  const wanted = ANALYTICS.filter((one) => before.has(one.name) && !before.has(asideName(one)));
  for (const analytics of wanted) {
    const name = unfinishedName(analytics);
    await define(access, `DROP TABLE IF EXISTS ${name} SYNC`);
    await define(access, createAnalyticsTable({ ...analytics, name }));
    const groups = [analytics.time, ...analytics.dimensions].map((column) => column.name);
    const sums = analytics.sums.map((column) => column.name);
    await insert(
      access,
      `INSERT INTO ${name} (${[...groups, ...sums].join(", ")})
SELECT ${[...groups, ...sums.map((sum) => `sum(${sum})`)].join(", ")} FROM ${analytics.name}
WHERE ${isBefore(analytics, horizon)} GROUP BY ${groups.join(", ")}`,
    );
  }
  const { cluster } = access;
  for (const analytics of wanted) {
    const everywhere = cluster === null ? "" : ` ON CLUSTER ${sqlName(cluster)}`;
    const query = `RENAME TABLE ${unfinishedName(analytics)} TO ${asideName(analytics)}${everywhere}`;
    await access.client.command({ query });
  }
}

/** Puts them into the analytics again, in the place of what late sessions of such dates brought there. */
export async function putRetiredSumsBack(access: ClickHouseAccess, horizon: string): Promise<void> {
  const there = await tableNames(access);
  for (const analytics of ANALYTICS.filter((one) => there.has(asideName(one)))) {
    await access.client.command({
      query: clustered(
        `ALTER TABLE ${analytics.name} DELETE WHERE ${isBefore(analytics, horizon)}`,
        access.cluster,
      ),
      clickhouse_settings: { mutations_sync: "2" },
    });
    const names = [analytics.time, ...analytics.dimensions, ...analytics.sums].map(({ name }) => name).join(
      ", ",
    );
    await insert(
      access,
      `INSERT INTO ${analytics.name} (${names}) SELECT ${names} FROM ${asideName(analytics)}`,
    );
    await define(access, `DROP TABLE IF EXISTS ${asideName(analytics)} SYNC`);
  }
}

function isBefore({ time }: Analytics, horizon: string): string {
  return `toDate(${time.name}) < toDate(${sqlText(horizon)})`;
}

async function define({ client, cluster }: ClickHouseAccess, statement: string): Promise<void> {
  await client.command({ query: clustered(statement, cluster) });
}

async function insert({ client }: ClickHouseAccess, query: string): Promise<void> {
  await client.command({ query, clickhouse_settings: { insert_deduplicate: 0 } });
}

async function tableNames({ client }: ClickHouseAccess): Promise<ReadonlySet<string>> {
  const query = "SELECT name FROM system.tables WHERE database = currentDatabase()";
  const result = await client.query({ query, format: "JSONCompactEachRow" });
  return new Set((await result.json<[string]>() as [string][]).map(([name]) => name));
}
