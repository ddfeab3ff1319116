/** One instance of the program: a process that is started, watched, killed, paused and started again. */
import { systemClock } from "../../../actors/clock.ts";
import type { EpochReport } from "../../../actors/protocol.ts";
import { startProgram } from "../harness/program.ts";
import type { PipelineEnv } from "../harness/stack.ts";

const LOOK_MS = 100;
const SCRAPE_MS = 1_000;
const TEXT_KEPT = 2_000;
/** How long an orderly stop may take. */
const DRAIN_MS = 90_000;

/** One life of an instance, from its start to its end. */
export interface Life {
  /** Epoch milliseconds. */
  readonly startedAt: number;
  /** Milliseconds from its start to its first event that was not replayed; null where it ended before. */
  recoveryMs: number | null;
  /** CPU time that it had taken up to then, seconds: what recovery costs, however busy the machine is. */
  recoveryCpu: number | null;
  /** Milliseconds from its start to its first report of an epoch with events, in both sinks. */
  landedMs: number | null;
  /** Epoch milliseconds; Infinity while it runs. */
  endedAt: number;
  endedBy: "still running" | "signal" | "itself";
  code: number | null;
  /** What it last said on standard error. */
  said: string;
}

/** What all its lives have counted. */
export interface InstanceCounts {
  /** Commits that left partitions out because another instance had moved them on. */
  fenced: number;
  /** Times that partitions came to it while it ran. */
  taken: number;
  /** Barriers whose rows a replay has made again, and compared. */
  verifiedBarriers: number;
}

/** A process of `run` on a data directory of its own. */
export class Instance {
  readonly lives: Life[] = [];
  readonly counts: InstanceCounts = { fenced: 0, taken: 0, verifiedBarriers: 0 };
  /** Events in epochs that it reported. */
  events = 0;
  #process: Deno.ChildProcess | null = null;
  #reading: Promise<unknown> = Promise.resolve();

  constructor(readonly name: string, private readonly env: PipelineEnv) {}

  /** Its life, or the last one it had. */
  get life(): Life {
    return this.lives.at(-1)!;
  }

  /** The partitions that it reads, ascending; none where it does not answer. */
  async partitions(): Promise<number[]> {
    const lines = (await this.#scrape()).matchAll(/^sessionary_partition_lag_records\{partition="(\d+)"\}/gm);
    return [...lines].map(([, partition]) => Number(partition)).sort((a, b) => a - b);
  }

  get isRunning(): boolean {
    return this.#process !== null;
  }

  /** Starts it; resolves at once. `onExit` is told of an end that no signal of ours has brought about. */
  start(
    args: readonly string[],
    env: Readonly<Record<string, string>>,
    onExit: (instance: Instance) => void = () => {},
  ): void {
    if (this.#process !== null) {
      throw new Error(`Instance ${this.name} is running: it must end before it starts again.`);
    }
    const life: Life = {
      startedAt: systemClock.now(),
      recoveryMs: null,
      recoveryCpu: null,
      landedMs: null,
      endedAt: Infinity,
      endedBy: "still running",
      code: null,
      said: "",
    };
    this.lives.push(life);
    const process = startProgram(["run", ...args], { ...this.env, LOG_FORMAT: "json", ...env });
    this.#process = process;
    const stdout = readLines(process.stdout, (line) => this.#printed(life, line));
    const stderr = readLines(process.stderr, (line) => this.#said(life, line));
    this.#reading = Promise.all([stdout, stderr]);
    this.#watch(life, process).catch(() => {}); // What it asks may die at any moment.
    process.status.then(({ code }) => {
      life.code = code;
      life.endedAt = systemClock.now();
      if (this.#process === process) this.#process = null;
      if (life.endedBy !== "still running") return;
      life.endedBy = "itself";
      onExit(this);
    });
  }

  /** Ends it in the middle of whatever it does. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** Stops it in order; throws where it does not. */
  async drain(): Promise<void> {
    const process = this.#process;
    if (process === null) throw new Error(`Instance ${this.name} has ended: ${this.life.said}`);
    const timeout = new AbortController();
    const late = systemClock.sleep(DRAIN_MS, timeout.signal).then(() => {
      if (!timeout.signal.aborted) process.kill("SIGKILL");
    });
    await this.#end("SIGTERM");
    timeout.abort();
    await late;
    const { code, said } = this.life;
    if (code !== 0) throw new Error(`Instance ${this.name} did not stop in order (${code}): ${said}`);
  }

  /** Makes it stand still, as a machine that is overcommitted does; or go on. */
  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    this.#process?.kill(signal);
  }

  async #end(signal: Deno.Signal): Promise<void> {
    const process = this.#process;
    if (process === null) return;
    this.life.endedBy = "signal";
    try {
      process.kill(signal);
    } catch {
      // It has just ended by itself.
    }
    await process.status;
    await this.#reading;
  }

  #printed(life: Life, line: string): void {
    const report = parsed(line) as Partial<EpochReport>;
    if (report.version === undefined) return;
    this.events += report.events ?? 0;
    if (report.events !== 0) life.landedMs ??= systemClock.now() - life.startedAt;
  }

  #said(life: Life, line: string): void {
    life.said = `${life.said}${line}\n`.slice(-TEXT_KEPT);
    if (line.includes("Another instance has committed")) this.counts.fenced++;
    if (line.includes("This instance reads the partitions")) this.counts.taken++;
    this.counts.verifiedBarriers += Number(/committed rows again at (\d+) barriers/.exec(line)?.[1] ?? 0);
  }

  /** Waits for the first new event of this life, as the process itself has measured it. */
  async #watch(life: Life, process: Deno.ChildProcess): Promise<void> {
    while (this.#process === process && life.recoveryMs === null) {
      await systemClock.sleep(LOOK_MS);
      const metrics = await this.metrics();
      const [recovery, started] = ["sessionary_recovery_seconds", "process_start_time_seconds"]
        .map((name) => metrics.get(name));
      if (recovery === undefined || started === undefined) continue;
      // The process counts from when its runtime was up; this counts from when it was asked for.
      life.recoveryCpu = metrics.get("process_cpu_seconds_total") ?? null;
      life.recoveryMs = (started + recovery) * 1_000 - life.startedAt;
    }
  }

  /** Its metrics by name, samples of one name added up; empty where it does not answer. */
  async metrics(): Promise<Map<string, number>> {
    const sums = new Map<string, number>();
    for (const line of (await this.#scrape()).split("\n")) {
      const [, name, value] = /^([a-z_]+)(?:\{.*\})? (\S+)$/.exec(line) ?? [];
      if (name !== undefined) sums.set(name, (sums.get(name) ?? 0) + Number(value));
    }
    return sums;
  }

  async #scrape(): Promise<string> {
    try {
      const { pid, url } = JSON.parse(await Deno.readTextFile(`${this.env.DATA_DIR}/run.json`));
      if (pid !== this.#process?.pid || url === null) return "";
      return await (await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(SCRAPE_MS) })).text();
    } catch {
      return ""; // It is not up yet, or no longer.
    }
  }
}

async function readLines(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  take: (line: string) => void,
): Promise<void> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    lines.forEach(take);
  }
  if (rest !== "") take(rest);
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line) ?? {};
  } catch {
    return {};
  }
}
