/** Whoever produces, breaks things, and starts processes again when they are gone. */
import type { RunMode } from "../../actors/protocol.ts";
import type { Config } from "../../schema/config.ts";
import { messageOf, SourceError } from "../../schema/errors.ts";
import type { Random } from "../../sources/random.ts";
import type { Instance } from "./instance.ts";
import { configOf } from "./plan.ts";
import { isOrdinary, type World } from "./simulation.ts";
import { T0 } from "./time.ts";
import { Workload } from "./workload.ts";

/** Virtual time and steps within which everything must be done once nothing breaks any more. */
const PATIENCE_MS = 300_000;
const STEPS_MAX = 400_000;
/** Processes that may end in the calm because of what the storm left on its way. */
const CALM_RESTARTS_MAX = 6;
const RUNNING: RunMode = { untilEnd: false, closeOpen: false };

type Start = (name: string, config: Config, mode: RunMode) => Instance;

/** Kills the newest process at a certain request. */
interface Fuse {
  requests: number;
  readonly phase: "sent" | "done" | "answered";
}

export class Operator {
  /** How far wall clocks are ahead of the broker's. */
  skewMs = 0;
  processes = 0;
  readonly #instances: Instance[] = [];
  readonly #workloads = new Map<number, Workload>();
  readonly #failures: string[] = [];
  #fuse: Fuse | null = null;
  #starting = false;
  #producing = true;
  #finished = false;
  #mode = RUNNING;
  #restartsInCalm = 0;
  /** Set while the last process shall end, and not be followed by another once it has. */
  #ending = false;
  /** Who runs shall drain, whoever it is by then. */
  #draining = false;
  readonly #asked = new Set<Instance>();

  constructor(
    private readonly world: World,
    private readonly random: Random,
    private readonly start: Start,
  ) {}

  /** Runs storm, calm and ending. Returns what went wrong. */
  async run(): Promise<string[]> {
    const { plan, scheduler, network } = this.world;
    network.observe = (party, _service, phase) => this.#burn(party as Instance, phase);
    this.#plan();
    this.#startProcess();
    await this.#until("the storm is over", () => !this.#producing && scheduler.now > plan.producedMs * 1.2);
    network.calmDown();
    this.#fuse = null;
    this.world.trace(() => "no more faults");
    await this.#end();
    return this.#failures;
  }

  /** A topic that is made anew after all is done must be noticed, and nothing of it committed. */
  async epilogue(): Promise<string[]> {
    const { topic, chains } = this.world;
    const marked = [...chains].find(([partition, links]) => {
      const mark = links.at(-1)!.barrier.lastRecord;
      return mark !== null &&
        topic.partitions[partition]!.records.some(({ offset }) => offset === mark.offset);
    });
    if (marked === undefined || this.random.float() < 0.8) return [];
    topic.recreate(marked[0]);
    this.#mode = RUNNING;
    const instance = this.#startProcess();
    this.#ending = true;
    await this.#until("the new topic is noticed", () => !instance.alive, true);
    if (instance.end?.type !== "failed" || !(instance.end.error instanceof SourceError)) {
      this.#failures.push("A topic that was made anew was read on.");
    }
    if ([...chains.values()].some((links) => links.at(-1)!.writer === instance.name)) {
      this.#failures.push("Something was committed of a topic that was made anew.");
    }
    return this.#failures;
  }

  /** Sets down what happens when. */
  #plan(): void {
    const { plan, scheduler, topic } = this.world;
    const { random } = this;
    const at = (share: number, run: () => void) =>
      scheduler.after(plan.producedMs * share * random.float(), null, run);
    scheduler.after(plan.burstMs * random.float(), null, () => this.#burst());
    for (const time of plan.additions) scheduler.after(time, null, () => topic.add());
    for (let i = 0; i < plan.crashes; i++) {
      if (random.float() < 0.5) at(1.1, () => this.#newest()?.kill());
      else at(1, () => this.#lightFuse());
    }
    for (let i = 0; i < plan.zombies; i++) at(1, () => this.#suspect());
    if (plan.clockJumpMs > 0) {
      for (let i = 0; i < 4; i++) at(1.1, () => this.skewMs = (random.float() * 2 - 1) * plan.clockJumpMs);
    }
    for (let i = 0; i < 8 && plan.damage > 0; i++) at(1.1, () => this.#damage());
    for (let i = 0; i < 6 && plan.retention; i++) at(1.1, () => this.#retain());
  }

  #burst(): void {
    const { plan, scheduler, topic } = this.world;
    const { random } = this;
    let partition = random.below(topic.partitions.length);
    if (partition === plan.quiet && random.float() < 0.9) {
      partition = (partition + 1) % topic.partitions.length;
    }
    if (random.float() < plan.gaps) topic.skip(partition, 1 + random.below(5));
    const workload = this.#workloads.get(partition) ?? new Workload(partition, { ...plan.workload, random });
    this.#workloads.set(partition, workload);
    const records = workload.burst(1 + random.below(plan.burstRecords), scheduler.now);
    topic.append(partition, Math.floor(T0 + scheduler.now), records);
    if (random.float() < plan.gaps / 4) topic.skip(partition, 1);
    const pause = random.float() < 0.03 ? plan.producedMs / 5 : plan.burstMs * 2 * random.float();
    if (scheduler.now + pause < plan.producedMs) scheduler.after(pause, null, () => this.#burst());
    else this.#producing = false;
  }

  #newest(): Instance | undefined {
    return this.#instances.filter(({ alive }) => alive).at(-1);
  }

  #lightFuse(): void {
    this.#fuse = {
      requests: this.random.below(60),
      phase: this.random.pick(["sent", "done", "answered"]),
    };
  }

  /** A crash between any two effects, and in the middle of one. */
  #burn(party: Instance, phase: Fuse["phase"]): void {
    if (this.#fuse === null || this.#fuse.phase !== phase || party !== this.#newest()) return;
    if (this.#fuse.requests-- > 0) return;
    this.#fuse = null;
    party.kill();
  }

  /** The process stands still and is taken for dead: another one is started, and it goes on. */
  #suspect(): void {
    const instance = this.#newest();
    if (instance === undefined) return;
    const { scheduler, trace } = this.world;
    instance.pausedUntil = scheduler.now + this.random.below(1_500);
    trace(() => `${instance.name} stands still until ${instance.pausedUntil.toFixed(0)}`);
    scheduler.after(this.random.below(500), null, () => this.#startProcess());
  }

  #damage(): void {
    const { bucket, trace } = this.world;
    const checkpoints = bucket.list("checkpoints/");
    if (checkpoints.length === 0) return;
    const { key } = this.random.pick(checkpoints);
    const bytes = bucket.objects.get(key)!;
    trace(() => `${key} is damaged`);
    switch (this.random.below(3)) {
      case 0:
        bucket.objects.delete(key);
        break;
      case 1:
        bucket.objects.set(key, bytes.slice(0, this.random.below(bytes.length)));
        break;
      default:
        bytes[this.random.below(bytes.length)]! ^= 1 << this.random.below(8);
    }
  }

  /** Removes the records that no kept checkpoint needs. */
  #retain(): void {
    const { bucket, topic, chains, trace } = this.world;
    topic.partitions.forEach((_, partition) => {
      const oldest = bucket.list("checkpoints/").find(({ key }) =>
        key.split("/").at(-2) === String(partition)
      );
      if (oldest === undefined) return;
      const number = Number.parseInt(oldest.key.split("/").at(-1)!, 10);
      const link = chains.get(partition)?.[number - 1];
      if (link === undefined) return;
      trace(() => `retention trims partition ${partition} to ${link.barrier.to}`);
      topic.trim(partition, link.barrier.to);
    });
  }

  #startProcess(): Instance {
    const { plan, topic } = this.world;
    const name = `p${++this.processes}`;
    const instance = this.start(name, configOf(plan, this.random), this.#mode);
    this.world.trace(() => `${name} is started`);
    instance.source.assign(topic.partitions.map((_, partition) => partition));
    this.#instances.push(instance);
    return instance;
  }

  /** Runs until `reached`; a process that is gone is replaced. */
  async #until(what: string, reached: () => boolean, anyEnd = false): Promise<void> {
    const { scheduler } = this.world;
    const deadline = scheduler.now + PATIENCE_MS;
    while (!reached() && this.#failures.length === 0) {
      if (!await scheduler.step()) this.#failures.push(`Nothing is left to happen before ${what}.`);
      if (scheduler.now > deadline || scheduler.steps > STEPS_MAX) {
        this.#failures.push(`It does not come about that ${what}: ${this.#positions()}`);
      }
      this.#supervise(anyEnd);
    }
  }

  #supervise(anyEnd: boolean): void {
    const { scheduler, network } = this.world;
    for (const instance of this.#instances) {
      this.#failures.push(...instance.violations.splice(0));
      if (instance.alive) continue;
      this.#instances.splice(this.#instances.indexOf(instance), 1);
      const { end } = instance;
      if (end === null || anyEnd) continue;
      if (end.type === "failed" && !isOrdinary(this.world, instance.name, end)) {
        const stack = end.error instanceof Error ? end.error.stack : "";
        this.#failures.push(`${instance.name} failed: ${messageOf(end.error)}\n${stack}`);
      }
      if (end.type === "finished" && !this.#ending) this.#failures.push(`${instance.name} finished unasked.`);
      if (end.type === "failed" && network.settled && ++this.#restartsInCalm > CALM_RESTARTS_MAX) {
        this.#failures.push(`Processes still fail when all is calm: ${messageOf(end.error)}`);
      }
      if (end.type === "finished") this.#finished = true;
    }
    const newest = this.#newest();
    if (this.#draining && newest?.ready && !this.#asked.has(newest)) {
      this.#asked.add(newest);
      newest.drain();
    }
    if (this.#instances.length > 0 || this.#starting || this.#finished || anyEnd) return;
    this.#starting = true;
    scheduler.after(this.random.below(600), null, () => {
      this.#starting = false;
      this.#startProcess();
    });
  }

  /** The calm: what was begun comes to its end. */
  async #end(): Promise<void> {
    const { plan } = this.world;
    await this.#until("one process is left, and ready", () => {
      const alive = this.#instances.filter((instance) => instance.alive);
      return alive.length === 1 && alive[0]!.ready;
    });
    if (this.#failures.length > 0) return;
    if (plan.ending === "idle" && plan.additions.length === 0) {
      await this.#until("all sessions are closed", () => this.#allConsumed() && this.#nothingHeld());
      if (this.#failures.length > 0) return;
      await this.#drain();
    } else {
      await this.#bounded();
    }
    if (this.#failures.length === 0 && !this.#allConsumed()) {
      this.#failures.push(`Not all was read: ${this.#positions()}`);
    }
  }

  async #drain(): Promise<void> {
    this.#ending = true;
    this.#draining = true;
    await this.#until("the drain is over", () => this.#finished);
    this.#draining = false;
  }

  /** A bounded run after a drain or a crash. */
  async #bounded(): Promise<void> {
    const { ending } = this.world.plan;
    if (ending === "drain") {
      await this.#drain();
      this.#finished = false;
    } else {
      this.#newest()?.kill();
      this.#instances.length = 0;
    }
    if (this.#failures.length > 0) return;
    this.#ending = true;
    this.#mode = { untilEnd: true, closeOpen: ending === "until_end_close_open" };
    this.#startProcess();
    await this.#until("the bounded run is over", () => this.#finished);
  }

  #allConsumed(): boolean {
    const { topic, chains } = this.world;
    return topic.partitions.every(({ history }, partition) => {
      const last = history.at(-1);
      return last === undefined || last.offset < (chains.get(partition)?.at(-1)?.barrier.to ?? 0);
    });
  }

  #nothingHeld(): boolean {
    return [...this.world.chains.values()].every((links) => links.at(-1)!.ledger.held === 0);
  }

  #positions(): string {
    const { topic, chains } = this.world;
    return topic.partitions.map(({ start, end }, partition) => {
      const link = chains.get(partition)?.at(-1);
      return `${partition}: ${start}–${end}, committed ${link?.barrier.to}, held ${link?.ledger.held}`;
    }).join("; ");
  }
}
