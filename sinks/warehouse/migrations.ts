/** The numbered changes that bring a database to what this program needs. */
import type { ClickHouseClient } from "@clickhouse/client";
import { SinkError } from "../../schema/errors.ts";
import { SESSION_COLUMNS } from "../../schema/session.ts";
import { ANALYTICS, createAnalyticsTable, createAnalyticsView } from "./analytics.ts";
import { clustered } from "./cluster.ts";
import {
  addMissingColumns,
  createSessionMetrics,
  createSessionsView,
  PACK_COLUMNS,
  SIGN_COLUMN,
} from "./ddl.ts";
import { CREATE_FOLLOWED_VERSIONS } from "./followed_versions.ts";

/** One step. Every statement can be repeated: two instances may start at once. */
export interface Migration {
  readonly number: number;
  readonly name: string;
  readonly statements: readonly string[];
}

/** All of them, ascending. One that was released is never changed, only followed by another. */
export const MIGRATIONS: readonly Migration[] = [
  { number: 1, name: "finished sessions", statements: [createSessionMetrics()] },
  { number: 2, name: "followed versions", statements: [CREATE_FOLLOWED_VERSIONS] },
  {
    number: 3,
    name: "the six analytics",
    statements: ANALYTICS.flatMap((one) => [createAnalyticsTable(one), createAnalyticsView(one)]),
  },
  { number: 4, name: "lists and ids packed closer", statements: [PACK_COLUMNS] },
];

const CREATE_SCHEMA_MIGRATIONS = `CREATE TABLE IF NOT EXISTS schema_migrations (
  number UInt32 COMMENT 'The migration\\'s number.',
  name String COMMENT 'What it brought.',
  at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When it was applied.'
) ENGINE = MergeTree
ORDER BY number
COMMENT 'The migrations that were applied; one that two instances applied at once is listed twice.'`;

/**
 * Applies what is missing, in order, and adds session columns that the table lacks.
 *
 * @param location where the warehouse is, for the sentence
 * @param cluster whose nodes all get the tables; null for one server
 * @throws {SinkError} where a newer program has been at work there; else the client's own errors
 */
export async function migrate(
  client: ClickHouseClient,
  location: string,
  migrations: readonly Migration[] = MIGRATIONS,
  cluster: string | null = null,
): Promise<void> {
  const define = (statement: string) => client.command({ query: clustered(statement, cluster) });
  await define(CREATE_SCHEMA_MIGRATIONS);
  const applied = new Set(
    (await firstColumn<number>(client, "SELECT DISTINCT number FROM schema_migrations")).map(Number),
  );
  const known = migrations.at(-1)?.number ?? 0;
  const newest = Math.max(0, ...applied);
  if (newest > known) {
    throw newerProgram(
      location,
      `its migrations go to ${newest}, and this program knows those up to ${known}`,
    );
  }
  for (const { number, name, statements } of migrations) {
    if (applied.has(number)) continue;
    for (const statement of statements) await define(statement);
    await client.insert({
      table: "schema_migrations",
      columns: ["number", "name"],
      format: "JSONCompactEachRow",
      values: [[number, name]],
    });
  }
  await reconcileColumns(client, location, define);
}

/** The table follows SESSION_COLUMNS without a migration for each column: declaring it there is enough. */
async function reconcileColumns(
  client: ClickHouseClient,
  location: string,
  define: (statement: string) => Promise<unknown>,
): Promise<void> {
  const result = await client.query({
    query:
      "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = 'session_metrics'",
    format: "JSONCompactEachRow",
  });
  const types = new Map(await result.json<[string, string]>() as [string, string][]);
  const present = new Set(types.keys());
  const known = new Set([...SESSION_COLUMNS.map(({ name }) => name), SIGN_COLUMN.name]);
  const unknown = [...present].filter((name) => !known.has(name));
  if (unknown.length > 0) {
    throw newerProgram(
      location,
      `session_metrics has the columns ${unknown.join(", ")}, which this program has not`,
    );
  }
  for (const { name, clickhouse } of SESSION_COLUMNS) {
    const found = types.get(name);
    if (found === undefined || plainType(found) === plainType(clickhouse)) continue;
    throw new SinkError(
      `The column ${name} of session_metrics in ClickHouse at ${location} must be ${clickhouse}, and it is ${found}: ` +
        `a column's type cannot be changed. Run the version that made it, or choose another CLICKHOUSE_DATABASE.`,
      false,
    );
  }
  for (const statement of addMissingColumns(present)) await define(statement);
  await define(createSessionsView());
}

/** How a type is stored aside: an operator may have changed that. */
function plainType(type: string): string {
  return type.replace(/^LowCardinality\((.*)\)$/, "$1");
}

function newerProgram(location: string, found: string): SinkError {
  return new SinkError(
    `The ClickHouse database at ${location} was made by a newer version of Sessionary: ${found}. ` +
      `Run that version, or choose another CLICKHOUSE_DATABASE.`,
    false,
  );
}

async function firstColumn<T>(client: ClickHouseClient, query: string): Promise<T[]> {
  const result = await client.query({ query, format: "JSONCompactEachRow" });
  return (await result.json<[T]>() as [T][]).map(([value]) => value);
}

/** All DDL, as `sessionary schema clickhouse` prints it. */
export function clickhouseSchema(): string {
  const statements = [
    CREATE_SCHEMA_MIGRATIONS,
    ...MIGRATIONS.flatMap((one) => one.statements),
    createSessionsView(),
  ];
  return statements.map((statement) => `${statement};\n`).join("\n");
}
