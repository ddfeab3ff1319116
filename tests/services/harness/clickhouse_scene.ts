/** A pipeline with the embedded log and a lake in a folder, over a ClickHouse whose requests can be made to fail. */
import { type ClickHouseAccess } from "../../../sinks/warehouse/clickhouse_access.ts";
import { openAccess } from "../../../sinks/warehouse/open.ts";
import { withTempDir } from "../../support/command_context.ts";
import { type ClickHouseServer, dropDatabase, newDatabase } from "./clickhouse.ts";
import { HttpFaultProxy, type ProxiedRequest } from "./fault_proxy.ts";
import { PipelineRun, runConfig } from "./pipeline_run.ts";
import { assertEqualsDelta } from "./warehouse_equals_delta.ts";

/** The variables with which the program uses a new database of `clickhouse`, at `url`. */
export function variables({ user, password }: ClickHouseServer, url: string): Record<string, string> {
  return {
    CLICKHOUSE_URL: url,
    CLICKHOUSE_USER: user,
    ...(password === "" ? {} : { CLICKHOUSE_PASSWORD: password }),
    CLICKHOUSE_DATABASE: newDatabase(),
  };
}

/** A pipeline that is run over a proxy in front of the server. */
export interface Scene {
  readonly run: PipelineRun;
  readonly proxy: HttpFaultProxy;
  readonly access: ClickHouseAccess;
}

/** Runs `act` while the pipeline runs, drains it, and compares ClickHouse with Delta. Prints the counts. */
export async function withPipeline(
  clickhouse: ClickHouseServer,
  name: string,
  env: Record<string, string>,
  act: (scene: Scene) => Promise<void>,
): Promise<void> {
  await withTempDir(async (dataDir) => {
    const { hostname, port } = new URL(clickhouse.url);
    await using proxy = new HttpFaultProxy({ hostname, port: Number(port || 80) });
    const config = runConfig(dataDir, { ...variables(clickhouse, proxy.url), ...env });
    const access = openAccess({ ...config, clickhouseUrl: clickhouse.url }, null);
    try {
      const run = await PipelineRun.start(config, 1_000);
      try {
        await run.untilInserted(2);
        await act({ run, proxy, access });
        await run.untilInserted(2);
      } finally {
        proxy.rule = () => ({ type: "pass" });
        proxy.setState("up");
        await run.drain();
      }
      const sessions = await assertEqualsDelta(config, access);
      console.log(
        `${name}: ${run.produced} events, ${run.commits()} commits, ${sessions} sessions, each once.`,
      );
    } finally {
      await access.client.close();
      await dropDatabase(clickhouse, config.clickhouseDatabase);
    }
  });
}

/** Whether a request inserts rows of a version. */
export const isInsert = ({ path }: ProxiedRequest) =>
  /[?&]query=INSERT(\+|%20)INTO(\+|%20)session_metrics/.test(path);
