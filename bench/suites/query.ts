/** The six analytics and three complex queries over a million sessions. */
import type { ClickHouseClient } from "@clickhouse/client";
import type { Suite } from "../suites.ts";
import { atMost, type Figure, figure } from "../record.ts";
import { quantile } from "../stats.ts";
import { systemClock } from "../../actors/clock.ts";
import { startEmbeddedWarehouse } from "../../actors/supervisor.ts";
import { dataPaths } from "../../schema/data_paths.ts";
import { SESSION_COLUMNS } from "../../schema/session.ts";
import { ANALYTICS_NAMES } from "../../sinks/warehouse/explore_queries.ts";
import { createWarehouse } from "../../sinks/warehouse/clickhouse_warehouse.ts";
import { openAccess } from "../../sinks/warehouse/open.ts";
import { runNamedQuery } from "../../sinks/warehouse/queries.ts";
import { runJob, until } from "../processes.ts";
import { configOf, type Env, send } from "../world.ts";
import { SimulatedFeed } from "../../sources/simulated_feed.ts";
import { Simulator, virtualTimeline } from "../../sources/simulator.ts";

const SESSIONS = 1_000_000;
/** Simulated events that the sessions are made of: each session that they give is there many times, with ids of its own. */
const EVENTS = 300_000;
/** How often an analytic is asked, and a complex query, which takes ten times as long and more. */
const ROUNDS = 100;
const COMPLEX_ROUNDS = 50;
const LIMIT = 20;
const QUANTILES = [0.5, 0.95, 0.99] as const;

/** Queries over the sessions themselves, of the kind that the six tables of sums can't answer. */
const COMPLEX = {
  "readers, and the 95th percentile of durations, by brand and hour":
    `SELECT brand, toStartOfHour(session_start) AS hour, uniq(user_id) AS readers,
      quantile(0.95)(session_duration_sec) AS p95 FROM session_metrics FINAL WHERE sign = 1
    GROUP BY brand, hour ORDER BY hour DESC, readers DESC LIMIT 100`,
  "articles by sessions and readers, of mobile readers":
    `SELECT arrayJoin(JSONExtract(article_ids_visited, 'Array(String)')) AS article, sum(sign) AS sessions,
      uniq(user_id) AS readers FROM session_metrics WHERE device_type = 'mobile'
      AND session_start >= (SELECT max(session_start) - INTERVAL 1 HOUR FROM session_metrics)
    GROUP BY article ORDER BY sessions DESC LIMIT 50`,
  "from view to subscription prompt, by country, tier and segment":
    `SELECT country, subscription_tier, user_segment, sum(sign) AS sessions,
      sumIf(sign, article_views > 0) AS viewed, sumIf(sign, article_views > 3 AND article_clicks > 0) AS engaged,
      sumIf(sign, newsletter_signups > 0) AS signed_up FROM session_metrics
    GROUP BY country, subscription_tier, user_segment ORDER BY sessions DESC LIMIT 100`,
} as const;

async function openClient(env: Env): Promise<{ readonly client: ClickHouseClient; close(): Promise<void> }> {
  const config = configOf(env);
  const embedded = config.clickhouseUrl === null
    ? await startEmbeddedWarehouse(dataPaths(config.dataDir).warehouse)
    : null;
  const access = openAccess(config, embedded?.connect() ?? null);
  const warehouse = createWarehouse({ access });
  await warehouse.open();
  return {
    client: access.client,
    async close() {
      await warehouse.close();
      await embedded?.close();
    },
  };
}

async function countSessions(client: ClickHouseClient): Promise<number> {
  const result = await client.query({
    query: "SELECT toUInt32(sum(sign)) AS sessions FROM session_metrics",
    format: "JSONEachRow",
  });
  return Number((await result.json<{ sessions: number }>())[0]!.sessions);
}

/** Inserts the table's own rows again, with other ids and readers, until there are as many as wanted; the views follow. */
async function multiply(client: ClickHouseClient, present: number): Promise<number> {
  const copies = Math.ceil(SESSIONS / present) - 1;
  const columns = SESSION_COLUMNS.map(({ name }) => name);
  const selected = columns.map((name) =>
    name === "session_id"
      ? "toString(generateUUIDv4(copy)) AS session_id"
      : name === "user_id"
      ? "toUInt32((user_id + copy * 7919) % 2000000) AS user_id"
      : name
  );
  await client.command({
    query: `INSERT INTO session_metrics (${columns.join(", ")}, sign) SELECT ${selected.join(", ")}, sign
      FROM session_metrics CROSS JOIN (SELECT number + 1 AS copy FROM numbers(${copies})) AS copies`,
  });
  return present * (copies + 1);
}

/** Waits until ClickHouse has merged what was inserted: what runs beside the first queries would count as theirs. */
async function untilMerged(client: ClickHouseClient): Promise<void> {
  await until("ClickHouse to merge its parts", async () => {
    const result = await client.query({
      query: "SELECT toUInt32(count()) AS merges FROM system.merges WHERE database = currentDatabase()",
      format: "JSONEachRow",
    });
    return (await result.json<{ merges: number }>())[0]!.merges === 0 ? true : null;
  });
}

async function timed(rounds: number, work: () => Promise<unknown>): Promise<number[]> {
  await work(); // From the page cache, as queries that are asked often are.
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const started = systemClock.monotonic();
    await work();
    times.push(systemClock.monotonic() - started);
  }
  return times;
}

/** See the file's comment. */
export const query: Suite = {
  name: "query",
  about: `Each analytic ${ROUNDS} times and each complex query ${COMPLEX_ROUNDS} times over ${
    SESSIONS.toLocaleString("en-US")
  } sessions at rest, none answered from a cache`,
  async run(world) {
    const env = await world.newPipeline();
    const feed = new SimulatedFeed(
      new Simulator({ seed: 1, ...virtualTimeline(EVENTS, systemClock.now()) }),
      { events: EVENTS },
    );
    const { records } = await send(env, feed);
    const { summary } = await runJob(env, { records, sessions: null });
    const { client, close } = await openClient(env);
    try {
      const expected = await multiply(client, summary.sessions);
      const sessions = await countSessions(client);
      if (sessions !== expected) {
        throw new Error(`There must be ${expected} sessions: there are ${sessions}.`);
      }
      await untilMerged(client);
      const works = [
        ...ANALYTICS_NAMES.map((name) =>
          [name, 20, ROUNDS, () => runNamedQuery(client, name, { limit: LIMIT })] as const
        ),
        ...Object.entries(COMPLEX).map(([name, sql]) =>
          [
            name,
            200,
            COMPLEX_ROUNDS,
            async () => await (await client.query({ query: sql, format: "JSONCompactEachRow" })).json(),
          ] as const
        ),
      ];
      const figures: Figure[] = [];
      const series = QUANTILES.map((q) => ({ name: `P${q * 100}`, ys: [] as number[] }));
      for (const [name, target, rounds, work] of works) {
        const times = await timed(rounds, work);
        QUANTILES.forEach((q, i) => {
          const value = quantile(times, q);
          series[i]!.ys.push(value);
          const samples = q === 0.5 ? times : [];
          figures.push(
            figure(`${name}, P${q * 100}`, "ms", value, {
              samples,
              target: q === 0.99 ? atMost(target) : null,
            }),
          );
        });
      }
      const labels = works.map(([name], i) =>
        i < ANALYTICS_NAMES.length ? name.split("_")[0]! : `complex ${i - 5}`
      );
      return {
        figures,
        plots: [{
          title: "Time of each query",
          kind: "bars",
          x: { title: "Query", unit: "" },
          y: { title: "Time", unit: "ms" },
          xs: labels.map((_, i) => i),
          labels,
          series,
        }],
        faults: [],
      };
    } finally {
      await close();
    }
  },
};
