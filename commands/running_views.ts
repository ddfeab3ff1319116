/** What is shown of a pipeline that runs: loaded once it does, so that a restart reads events sooner. */
import type { ClickHouseClient } from "@clickhouse/client";
import type { Config } from "../schema/config.ts";
import type { Explorer } from "../web/explorer.ts";
import type { QueryService } from "../web/query_service.ts";

interface WithWarehouse {
  openWarehouse(): Promise<ClickHouseClient>;
}

/** Makes the named queries, and what the page asks of the sinks. */
export function runningViews(config: Config) {
  return {
    async createQueryService(pipeline: WithWarehouse): Promise<QueryService> {
      const { createQueryService } = await import("./open_query_service.ts");
      return createQueryService(config, await pipeline.openWarehouse());
    },
    async createExplorer(pipeline: WithWarehouse): Promise<Explorer> {
      const { createExplorer } = await import("./open_explorer.ts");
      return createExplorer(config, await pipeline.openWarehouse());
    },
  };
}
