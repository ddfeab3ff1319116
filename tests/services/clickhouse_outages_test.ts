/** The whole pipeline over a ClickHouse that answers late, or is killed: each session is in it once in the end. */
import { assertEquals } from "@std/assert";
import { ClickHouseFront, type ClickHouseServer, openClickHouse } from "./harness/clickhouse.ts";
import { isInsert, withPipeline } from "./harness/clickhouse_scene.ts";
import { type HttpFaultProxy } from "./harness/fault_proxy.ts";
import { until } from "./harness/pipeline_run.ts";

let server: ClickHouseServer | null = null;

Deno.test.beforeAll(async () => {
  server = await openClickHouse();
});

Deno.test.afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
});

/** Every request of the next seconds is handled late; resolves when so many inserts were. */
async function slowDown(proxy: HttpFaultProxy, inserts: number): Promise<void> {
  let slow = 0;
  proxy.rule = (request) => {
    if (!isInsert(request) || slow >= inserts) return { type: "pass" };
    slow++;
    return { type: "delay", ms: 20_000 };
  };
  await until("a slow insert", () => slow >= inserts);
}

Deno.test("an insert is slow by 20 s, and the program gives up on it before: it lands late, beside its retry", () =>
  withPipeline(server!, "slow, short patience", { CLICKHOUSE_TIMEOUT: "2s" }, async ({ run, proxy }) => {
    await slowDown(proxy, 1);
    const handled = new Promise((resolve) => setTimeout(resolve, 22_000));
    await until("a warning", () => run.warnings.some((text) => text.includes("Timeout error")));
    await run.untilInserted(3);
    await handled;
  }));

Deno.test("an insert is slow by 20 s, and the program waits for it", () =>
  withPipeline(server!, "slow, long patience", { CLICKHOUSE_TIMEOUT: "1m" }, async ({ run, proxy }) => {
    await slowDown(proxy, 1);
    await run.untilInserted(3);
    assertEquals(run.warnings, []);
  }));

Deno.test("the server is killed or stopped in mid-stream, stays away, and is started again", async () => {
  await using front = await ClickHouseFront.start();
  await withPipeline(front, "killed and stopped", { CLICKHOUSE_TIMEOUT: "5s" }, async ({ run }) => {
    for (const end of [() => front.kill(), () => front.stop(), () => front.kill()]) {
      await end();
      await run.untilCommits(2);
      await front.start();
      await run.untilInserted(2);
    }
  });
});
