/** Processes that the bench starts: the program as users have it, and the job until the log's end. */
import { systemClock } from "../actors/clock.ts";
import { denoRun } from "../tests/services/harness/program.ts";
import type { JobRequest, JobResult } from "./job.ts";
import { configOf, type Env } from "./world.ts";
import { histogramQuantile } from "./stats.ts";

const POLL_MS = 50;
const PATIENCE_MS = 120_000;
const SCRAPE_MS = 5_000;
const SAID_MAX = 4_000;
const STAGE = "sessionary_stage_duration_seconds";
const stageLabel = (stage: string) => `stage="${stage}"`;

function spawn(
  set: string,
  script: string,
  args: readonly string[],
  env: Env,
  [stdout, stderr]: readonly ["null" | "piped", "null" | "piped" | "inherit"],
) {
  return new Deno.Command(Deno.execPath(), {
    args: [...denoRun(set, script), ...args],
    env: { LOG_LEVEL: "warning", ...env },
    stdin: "null",
    stdout,
    stderr,
  }).spawn();
}

/**
 * Runs the whole job over what the log of `env` holds; checks that every event and session came out. `sessions` of the
 * truth is null where only the events are known.
 *
 * @throws where the output differs from the truth
 */
export async function runJob(
  env: Env,
  truth: { readonly records: number; readonly sessions: number | null },
  request: JobRequest = { closeOpen: true },
): Promise<JobResult> {
  const child = spawn("bench", "bench/job.ts", [JSON.stringify(request)], env, ["piped", "piped"]);
  const { success, stdout, stderr } = await child.output();
  const decoder = new TextDecoder();
  if (!success) throw new Error(`The job failed: ${decoder.decode(stderr).slice(-SAID_MAX)}`);
  const result: JobResult = JSON.parse(decoder.decode(stdout).trim().split("\n").at(-1)!);
  const { events, sessions, deadLetters } = result.summary;
  // What stays open is in no session yet.
  const expected = [request.closeOpen ? truth.records : events, truth.sessions ?? sessions, 0];
  if ([events, sessions, deadLetters].some((found, i) => found !== expected[i])) {
    throw new Error(
      `The job must land ${truth.records} events in ${
        truth.sessions ?? "its"
      } sessions without a dead letter: ` +
        JSON.stringify(result.summary),
    );
  }
  return result;
}

/** Produces into the log of `env` by the program, `rate` events a second; resolves when it has ended. */
export async function produceByProgram(env: Env, args: readonly string[]): Promise<void> {
  const { code } = await startProducing(env, args).status;
  if (code !== 0) throw new Error(`sessionary produce ${args.join(" ")} ended with ${code}.`);
}

/** Starts `sessionary produce` with these arguments. */
export function startProducing(env: Env, args: readonly string[]): Deno.ChildProcess {
  return spawn("sessionary", "main.ts", ["produce", ...args], env, ["null", "null"]);
}

/** Waits until `ask` says something else than null. */
export async function until<T>(
  what: string,
  ask: () => Promise<T | null>,
  patience = PATIENCE_MS,
): Promise<T> {
  const start = systemClock.monotonic();
  for (;;) {
    const answer = await ask();
    if (answer !== null) return answer;
    if (systemClock.monotonic() - start > patience) throw new Error(`Waited ${patience} ms for ${what}.`);
    await systemClock.sleep(POLL_MS);
  }
}

/** What `/metrics` said. */
export class Metrics {
  constructor(private readonly text: string) {}

  /** The sum of a metric's samples; 0 where there is none. */
  sum(name: string): number {
    const samples = this.text.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, "gm"));
    return [...samples].reduce((sum, [, value]) => sum + Number(value), 0);
  }

  /** A histogram's cumulative counts by bound, of the series whose labels have `label`. */
  buckets(name: string, label = ""): [number, number][] {
    const samples = this.text.matchAll(new RegExp(`^${name}_bucket\\{(.*)\\} (\\S+)$`, "gm"));
    return [...samples].filter(([, labels]) => labels!.includes(label)).map(([, labels, count]) => {
      const bound = /le="([^"]*)"/.exec(labels!)![1]!;
      return [bound === "+Inf" ? Infinity : Number(bound), Number(count)];
    });
  }

  /** A value of a histogram, since `before` where it is given. */
  quantile(name: string, q: number, before: Metrics | null = null, label = ""): number {
    const earlier = new Map(before?.buckets(name, label));
    const counts = this.buckets(name, label).map(([bound, count]) =>
      [bound, count - (earlier.get(bound) ?? 0)] as const
    );
    return histogramQuantile(counts, q);
  }

  /** The seconds that a stage of an epoch's landing took. */
  stageSeconds(stage: string, q: number): number {
    return this.quantile(STAGE, q, null, stageLabel(stage));
  }

  /** How often a stage was measured. */
  stageCount(stage: string): number {
    return Math.max(...this.buckets(STAGE, stageLabel(stage)).map(([, count]) => count));
  }

  /** Records in the log that were not read yet. */
  get lag(): number {
    return this.sum("sessionary_partition_lag_records");
  }
}

/** `sessionary run` in a process of its own. */
export class Running {
  private constructor(
    private readonly process: Deno.ChildProcess,
    readonly url: string,
    readonly startedAt: number,
  ) {}

  /** Starts it, and waits for its web server. */
  static async start(env: Env, args: readonly string[] = []): Promise<Running> {
    const startedAt = systemClock.now();
    const process = spawn("sessionary", "main.ts", ["run", ...args], env, ["null", "inherit"]); // Warnings are for whoever measures.
    let ended: number | null = null;
    process.status.then(({ code }) => ended = code);
    const path = `${configOf(env).dataDir}/run.json`;
    const url = await until("the program's web server", async () => {
      if (ended !== null) throw new Error(`sessionary run ended with ${ended} before its web server was up.`);
      const holder = await Deno.readTextFile(path).then(JSON.parse, () => null);
      return holder?.pid === process.pid ? holder.url ?? null : null;
    });
    return new Running(process, url, startedAt);
  }

  get pid(): number {
    return this.process.pid;
  }

  async metrics(): Promise<Metrics> {
    const response = await fetch(`${this.url}/metrics`, { signal: AbortSignal.timeout(SCRAPE_MS) });
    return new Metrics(await response.text());
  }

  /** Milliseconds from its start until its first event that was no replay. */
  async firstEventMs(): Promise<number> {
    return await until("the first new event", async () => {
      const metrics = await this.metrics().catch(() => null);
      const recovery = metrics?.sum("sessionary_recovery_seconds") ?? 0;
      // The process counts from when its runtime was up; this counts from when it was asked for.
      return recovery > 0
        ? (metrics!.sum("process_start_time_seconds") + recovery) * 1_000 - this.startedAt
        : null;
    });
  }

  /** Waits until `records` are in committed epochs, and ClickHouse has them. */
  async untilConsumed(records: number): Promise<void> {
    await until(`${records} records to be committed`, async () => {
      const metrics = await this.metrics().catch(() => null);
      if (metrics === null) return null;
      const consumed = metrics.sum("sessionary_events_total");
      return consumed >= records && metrics.sum("sessionary_warehouse_lag_versions") === 0 ? true : null;
    });
  }

  /** The most memory that it has had, and its open files. Linux only. */
  async footprint(): Promise<{ readonly rssPeakBytes: number; readonly handles: number }> {
    const [rssPeakBytes, handles] = await Promise.all([
      peakMemory(this.pid),
      output("ls", [`/proc/${this.pid}/fd`]),
    ]);
    return { rssPeakBytes, handles: handles.split("\n").filter(Boolean).length };
  }

  /** Ends it in the middle of whatever it does. */
  async kill(): Promise<void> {
    this.process.kill("SIGKILL");
    await this.process.status;
  }

  /** Stops it in order. */
  async drain(): Promise<void> {
    this.process.kill("SIGTERM");
    const { code } = await this.process.status;
    if (code !== 0) throw new Error(`sessionary run did not stop in order: it ended with ${code}.`);
  }
}

/** The most memory that a process has had, bytes; NaN where it is gone. Linux only. */
export async function peakMemory(pid: number): Promise<number> {
  const status = await output("cat", [`/proc/${pid}/status`]);
  return 1_024 * Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1] ?? NaN);
}

/** What a tool of the system prints; nothing where it fails: Deno itself may not read all of /proc. */
export async function output(tool: string, args: readonly string[]): Promise<string> {
  try {
    const { success, stdout } = await new Deno.Command(tool, { args: [...args], stderr: "null" }).output();
    return success ? new TextDecoder().decode(stdout).trim() : "";
  } catch {
    return "";
  }
}
