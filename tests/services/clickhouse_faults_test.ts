/**
 * The whole pipeline over a ClickHouse that fails in every way it can: ingest and Delta commits go on, and in the end
 * each session is in ClickHouse once, and so are the six analytics. For slow and killed ones: `clickhouse_outages_test.ts`.
 */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { startPipeline } from "../../actors/supervisor.ts";
import { EXIT, UserError } from "../../schema/errors.ts";
import { openAccess } from "../../sinks/warehouse/open.ts";
import { withTempDir } from "../support/command_context.ts";
import { type ClickHouseServer, dropDatabase, openClickHouse } from "./harness/clickhouse.ts";
import { isInsert, variables, withPipeline } from "./harness/clickhouse_scene.ts";
import { type HttpFault } from "./harness/fault_proxy.ts";
import { PipelineRun, runConfig, until } from "./harness/pipeline_run.ts";
import { freePort } from "./harness/ports.ts";
import { assertEqualsDelta } from "./harness/warehouse_equals_delta.ts";

let server: ClickHouseServer | null = null;

Deno.test.beforeAll(async () => {
  server = await openClickHouse();
});

Deno.test.afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
});

Deno.test("ClickHouse is down for ten epochs: ingest and commits go on", () =>
  withPipeline(server!, "down", { CLICKHOUSE_TIMEOUT: "5s" }, async ({ run, proxy }) => {
    const [produced, inserted] = [run.produced, run.inserted];
    proxy.setState("refuse");
    await run.untilCommits(11);
    assert(run.produced > produced, "events are taken meanwhile");
    assert(
      run.inserted <= inserted + 2,
      "nothing is inserted meanwhile, but what the first count came too early for",
    );
    assert(
      run.warnings.some((text) =>
        /The ClickHouse insert of Delta version \d+ failed and is tried again/.test(text)
      ),
    );
    proxy.setState("up");
    await until("the end of the retries", () => run.warnings.some((text) => /succeeded after/.test(text)));
  }));

Deno.test("ClickHouse, or a proxy before it, answers 500 and 503 for some epochs", () =>
  withPipeline(server!, "answers 500", { CLICKHOUSE_TIMEOUT: "5s" }, async ({ run, proxy }) => {
    const answers: HttpFault[] = [
      { type: "answer", status: 500, body: "<html>Internal Server Error</html>" },
      { type: "answer", status: 503, body: "" },
      {
        type: "answer",
        status: 500,
        body:
          "Code: 241. DB::Exception: Memory limit (total) exceeded. (MEMORY_LIMIT_EXCEEDED) (version 26.7)\n",
      },
    ];
    let answered = 0;
    proxy.rule = () => answers[answered++ % answers.length]!;
    await run.untilCommits(4);
    await until("each answer", () => answered > answers.length);
    proxy.rule = () => ({ type: "pass" });
  }));

Deno.test("the connection is reset after every first insert of a version has succeeded", () =>
  // The time-out is longer than the test's patience: each reset must be seen.
  withPipeline(server!, "reset after the insert", { CLICKHOUSE_TIMEOUT: "10m" }, async ({ run, proxy }) => {
    const lost = new Set<string>();
    proxy.rule = (request) => {
      const token = /insert_deduplication_token=([^&]+)/.exec(request.path)?.[1];
      if (!isInsert(request) || token === undefined || lost.has(token)) return { type: "pass" };
      lost.add(token);
      return { type: "lose_answer" };
    };
    // More than the client has connections.
    await run.untilInserted(12);
    assert(lost.size >= 12, `${lost.size} answers were lost`);
  }));

Deno.test("a wrong password, or no server, keeps the pipeline from starting with one sentence; nothing is damaged", () =>
  withTempDir(async (dataDir) => {
    const env = variables(server!, server!.url);
    const nowhere = `http://127.0.0.1:${freePort()}`;
    const refused: [Record<string, string>, string][] = [
      [{ ...env, CLICKHOUSE_PASSWORD: "wrong" }, "check CLICKHOUSE_USER and CLICKHOUSE_PASSWORD."],
      [{ ...env, CLICKHOUSE_URL: nowhere }, "check CLICKHOUSE_URL and that the server runs."],
    ];
    for (const [wrong, advice] of refused) {
      const config = runConfig(dataDir, wrong);
      const start = () => startPipeline({ config, untilEnd: false, closeOpen: false });
      const error = await assertRejects(start, UserError) as UserError;
      assertStringIncludes(error.message, advice);
      assert(!error.message.includes("\n"));
      assertEquals(error.exitCode, EXIT.sink);
    }
    const config = runConfig(dataDir, env);
    const access = openAccess(config, null);
    const run = await PipelineRun.start(config, 1);
    await run.untilInserted(3);
    await run.drain();
    await assertEqualsDelta(config, access);
    await access.client.close();
    await dropDatabase(server!, config.clickhouseDatabase);
  }));
