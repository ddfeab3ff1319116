/** What the page asks of the sinks, over a ClickHouse that is open and the lake beside it. */
import type { ClickHouseClient } from "@clickhouse/client";
import { getLogger } from "@logtape/logtape";
import { systemClock } from "../actors/clock.ts";
import type { Config } from "../schema/config.ts";
import { openLake } from "../sinks/lake/open.ts";
import type { DeltaLake } from "../sinks/lake/lake.ts";
import { ANALYTICS_NAMES, analyticsOver, finishedSessions } from "../sinks/warehouse/explore_queries.ts";
import type { Explorer } from "../web/explorer.ts";
import { deadLetterRows } from "./open_query_service.ts";

/** Nothing is read before one of its functions is called. */
export function createExplorer(config: Config, client: ClickHouseClient): Explorer {
  const notice = (text: string) => getLogger(["sessionary", "lake"]).warn("{text}", { text });
  let opened: ReturnType<typeof openLake> | null = null;
  const lake = async (): Promise<DeltaLake> =>
    (await (opened ??= openLake(config, { now: systemClock.now, notice }))).lake;
  return {
    analyticsNames: ANALYTICS_NAMES,
    analytics: (name, range, limit) => analyticsOver(client, name, range, limit),
    finishedSessions: (filter, limit, before) => finishedSessions(client, filter, limit, before),
    summary: async () => await (await lake()).summary(),
    history: async (limit, before) => await (await lake()).history(limit, before ?? undefined),
    async deadLetters(limit, skip) {
      const { columns, rows } = deadLetterRows(await (await lake()).readDeadLetters(skip + limit));
      return { columns, rows: rows.slice(skip) };
    },
  };
}
