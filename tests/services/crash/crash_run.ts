/**
 * The crash harness: instances of the program share a topic on real services, are killed at random moments and started
 * again at once, while brokers and object store are killed now and then; at the end everything must be there once.
 */
import { systemClock } from "../../../actors/clock.ts";
import { Random } from "../../../sources/random.ts";
import { Stack } from "../harness/stack.ts";
import type { Instance, Life } from "./instance.ts";
import { type Outcome, World, type WorldOptions } from "./world.ts";

/** As long as a supervisor such as systemd waits before it starts a service again that has failed. */
const RESTART_MS = 1_000;
const OUTAGE_MS_MAX = 3_000;
/** Exit codes of a start or a run that the event log, or a sink, kept from going on. */
const SERVICE_CODES = [3, 4];

export interface CrashOptions extends WorldOptions {
  readonly kills: number;
  /** How long the kills are spread over. */
  readonly seconds: number;
  /** Kills of the object store and of the broker, by turns. */
  readonly outages: number;
}

/** What a run of the harness found. */
export interface CrashReport extends Outcome {
  readonly kills: number;
  /** Lives that ended by themselves while a service was away, and for no other reason. */
  readonly stopsByOutage: number;
  readonly fenced: number;
  readonly taken: number;
  readonly verifiedBarriers: number;
  /** Milliseconds, ascending: of starts after a kill that no outage touched. */
  readonly recoveries: readonly number[];
  readonly landings: readonly number[];
  /** Seconds of CPU time that those starts had taken at their first new event, ascending. */
  readonly cpu: readonly number[];
  /** Such starts that were killed again before their first new event. */
  readonly killedBefore: number;
  /** Starts that an outage touched. */
  readonly duringOutages: number;
}

/**
 * Runs it whole; `say` is told what happens.
 *
 * @param stop ends it early, with everything that it has started
 * @throws the reason of `stop`
 */
export async function runCrash(
  options: CrashOptions,
  say: (text: string) => void,
  stop: AbortSignal = new AbortController().signal,
): Promise<CrashReport> {
  const folder = await Deno.makeTempDir({ prefix: "crash-" });
  const stopped = new Promise<never>((_, reject) => {
    stop.addEventListener("abort", () => reject(stop.reason), { once: true });
  });
  stopped.catch(() => {}); // It may come before the run waits for it.
  try {
    await using stack = await Stack.start();
    await using world = await World.start(stack, folder, options);
    say(`The log has ${options.open} sessions that stay open, and the readers begin.`);
    await using run = new CrashRun(options, stack, world, say);
    return await Promise.race([run.run(), stopped]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

interface Outage {
  readonly service: "broker" | "object store";
  readonly from: number;
  to: number;
}

class CrashRun implements AsyncDisposable {
  readonly #random: Random;
  readonly #outages: Outage[] = [];
  readonly #problems: string[] = [];
  #starts = 0;
  #stopsByOutage = 0;
  #ending = false;
  readonly #restarting: Promise<void>[] = [];

  constructor(
    private readonly options: CrashOptions,
    private readonly stack: Stack,
    private readonly world: World,
    private readonly say: (text: string) => void,
  ) {
    this.#random = new Random(options.seed);
  }

  async run(): Promise<CrashReport> {
    const { seconds, kills } = this.options;
    for (const instance of this.world.instances) this.#start(instance);
    await this.world.begun();
    this.say(`The instances have begun; ${kills} kills within ${seconds} s follow.`);
    await Promise.all([this.#killInstances(), this.#killServices()]);
    await Promise.all(this.#restarting);
    this.#ending = true;
    return this.#report(await this.world.finish(this.say));
  }

  /** Nothing is started again from now on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending = true;
    await Promise.all(this.#restarting);
  }

  /**
   * Every other start checks its replay; how many session actors there are must not matter. A kill and the restart after
   * an outage may both ask for one: a second process would be nobody's to drain.
   */
  #start(instance: Instance): void {
    if (this.#ending || instance.isRunning) return;
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
        this.#start(instance);
      }),
    );
  }

  async #killInstances(): Promise<void> {
    const { kills, seconds } = this.options;
    const mean = seconds * 1_000 / kills;
    for (let kill = 1; kill <= kills; kill++) {
      const wait = mean * 2 * this.#random.float();
      const instance = this.#random.pick(this.world.instances);
      await systemClock.sleep(wait);
      if (!instance.isRunning) await systemClock.sleep(2 * RESTART_MS); // It is about to be started again.
      if (this.#ending) return;
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

  #report(outcome: Outcome): CrashReport {
    const { instances } = this.world;
    const lives = instances.flatMap(({ lives }) => lives.slice(1));
    const untouched = lives.filter((life) => !touches(life, this.#outages));
    const sum = (name: keyof Instance["counts"]) =>
      instances.reduce((total, { counts }) => total + counts[name], 0);
    return {
      ...outcome,
      kills: this.options.kills,
      stopsByOutage: this.#stopsByOutage,
      fenced: sum("fenced"),
      taken: sum("taken"),
      verifiedBarriers: sum("verifiedBarriers"),
      recoveries: ascending(untouched.map(({ recoveryMs }) => recoveryMs)),
      cpu: ascending(untouched.map(({ recoveryCpu }) => recoveryCpu)),
      landings: ascending(untouched.map(({ landedMs }) => landedMs)),
      killedBefore: untouched.filter(({ recoveryMs }) => recoveryMs === null).length,
      duringOutages: lives.length - untouched.length,
      problems: [...this.#problems, ...outcome.problems],
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
