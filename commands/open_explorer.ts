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
  let opened: Promise<DeltaLake> | null = null;
  /** Open, so that each answer reads what was committed since the one before, and not the whole log. */
  const lake = (): Promise<DeltaLake> => {
    const opening = opened ??= openLake(config, { now: systemClock.now, notice }).then(async ({ lake }) => {
      await lake.open();
      return lake;
    });
    opening.catch(() => opened = null);
    return opening;
  };
  return {
    analyticsNames: ANALYTICS_NAMES,
    analytics: (name, range, limit, stamp) => analyticsOver(client, name, range, limit, stamp),
    finishedSessions: (filter, limit, before) => finishedSessions(client, filter, limit, before),
    summary: async () => await (await lake()).summary(),
    history: async (limit, before) => await (await lake()).history(limit, before ?? undefined),
    async deadLetters(limit, skip) {
      const { columns, rows } = deadLetterRows(await (await lake()).readDeadLetters(skip + limit));
      return { columns, rows: rows.slice(skip) };
    },
  };
}
