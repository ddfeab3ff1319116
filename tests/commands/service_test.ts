import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import type { EpochReport, PipelineSummary } from "../../actors/protocol.ts";
import { query } from "../../commands/query.ts";
import { type RunningPipeline, runService, type ServiceOptions } from "../../commands/service.ts";
import { resolveConfig } from "../../schema/config.ts";
import { EXIT, UserError } from "../../schema/errors.ts";
import type { Inspection } from "../../schema/open_session.ts";
import type { PipelineStats } from "../../schema/pipeline_stats.ts";
import type { Explorer } from "../../web/explorer.ts";
import type { QueryService } from "../../web/query_service.ts";
import { recordingContext, withTempDir } from "../support/command_context.ts";

const SUMMARY: PipelineSummary = { epochs: 1, sessions: 2, events: 3, deadLetters: 0 };

/** A pipeline that does what the test says. */
class ScriptedPipeline implements RunningPipeline {
  readonly steps: string[] = [];
  readonly #end = Promise.withResolvers<PipelineSummary>();
  readonly finished = this.#end.promise;
  #listeners: ((report: EpochReport) => void)[] = [];
  drain(): void {
    this.steps.push("drain");
    this.#end.resolve(SUMMARY);
  }
  fail(error: Error): void {
    this.#end.reject(error);
  }
  onEpoch(listener: (report: EpochReport) => void): void {
    this.#listeners.push(listener);
  }
  onNotice(): void {}
  stats(): PipelineStats {
    return {
      ingest: null,
      sessionActors: [],
      coordinator: null,
      upkeep: null,
      firstNewEventMs: null,
      pulses: [],
    };
  }
  inspect(): Promise<Inspection> {
    return Promise.resolve({ sessions: [], silentShards: [] });
  }
  report(report: EpochReport): void {
    this.#listeners.forEach((listener) => listener(report));
  }
}

const queries: QueryService = {
  queries: [{ name: "sessions", description: "Sessions" }],
  run: (name, { limit }) => Promise.resolve({ columns: ["name", "limit"], rows: [[name, limit]] }),
};

/** Of a table that nobody asks in these tests. */
const explorer: Explorer = {
  analyticsNames: [],
  analytics: () => Promise.resolve(null),
  finishedSessions: () => Promise.resolve({ columns: [], rows: [] }),
  summary: () => Promise.reject(new Error("There is no table.")),
  history: () => Promise.resolve([]),
  deadLetters: () => Promise.resolve({ columns: [], rows: [] }),
};

const REPORT: EpochReport = {
  epoch: 1,
  version: 1,
  closedBy: "interval",
  sessions: 2,
  revisions: 0,
  events: 3,
  eventsPerSecond: 0.3,
  openSessions: 0,
  deadLetters: 0,
  commitMs: 1,
  insertMs: 2,
};

/** Options of a service over `pipeline` on `path`; `started` resolves when the pipeline was asked for. */
function serviceOptions(path: string, pipeline: ScriptedPipeline, env: Record<string, string> = {}) {
  const started = Promise.withResolvers<void>();
  const resolved = resolveConfig({ flags: {}, env: { DATA_DIR: path, HTTP_PORT: "0", ...env } });
  const options: ServiceOptions<ScriptedPipeline> = {
    resolved,
    mode: { untilEnd: false, closeOpen: false },
    source: "a test",
    startPipeline: () => {
      started.resolve();
      return Promise.resolve(pipeline);
    },
    createQueryService: () => Promise.resolve(queries),
    createExplorer: () => Promise.resolve(explorer),
  };
  return { options, started: started.promise };
}

Deno.test("Ctrl-C first stops what feeds the pipeline, then drains it, and all is released", () =>
  withTempDir(async (path) => {
    const context = recordingContext();
    const pipeline = new ScriptedPipeline();
    const { options, started } = serviceOptions(path, pipeline);
    const running = runService({
      ...options,
      feed: (stop) =>
        new Promise((resolve) =>
          stop.addEventListener("abort", () => {
            pipeline.steps.push("fed");
            resolve();
          })
        ),
    }, context);
    await started;
    context.interrupt();
    await running;
    assertEquals(pipeline.steps, ["fed", "drain"]);
    assertMatch(context.printed.at(-1)!, /^Stopped in order: 1 epochs, 2 sessions from 3 events/);
    assertEquals([...Deno.readDirSync(path)].map(({ name }) => name), ["run.lock"]);
  }));

Deno.test("The first screen says where the data is and what to try; each epoch is a line", () =>
  withTempDir(async (path) => {
    const context = recordingContext();
    const pipeline = new ScriptedPipeline();
    const { options } = serviceOptions(path, pipeline);
    const running = runService(options, context);
    while (context.printed.length === 0) await context.clock.sleep(1);
    pipeline.report(REPORT);
    pipeline.drain();
    await running;
    const [screen, line] = context.printed;
    assert(screen!.includes(`${path}/lake/sessions`));
    assert(screen!.includes(`DATA_DIR=${path} deno task sessionary query brand_analytics`));
    assertMatch(line!, /^ +1 +2 +0 +0 +1 ms +2 ms +0$/);
  }));

Deno.test("With LOG_FORMAT=json standard output is one JSON object a line", () =>
  withTempDir(async (path) => {
    const context = recordingContext();
    const pipeline = new ScriptedPipeline();
    const { options, started } = serviceOptions(path, pipeline, { LOG_FORMAT: "json" });
    const running = runService(options, context);
    await started;
    await context.clock.sleep(0);
    pipeline.report(REPORT);
    pipeline.drain();
    await running;
    assertEquals(context.printed.map((line) => JSON.parse(line)), [REPORT, SUMMARY]);
  }));

Deno.test("A pipeline's failure stops its feed and is thrown, and the data directory is free again", () =>
  withTempDir(async (path) => {
    const context = recordingContext();
    const pipeline = new ScriptedPipeline();
    const { options, started } = serviceOptions(path, pipeline);
    let stopped = false;
    const running = runService({
      ...options,
      feed: (stop) =>
        new Promise((resolve) =>
          stop.addEventListener("abort", () => {
            stopped = true;
            resolve();
          })
        ),
    }, context);
    await started;
    pipeline.fail(new UserError("The disk is full.", EXIT.sink));
    await assertRejects(() => running, UserError, "The disk is full.");
    assert(stopped);
    assertEquals([...Deno.readDirSync(path)].map(({ name }) => name), ["run.lock"]);
  }));

Deno.test("A feed's failure drains the pipeline first, and is then thrown", () =>
  withTempDir(async (path) => {
    const pipeline = new ScriptedPipeline();
    const { options } = serviceOptions(path, pipeline);
    const feed = () => Promise.reject(new UserError("The log is full.", EXIT.source));
    await assertRejects(
      () => runService({ ...options, feed }, recordingContext()),
      UserError,
      "The log is full.",
    );
    assertEquals(pipeline.steps, ["drain"]);
  }));

Deno.test("A pipeline that does not start leaves nothing held", () =>
  withTempDir(async (path) => {
    const { options } = serviceOptions(path, new ScriptedPipeline());
    const startPipeline = () => Promise.reject(new UserError("events.db is damaged.", EXIT.source));
    await assertRejects(
      () => runService({ ...options, startPipeline }, recordingContext()),
      UserError,
      "events.db is damaged.",
    );
    assertEquals([...Deno.readDirSync(path)].map(({ name }) => name), ["run.lock"]);
  }));

Deno.test("A ClickHouse that Deno's permissions leave out is refused by name, before anything is held", () =>
  withTempDir(async (path) => {
    const pipeline = new ScriptedPipeline();
    const { options } = serviceOptions(path, pipeline, {
      CLICKHOUSE_URL: "https://me:hush@elsewhere.example/",
    });
    const error = await assertRejects(() => runService(options, recordingContext()), UserError) as UserError;
    assertMatch(
      error.message,
      /^CLICKHOUSE_URL names elsewhere\.example:443, and this task may reach this machine only/,
    );
    assert(!error.message.includes("hush"));
    assertEquals([...Deno.readDirSync(path)], []);
  }));

/** Runs `query` on `path`; `local` counts how often the data was opened here. */
async function runQuery(path: string, flags: { json?: boolean; limit?: number }, name = "sessions") {
  const context = recordingContext();
  let local = 0;
  await query({
    name,
    config: resolveConfig({ flags: {}, env: { DATA_DIR: path } }).config,
    settings: { json: flags.json ?? false, limit: flags.limit ?? null, asOf: null },
    openQueryService: () => {
      local++;
      return Promise.resolve({ ...queries, [Symbol.asyncDispose]: () => Promise.resolve() });
    },
  }, context);
  return { context, local };
}

Deno.test("A query asks the process that holds the data, and opens the data itself when nobody does", () =>
  withTempDir(async (path) => {
    const pipeline = new ScriptedPipeline();
    const { options, started } = serviceOptions(path, pipeline);
    const running = runService(options, recordingContext());
    await started;
    const asked = await runQuery(path, { json: true });
    assertEquals(asked.local, 0);
    assertEquals(JSON.parse(asked.context.printed[0]!), [{ name: "sessions", limit: 1_000_000 }]);
    const refused = await assertRejects(
      () => runQuery(path, {}, "nope").then(() => {}),
      UserError,
    ) as UserError;
    assertEquals(refused.exitCode, EXIT.usage);
    pipeline.drain();
    await running;
    const opened = await runQuery(path, { json: true, limit: 5 });
    assertEquals(opened.local, 1);
    assertEquals(JSON.parse(opened.context.printed[0]!), [{ name: "sessions", limit: 5 }]);
    assertEquals([...Deno.readDirSync(path)].map(({ name }) => name), ["run.lock"]);
  }));

Deno.test("A query of a folder that is not there says so, and does not make it", () =>
  withTempDir(async (root) => {
    await assertRejects(
      () => runQuery(`${root}/none`, {}).then(() => {}),
      UserError,
      "DATA_DIR must be a folder that dev or run has written",
    );
    assertEquals([...Deno.readDirSync(root)], []);
  }));

/** A port that nobody listened on a moment ago. */
function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

Deno.test("METRICS_PORT opens a second listener with metrics and health, and with nothing else", () =>
  withTempDir(async (path) => {
    const port = freePort();
    const context = recordingContext();
    const pipeline = new ScriptedPipeline();
    const { options } = serviceOptions(path, pipeline, { METRICS_PORT: String(port) });
    const running = runService(options, context);
    while (context.printed.length === 0) await context.clock.sleep(1);
    const ask = async (route: string) => {
      const response = await fetch(`http://127.0.0.1:${port}${route}`);
      return { status: response.status, text: await response.text() };
    };
    assertMatch((await ask("/metrics")).text, /^process_resident_memory_bytes [1-9]\d+$/m);
    assertEquals((await ask("/healthz")).status, 200);
    assertEquals((await ask("/api/query/sessions")).status, 404);
    pipeline.drain();
    await running;
    await assertRejects(() => fetch(`http://127.0.0.1:${port}/healthz`).then(() => {}));
  }));

Deno.test("A METRICS_PORT that is taken is refused by its own name, and nothing is left held", () =>
  withTempDir(async (path) => {
    using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { options } = serviceOptions(path, new ScriptedPipeline(), {
      METRICS_PORT: String(taken.addr.port),
    });
    const error = await assertRejects(() => runService(options, recordingContext()), UserError) as UserError;
    assertMatch(error.message, /^METRICS_PORT must be a port that is free on 127\.0\.0\.1/);
    assertEquals([...Deno.readDirSync(path)].map(({ name }) => name), ["run.lock"]);
  }));
