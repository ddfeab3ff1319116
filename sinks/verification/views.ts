/** Do the six analytics say what the sessions say? Each is compared with the same sums over `session_metrics`. */
import type { ClickHouseClient } from "@clickhouse/client";
import { ANALYTICS, type Analytics } from "../warehouse/analytics.ts";
import { sqlText } from "../warehouse/ddl.ts";

/** Differing groups that are named. */
const NAMED_MAX = 3;

/** How one of the six compares. */
export interface ViewFindings {
  readonly name: string;
  readonly groups: number;
  /** Groups of which a sum differs, or that one side lacks. */
  readonly differing: number;
  readonly examples: readonly string[];
}

/** Compares all six. `horizon`: sessions of dates before it were retired, and only the analytics still know them. */
export async function compareViews(
  client: ClickHouseClient,
  horizon: string | null,
): Promise<ViewFindings[]> {
  const findings: ViewFindings[] = [];
  for (const analytics of ANALYTICS) findings.push(await compareView(client, analytics, horizon));
  return findings;
}

async function compareView(
  client: ClickHouseClient,
  analytics: Analytics,
  horizon: string | null,
): Promise<ViewFindings> {
  const { name } = analytics;
  const rows = async (query: string) => {
    const result = await client.query({ query, format: "JSONCompactEachRow" });
    return await result.json<unknown[]>() as unknown[][];
  };
  const [counted] = await rows(differenceQuery(analytics, horizon, "count(), countIf(differs)"));
  const [groups, differing] = counted!.map(Number) as [number, number];
  const named = differing === 0
    ? []
    : await rows(`${differenceQuery(analytics, horizon, "*", "WHERE differs")} LIMIT ${NAMED_MAX}`);
  const examples = named.map((group) =>
    `${name} ${JSON.stringify(group)}: the sums over the sessions differ so`
  );
  return { name, groups, differing, examples };
}

/** The groups of the view and of the sessions, with view − sessions of each sum, and whether one is not 0. */
function differenceQuery(
  { name, time, dimensions, sums, arrayJoin }: Analytics,
  horizon: string | null,
  select: string,
  where = "",
): string {
  const groups = [time, ...dimensions];
  const from = (column: string) =>
    horizon === null ? "" : ` WHERE toDate(${column}) >= toDate(${sqlText(horizon)})`;
  const groupNames = groups.map((group) => group.name).join(", ");
  const sumNames = sums.map((sum) => sum.name);
  const fromSessions = [...groups, ...sums].map((column) => `${column.expression} AS ${column.name}`).join(
    ", ",
  );
  const negated = sumNames.map((sum) => `-${sum} AS ${sum}`).join(", ");
  return `SELECT ${select} FROM (
  SELECT ${groupNames}, ${sumNames.map((sum) => `sum(${sum}) AS d_${sum}`).join(", ")},
    ${sumNames.map((sum) => `d_${sum} != 0`).join(" OR ")} AS differs
  FROM (
    SELECT ${groupNames}, ${sumNames.join(", ")} FROM ${name}${from(time.name)}
    UNION ALL
    SELECT ${groupNames}, ${negated} FROM (
      SELECT ${fromSessions} FROM (SELECT * FROM session_metrics FINAL${from("session_start")}) AS s${
    arrayJoin === undefined ? "" : ` ARRAY JOIN ${arrayJoin}`
  }
      GROUP BY ${groups.map((group) => group.expression).join(", ")}
    )
  )
  GROUP BY ${groupNames}
) ${where}`;
}
