/**
 * The crash harness: instances of the program share a topic on real services, are killed at random moments and started
 * again at once, while brokers and object store are killed now and then; at the end everything must be there once.
 */
import { systemClock } from "../../../actors/clock.ts";
import { Random } from "../../../sources/random.ts";
import { runDeltaRs } from "../harness/delta_rs.ts";
import { runProgram } from "../harness/program.ts";
import { type PipelineEnv, Stack } from "../harness/stack.ts";
import { type CrashFeedCounts, type Disorder } from "./crash_feed.ts";
import { Instance, type Life } from "./instance.ts";
import { ProducerProcess } from "./producer.ts";

const COMPARE = new URL("../../oracle/compare_truth.py", import.meta.url).pathname;
const PARTITIONS = 8;
/** As long as a supervisor such as systemd waits before it starts a service again that has failed. */
const RESTART_MS = 1_000;
/** How long the instances may take to begin, with whatever is to be kept open. */
const BEGIN_MS = 180_000;
const OUTAGE_MS_MAX = 3_000;
/** Exit codes of a start or a run that the event log, or a sink, kept from going on. */
const SERVICE_CODES = [3, 4];

export interface CrashOptions {
  readonly kills: number;
  readonly instances: number;
  /** Events a second. */
  readonly rate: number;
  readonly seed: number;
  /** Sessions that are open all the time. */
  readonly open: number;
  /** How long the kills are spread over. */
  readonly seconds: number;
  /** Kills of the broker and of the object store, by turns. */
  readonly outages: number;
  readonly disorder: Disorder;
}

/** A life that ended by itself, or a service that was killed. */
export interface CrashReport {
  readonly produced: CrashFeedCounts;
  readonly kills: number;
  /** Lives that ended by themselves while a service was away, and for no other reason. */
  readonly stopsByOutage: number;
  readonly lost: number;
  readonly repeated: number;
  readonly unknown: number;
  readonly differing: number;
  readonly rows: number;
  readonly deadLetters: number;
  readonly consumed: number;
  readonly fenced: number;
  readonly taken: number;
  readonly revisions: number;
  readonly verifiedBarriers: number;
  /** Milliseconds, ascending: of starts after a kill that no outage touched. */
  readonly recoveries: readonly number[];
  readonly landings: readonly number[];
  /** Such starts that were killed again before their first new event. */
  readonly killedBefore: number;
  /** Starts that an outage touched. */
  readonly duringOutages: number;
  /** What is wrong, as sentences; empty where all is right. */
  readonly problems: readonly string[];
}

/** Runs it whole; `say` is told what happens. */
export async function runCrash(options: CrashOptions, say: (text: string) => void): Promise<CrashReport> {
  const folder = await Deno.makeTempDir({ prefix: "crash-" });
  try {
    await using stack = await Stack.start();
    const run = new CrashRun(options, stack, folder, say);
    try {
      return await run.run();
    } finally {
      await run.end();
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

interface Outage {
  readonly service: "broker" | "object store";
  readonly from: number;
  to: number;
}

class CrashRun {
  readonly #random: Random;
  readonly #env: PipelineEnv;
  readonly #instances: Instance[];
  readonly #truthPath: string;
  readonly #outages: Outage[] = [];
  readonly #problems: string[] = [];
  #producer: ProducerProcess | null = null;
  #starts = 0;
  #stopsByOutage = 0;
  #ending = false;
  #restarting: Promise<void>[] = [];

  constructor(
    private readonly options: CrashOptions,
    private readonly stack: Stack,
    folder: string,
    private readonly say: (text: string) => void,
  ) {
    this.#random = new Random(options.seed);
    this.#truthPath = `${folder}/truth.json`;
    this.#env = {
      ...stack.newPipeline(`${folder}/0`),
      EPOCH_INTERVAL: "1s",
      REVISION_INTERVAL: "5s",
      // What is to stay open does, however long this takes.
      SESSION_TIMEOUT: "6h",
      KAFKA_PARTITIONS: String(PARTITIONS),
    };
    this.#instances = Array.from(
      { length: options.instances },
      (_, i) => new Instance(String(i), { ...this.#env, DATA_DIR: `${folder}/${i}` }),
    );
  }

  async run(): Promise<CrashReport> {
    const { rate, seed, open, disorder, seconds, kills } = this.options;
    const [env, truthPath] = [this.#env, this.#truthPath];
    this.#producer = new ProducerProcess({ env, seed, rate, open, disorder, truthPath });
    const opened = await this.#producer.opened();
    this.say(`${opened.records} events of ${open} sessions that stay open are in the log.`);
    for (const instance of this.#instances) this.#start(instance);
    await this.#begun();
    this.say(`The instances have begun; ${kills} kills within ${seconds} s follow.`);
    await Promise.all([this.#killInstances(), this.#killServices()]);
    await Promise.all(this.#restarting);
    return await this.#finish();
  }

  /** Ends what still runs, however this ended. */
  async end(): Promise<void> {
    this.#ending = true;
    await Promise.all(this.#restarting);
    await Promise.all(this.#instances.map((instance) => instance.kill()));
    await this.#producer?.[Symbol.asyncDispose]();
  }

  /** Every other start checks its replay; how many session actors there are must not matter. */
  #start(instance: Instance): void {
    const args = this.#starts++ % 2 === 0 ? [] : ["--verify-replay"];
    instance.start(
      args,
      { SESSION_ACTORS: String(1 + this.#random.below(2)) },
      () => this.#stopped(instance),
    );
  }

  /** An instance has ended by itself: right where a service was away, a finding where not. It is started again. */
  #stopped(instance: Instance): void {
    if (this.#ending) return;
    const { code, said } = instance.life;
    const byOutage = SERVICE_CODES.includes(code!) && touches(instance.life, this.#outages);
    this.say(`  instance ${instance.name} ended by itself with ${code}: ${said.trim().split("\n").at(-1)}`);
    if (byOutage) this.#stopsByOutage++;
    else this.#problems.push(`Instance ${instance.name} ended by itself with ${code}: ${said}`);
    this.#restarting.push(
      systemClock.sleep(RESTART_MS).then(() => {
        if (!this.#ending) this.#start(instance);
      }),
    );
  }

  /** Waits until every instance has processed events, and what stays open is open. */
  async #begun(): Promise<void> {
    const started = systemClock.monotonic();
    for (;;) {
      const metrics = await Promise.all(this.#instances.map((instance) => instance.metrics()));
      const open = metrics.reduce((sum, one) => sum + (one.get("sessionary_open_sessions") ?? 0), 0);
      const all = this.#instances.every(({ life }) => life.landedMs !== null);
      if (all && open >= this.options.open) return;
      if (systemClock.monotonic() - started > BEGIN_MS) {
        const said = this.#instances.map(({ name, life }) => `${name}: ${life.said}`).join("\n");
        throw new Error(
          `The instances had not begun after ${BEGIN_MS} ms; ${open} sessions are open.\n${said}`,
        );
      }
      await systemClock.sleep(200);
    }
  }

  async #killInstances(): Promise<void> {
    const { kills, seconds } = this.options;
    const mean = seconds * 1_000 / kills;
    for (let kill = 1; kill <= kills; kill++) {
      const wait = mean * 2 * this.#random.float();
      const instance = this.#random.pick(this.#instances);
      await systemClock.sleep(wait);
      if (!instance.isRunning) await systemClock.sleep(2 * RESTART_MS); // It is about to be started again.
      const { startedAt, recoveryMs } = instance.life;
      await instance.kill();
      this.#start(instance);
      const age = ((systemClock.now() - startedAt) / 1_000).toFixed(1);
      const recovered = recoveryMs === null ? "not recovered" : `recovered after ${recoveryMs.toFixed(0)} ms`;
      this.say(`  kill ${kill}: instance ${instance.name}, ${age} s old, ${recovered}`);
    }
    await systemClock.sleep(mean);
  }

  /** The services' kills are spread over the same time. */
  async #killServices(): Promise<void> {
    const { outages, seconds } = this.options;
    const random = new Random(this.options.seed + 2);
    const share = seconds * 1_000 / Math.max(outages, 1);
    for (let i = 0; i < outages; i++) {
      const before = share * random.float() * 0.5;
      await systemClock.sleep(before);
      const start = systemClock.monotonic();
      const { broker, minio } = this.stack;
      const [service, killed] = i % 2 === 0 ? ["object store", minio] as const : ["broker", broker] as const;
      const outage: Outage = { service, from: systemClock.now(), to: Infinity };
      this.#outages.push(outage);
      this.say(`  ${service} killed`);
      await killed.kill();
      await systemClock.sleep(OUTAGE_MS_MAX * random.float());
      await killed.startAgain();
      outage.to = systemClock.now();
      this.say(`  ${service} back after ${outage.to - outage.from} ms`);
      await systemClock.sleep(share - before - (systemClock.monotonic() - start));
    }
  }

  async #finish(): Promise<CrashReport> {
    const produced = await this.#producer!.stop();
    this.say(`The producer stopped after ${produced.records} records; the instances drain.`);
    this.#ending = true;
    for (const result of await Promise.allSettled(this.#instances.map((instance) => instance.drain()))) {
      if (result.status === "rejected") this.#problems.push(String(result.reason));
    }
    await runProgram(["run", "--until-end", "--close-open"], this.#env);
    const { consumed, deadLetters } = await this.#verify();
    if (consumed !== produced.records) {
      this.#problems.push(`${consumed} records were consumed, ${produced.records} produced.`);
    }
    if (deadLetters !== produced.bad) {
      this.#problems.push(`${deadLetters} dead letters, ${produced.bad} bad records.`);
    }
    const compared = await this.#compare();
    const lives = this.#instances.flatMap(({ lives }) => lives.slice(1));
    const untouched = lives.filter((life) => !touches(life, this.#outages));
    const sum = (name: keyof Instance["counts"]) =>
      this.#instances.reduce((total, { counts }) => total + counts[name], 0);
    return {
      produced,
      kills: this.options.kills,
      stopsByOutage: this.#stopsByOutage,
      ...compared,
      deadLetters,
      consumed,
      fenced: sum("fenced"),
      taken: sum("taken"),
      revisions: sum("revisions"),
      verifiedBarriers: sum("verifiedBarriers"),
      recoveries: ascending(untouched.map(({ recoveryMs }) => recoveryMs)),
      landings: ascending(untouched.map(({ landedMs }) => landedMs)),
      killedBefore: untouched.filter(({ recoveryMs }) => recoveryMs === null).length,
      duringOutages: lives.length - untouched.length,
      problems: this.#problems,
    };
  }

  /** `verify`, whose findings are problems; what the ledger has. */
  async #verify(): Promise<{ consumed: number; deadLetters: number }> {
    const printed = await runProgram(["verify", "--json"], this.#env).catch((error: Error) => {
      this.#problems.push(error.message);
      return null;
    });
    if (printed === null) return { consumed: NaN, deadLetters: NaN };
    const { ledger } = JSON.parse(printed) as {
      ledger: { partitions: { ledger: { consumed: number; deadLetters: number } }[] };
    };
    const sum = (name: "consumed" | "deadLetters") =>
      ledger.partitions.reduce((total, { ledger }) => total + ledger[name], 0);
    return { consumed: sum("consumed"), deadLetters: sum("deadLetters") };
  }

  /** delta-rs's rows against the truth. What came late decides whether a row is a revision, so that is left out. */
  async #compare(): Promise<Pick<CrashReport, "rows" | "lost" | "repeated" | "unknown" | "differing">> {
    const args = [this.stack.tableUri(this.#env), this.#truthPath, "revision"];
    const printed = await runDeltaRs(COMPARE, args, this.stack.minio.credentials)
      .catch((error: Error) => error.message);
    const [, lost, repeated, unknown, differing] =
      /^lost (\d+), repeated (\d+), unknown (\d+), differing (\d+)$/m.exec(printed)?.map(Number) ?? [];
    const rows = Number(/^(\d+) rows in the table/m.exec(printed)?.[1]);
    const counts = [lost, repeated, unknown, differing];
    if (counts.some((count) => count !== 0)) this.#problems.push(printed);
    return {
      rows,
      lost: lost ?? NaN,
      repeated: repeated ?? NaN,
      unknown: unknown ?? NaN,
      differing: differing ?? NaN,
    };
  }
}

/** Whether a service was away while the life began. */
function touches({ startedAt, recoveryMs, endedAt }: Life, outages: readonly Outage[]): boolean {
  const until = recoveryMs === null ? endedAt : startedAt + recoveryMs;
  return outages.some(({ from, to }) => from < until && to + RESTART_MS > startedAt);
}

function ascending(values: readonly (number | null)[]): number[] {
  return values.filter((value) => value !== null).sort((a, b) => a - b);
}
