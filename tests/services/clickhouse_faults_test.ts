/**
 * The whole pipeline, with the embedded log and a lake in a folder, over a ClickHouse that fails in every way it can:
 * ingest and Delta commits go on, and in the end each session is in ClickHouse once, and so are the six analytics.
 */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { startPipeline } from "../../actors/supervisor.ts";
import { EXIT, UserError } from "../../schema/errors.ts";
import { type ClickHouseAccess } from "../../sinks/warehouse/clickhouse_access.ts";
import { openAccess } from "../../sinks/warehouse/open.ts";
import { withTempDir } from "../support/command_context.ts";
import {
  ClickHouseFront,
  type ClickHouseServer,
  dropDatabase,
  newDatabase,
  openClickHouse,
} from "./harness/clickhouse.ts";
import { type HttpFault, HttpFaultProxy, type ProxiedRequest } from "./harness/fault_proxy.ts";
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

/** The variables with which the program uses a new database of `clickhouse`, at `url`. */
function variables({ user, password }: ClickHouseServer, url: string): Record<string, string> {
  return {
    CLICKHOUSE_URL: url,
    CLICKHOUSE_USER: user,
    ...(password === "" ? {} : { CLICKHOUSE_PASSWORD: password }),
    CLICKHOUSE_DATABASE: newDatabase(),
  };
}

/** A pipeline that is run over a proxy in front of the server. */
interface Scene {
  readonly run: PipelineRun;
  readonly proxy: HttpFaultProxy;
  readonly access: ClickHouseAccess;
}

/** Runs `act` while the pipeline runs, drains it, and compares ClickHouse with Delta. Prints the counts. */
async function withPipeline(
  name: string,
  env: Record<string, string>,
  act: (scene: Scene) => Promise<void>,
  clickhouse: ClickHouseServer = server!,
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

const isInsert = ({ path }: ProxiedRequest) =>
  /[?&]query=INSERT(\+|%20)INTO(\+|%20)session_metrics/.test(path);

Deno.test("ClickHouse is down for ten epochs: ingest and commits go on", () =>
  withPipeline("down", { CLICKHOUSE_TIMEOUT: "5s" }, async ({ run, proxy }) => {
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
  withPipeline("answers 500", { CLICKHOUSE_TIMEOUT: "5s" }, async ({ run, proxy }) => {
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
  withPipeline("reset after the insert", { CLICKHOUSE_TIMEOUT: "10m" }, async ({ run, proxy }) => {
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
  withPipeline("slow, short patience", { CLICKHOUSE_TIMEOUT: "2s" }, async ({ run, proxy }) => {
    await slowDown(proxy, 1);
    const handled = new Promise((resolve) => setTimeout(resolve, 22_000));
    await until("a warning", () => run.warnings.some((text) => text.includes("Timeout error")));
    await run.untilInserted(3);
    await handled;
  }));

Deno.test("an insert is slow by 20 s, and the program waits for it", () =>
  withPipeline("slow, long patience", { CLICKHOUSE_TIMEOUT: "1m" }, async ({ run, proxy }) => {
    await slowDown(proxy, 1);
    await run.untilInserted(3);
    assertEquals(run.warnings, []);
  }));

Deno.test("the server is killed or stopped in mid-stream, stays away, and is started again", async () => {
  await using front = await ClickHouseFront.start();
  await withPipeline("killed and stopped", { CLICKHOUSE_TIMEOUT: "5s" }, async ({ run }) => {
    for (const end of [() => front.kill(), () => front.stop(), () => front.kill()]) {
      await end();
      await run.untilCommits(2);
      await front.start();
      await run.untilInserted(2);
    }
  }, front);
});

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
