import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { systemClock } from "../../actors/clock.ts";
import { startPipeline } from "../../actors/supervisor.ts";
import { UserError } from "../../schema/errors.ts";
import { AccessLogFeed } from "../../sources/access_log.ts";
import { openEmbeddedLog } from "../../sources/embedded_log.ts";
import { deadLetterTopicOf } from "../../sources/open.ts";
import { NdjsonFeed } from "../../sources/ndjson.ts";
import { SimulatedFeed } from "../../sources/simulated_feed.ts";
import { Simulator, virtualTimeline } from "../../sources/simulator.ts";
import { NAMED_QUERIES } from "../../sinks/warehouse/queries.ts";
import { withTempDir } from "../support/command_context.ts";
import {
  barriersToReplay,
  configOf,
  deadLetters,
  deltaRows,
  feedTopic,
  ledgerOf,
  type Row,
  runToEnd,
  warehouseRows,
} from "../support/pipeline_run.ts";
import { byPlace, comparable } from "../support/truth_rows.ts";

const ACCESS_LOG = new URL("../data/access.log.gz", import.meta.url).pathname;

function simulated(events: number, seed: number, truthPath?: string): SimulatedFeed {
  const { timeline, readers } = virtualTimeline(events, Date.now());
  return new SimulatedFeed(new Simulator({ seed, timeline, readers }), { events, truthPath });
}

Deno.test("every simulated session lands in Delta, in ClickHouse and in the six views as the simulator's truth has it", () =>
  withTempDir(async (dir) => {
    const config = configOf({ DATA_DIR: `${dir}/data`, SESSION_ACTORS: "3", EPOCH_INTERVAL: "200ms" });
    await feedTopic(config, simulated(20_000, 11, `${dir}/truth.json`));
    const summary = await runToEnd(config);
    const truth = JSON.parse(await Deno.readTextFile(`${dir}/truth.json`)).sessions as Row[];
    const rows = await deltaRows(config);
    assertEquals(rows.map(comparable).sort(byPlace), truth.sort(byPlace));
    assertEquals([summary.sessions, summary.events], [truth.length, 20_000]);
    const ledger = await ledgerOf(config);
    const total = (name: string) => truth.reduce((sum, row) => sum + Number(row[name]), 0);
    assertEquals(ledger, { consumed: 20_000, inSessions: 20_000, duplicates: 0, deadLetters: 0, held: 0 });
    const answers = await warehouseRows(config, [...NAMED_QUERIES.keys()]);
    assertEquals(answers.get("sessions")!.length, truth.length);
    for (const [name, groups] of answers) {
      if (name === "sessions") continue;
      const sum = (column: string) => groups.reduce((sum, group) => sum + Number(group[column]), 0);
      if (name === "page_analytics") assertEquals(sum("page_views"), total("pages_visited_count"), name);
      else assertEquals([sum("sessions"), sum("total_events")], [truth.length, 20_000], name);
    }
  }));

Deno.test("a real access log gives the same rows with 1, 2 and 4 session actors, and its sessions are the gaps'", () =>
  withTempDir(async (dir) => {
    const runs: Row[][] = [];
    for (const actors of [1, 2, 4]) {
      const config = configOf({ DATA_DIR: `${dir}/${actors}`, SESSION_ACTORS: String(actors) });
      await feedTopic(
        config,
        new AccessLogFeed({ path: ACCESS_LOG, sessionKey: "host", onUnparsable: () => {} }),
      );
      await runToEnd(config);
      runs.push((await deltaRows(config)).map(({ created_at: _, ...row }) => row).sort(byPlace));
    }
    assertEquals(runs[1], runs[0]);
    assertEquals(runs[2], runs[0]);
    assertEquals(
      runs[0]!.map(({ session_id, session_start, total_events }) =>
        `${session_id} ${session_start} ${total_events}`
      )
        .sort(),
      await sessionsByGaps(),
    );
  }));

/** The access log's sessions by a computation of its own: hosts and times by pattern, cut at 30 minutes. */
async function sessionsByGaps(): Promise<string[]> {
  const file = await Deno.open(ACCESS_LOG);
  const text = await new Response(file.readable.pipeThrough(new DecompressionStream("gzip"))).text();
  const times = new Map<string, number[]>();
  for (const [, host, time] of text.matchAll(/^(\S+) \S+ \S+ \[([^\]]+)\]/gm)) {
    const at = Date.parse(time!.replace(/^(\d+)\/(\w+)\/(\d+):/, "$2 $1 $3 "));
    times.set(host!, [...times.get(host!) ?? [], at]);
  }
  return [...times].flatMap(([host, unordered]) => {
    const sessions: { start: number; end: number; events: number }[] = [];
    for (const at of unordered.sort((a, b) => a - b)) {
      const current = sessions.at(-1);
      if (current && at - current.end <= 30 * 60_000) {
        Object.assign(current, { end: at, events: current.events + 1 });
      } else sessions.push({ start: at, end: at, events: 1 });
    }
    return sessions.map(({ start, events }) => `${host} ${start} ${events}`);
  }).sort();
}

Deno.test("bad input becomes dead letters with their bytes, in the lake and in their topic, and good input goes on", () =>
  withTempDir(async (dir) => {
    const config = configOf({ DATA_DIR: `${dir}/data` });
    const good = (id: string, session = "good") =>
      JSON.stringify({
        event_id: id,
        session_id: session,
        user_id: 1,
        event_type: "search",
        timestamp: Date.now(),
      });
    const bad = ["{bad", "{},{}", "[1]", "null", "", '{"session_id":"good"}', "x".repeat(1 << 20)];
    const lines = bad.flatMap((line, i) => [line, good(`e${i}`)]);
    lines.push(good("__proto__", "__proto__"), good("\0", "a\0b"), good("😀", "😀"));
    await Deno.writeTextFile(`${dir}/in.ndjson`, lines.join("\n") + "\n");
    await feedTopic(config, new NdjsonFeed({ path: `${dir}/in.ndjson` }));
    const summary = await runToEnd(config);
    assertEquals([summary.events, summary.deadLetters], [lines.length, bad.length]);
    const rows = await deltaRows(config);
    assertEquals(
      rows.map(({ session_id, total_events }) => [session_id, total_events]).sort(),
      [["__proto__", 1], ["a\0b", 1], ["good", bad.length], ["😀", 1]],
    );
    const letters = await deadLetters(config);
    assertEquals(letters.map(({ value_text }) => value_text).sort(), [...bad].sort());
    assert(letters.every(({ reason, detail }) => reason !== "" && detail !== ""));
    const log = openEmbeddedLog({
      path: `${dir}/data/events.db`,
      now: systemClock.now,
      sleep: systemClock.sleep,
    });
    const [dlq] = await log.source(deadLetterTopicOf(config.topic)).ranges();
    log.close();
    assertEquals(dlq!.end - dlq!.start, bad.length);
  }));

Deno.test("a pipeline that was drained goes on from where it was, with the sessions it held open, and no session twice", () =>
  withTempDir(async (dir) => {
    const config = configOf({ DATA_DIR: `${dir}/data` });
    const line = (session: string, type: string, at: number) =>
      JSON.stringify({
        event_id: `${type}${at}`,
        session_id: session,
        user_id: 1,
        event_type: type,
        timestamp: 1.7e12 + at,
      });
    const feed = async (lines: string[]) => {
      await Deno.writeTextFile(`${dir}/in.ndjson`, lines.join("\n"));
      await feedTopic(config, new NdjsonFeed({ path: `${dir}/in.ndjson` }));
    };
    await feed([line("a", "search", 0), line("b", "search", 0), line("b", "session_end", 5)]);
    const first = await runToEnd(config, false);
    await feed([line("a", "article_view", 1_000), line("a", "session_end", 2_000)]);
    const second = await runToEnd({ ...config, sessionActors: 4 }, false);
    const third = await runToEnd(config, false);
    assertEquals([first.sessions, second.sessions, third.sessions], [1, 1, 0]);
    const rows = await deltaRows(config);
    assertEquals(rows.map(({ session_id, total_events }) => [session_id, total_events]).sort(), [["a", 3], [
      "b",
      2,
    ]]);
    const { consumed, held } = await ledgerOf(config);
    assertEquals([consumed, held], [5, 0]);
  }));

Deno.test("a process that was killed goes on by replay: every session once, in both sinks", () =>
  withTempDir(async (dir) => {
    const env = { DATA_DIR: `${dir}/data`, EPOCH_INTERVAL: "200ms", SESSION_ACTORS: "2" };
    const config = configOf(env);
    await feedTopic(config, simulated(3_000, 5));
    const main = new URL("../../main.ts", import.meta.url).pathname;
    for (let kills = 0; kills < 3; kills++) {
      const expected = await barriersToReplay(config);
      const args = ["run", "-q", "--no-prompt", "-P=sessionary", main, "run", "--verify-replay"];
      const child = new Deno.Command(Deno.execPath(), { args, env, stdout: "piped", stderr: "piped" })
        .spawn();
      await untilCommitted(child, 2);
      child.kill("SIGKILL");
      const problems = new TextDecoder().decode((await child.output()).stderr);
      const [, again] = /made the committed rows again at (\d+) barriers/.exec(problems) ?? [];
      assertEquals(again, String(expected), `the replay is verified: ${problems}`);
      await feedTopic(config, simulated(3_000, 6 + kills));
    }
    await runToEnd(config);
    const rows = await deltaRows(config);
    const { consumed, inSessions, held } = await ledgerOf(config);
    assertEquals([consumed, inSessions, held], [12_000, 12_000, 0]);
    assertEquals(rows.reduce((sum, row) => sum + Number(row.total_events), 0), 12_000);
    assertEquals(new Set(rows.map((row) => `${row.source_partition}-${row.first_offset}`)).size, rows.length);
    const answers = await warehouseRows(config, ["sessions", "session_summary"]);
    assertEquals(answers.get("sessions")!.length, rows.length);
    const summed = answers.get("session_summary")!.reduce((sum, row) => sum + Number(row.sessions), 0);
    assertEquals(summed, rows.length);
  }));

/** Waits until the process has printed `epochs` lines of committed epochs. */
async function untilCommitted(child: Deno.ChildProcess, epochs: number): Promise<void> {
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let printed = "";
  while ((printed.match(/^ +\d+ +[\d,]+ .* ms/gm) ?? []).length < epochs) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`The pipeline ended by itself: ${printed}`);
    printed += value;
  }
  await reader.cancel();
}

Deno.test("what keeps the pipeline from starting is one sentence that names the setting or the file", () =>
  withTempDir(async (dir) => {
    const start = (env: Record<string, string>) => () =>
      startPipeline({ config: configOf(env), untilEnd: true, closeOpen: false });
    const unreachable = { DATA_DIR: `${dir}/a`, CLICKHOUSE_URL: "http://127.0.0.1:1" };
    const refused = await assertRejects(start(unreachable), UserError) as Error;
    assertStringIncludes(refused.message, "CLICKHOUSE_URL");
    await Deno.mkdir(`${dir}/b`);
    const garbage = crypto.getRandomValues(new Uint8Array(20_000));
    await Deno.writeFile(`${dir}/b/events.db`, garbage);
    const damaged = await assertRejects(start({ DATA_DIR: `${dir}/b` }), UserError) as Error;
    assertStringIncludes(damaged.message, "events.db");
    assertEquals(await Deno.readFile(`${dir}/b/events.db`), garbage);
  }));
