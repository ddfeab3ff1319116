/** Whoever produces, breaks things, and starts processes again when they are gone. */
import type { RunMode } from "../../actors/protocol.ts";
import type { Config } from "../../schema/config.ts";
import { messageOf, SourceError } from "../../schema/errors.ts";
import type { Random } from "../../sources/random.ts";
import { Group } from "./group.ts";
import type { Instance } from "./instance.ts";
import type { Service } from "./network.ts";
import { expectSeals } from "./oracle.ts";
import { configOf } from "./plan.ts";
import { Restorer } from "./restorer.ts";
import { isOrdinary, lackingVersions, type World } from "./simulation.ts";
import { T0 } from "./time.ts";
import { Workload } from "./workload.ts";

/** Virtual time and steps within which everything must be done once nothing breaks any more. */
const PATIENCE_MS = 300_000;
const STEPS_MAX = 400_000;
/** Processes that may end in the calm because of what the storm left on its way. */
const CALM_FAILURES_MAX = 6;
/** The longest that a process stays away, and that the group does not notice that one is gone. */
const AWAY_MS = 600;
const RUNNING: RunMode = { untilEnd: false, closeOpen: false };

type Start = (name: string, config: Config, mode: RunMode) => Instance;
type Phase = "sent" | "done" | "answered";

/** Kills the process that makes a certain request. */
interface Fuse {
  requests: number;
  readonly phase: Phase;
}

export class Operator {
  /** How far wall clocks are ahead of the broker's. */
  skewMs = 0;
  /** Started so far. */
  processes = 0;
  readonly #group: Group;
  readonly #instances: Instance[] = [];
  readonly #workloads = new Map<number, Workload>();
  readonly #failures: string[] = [];
  #fuse: Fuse | null = null;
  #restorers = 0;
  #producing = true;
  /** How many processes there shall be, and how many are being started. */
  #wanted: number;
  #starting = 0;
  #mode = RUNNING;
  /** Processes that have finished, which they may when they were asked to. */
  #finished = 0;
  #mayFinish = false;
  #calmFailures = 0;

  constructor(private readonly world: World, private readonly random: Random, private readonly start: Start) {
    const { scheduler, topic, plan, trace } = world;
    this.#group = new Group({ scheduler, random, topic, newsMs: plan.newsMs, trace });
    this.#wanted = plan.instances;
  }

  /** Runs storm, calm and ending. Returns what went wrong. */
  async run(): Promise<string[]> {
    const { plan, scheduler, network } = this.world;
    network.observe = (party, _service: Service, phase) => this.#burn(party as Instance, phase);
    this.#plan();
    for (let i = 0; i < plan.instances; i++) this.#startProcess();
    await this.#until("the storm is over", () => !this.#producing && scheduler.now > plan.producedMs * 1.2);
    network.calmDown();
    this.#fuse = null;
    this.world.trace(() => "no more faults");
    if (this.#failures.length === 0) await this.#end();
    if (this.#failures.length === 0 && !this.#allConsumed()) {
      this.#failures.push(`Not all was read: ${this.#positions()}`);
    }
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
    this.#wanted = 0;
    this.#mode = RUNNING;
    const instance = this.#startProcess();
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
    const some = (count: number, until: number, run: () => void) => {
      for (let i = 0; i < count; i++) scheduler.after(plan.producedMs * until * random.float(), null, run);
    };
    scheduler.after(plan.burstMs * random.float(), null, () => this.#burst());
    topic.onAdd = () => scheduler.after(AWAY_MS * random.float(), null, () => this.#group.rebalance());
    for (const time of plan.additions) scheduler.after(time, null, () => topic.add());
    const atRequests = random.below(plan.crashes + 1);
    some(plan.crashes - atRequests, 1.1, () => this.#anyone()?.kill());
    some(
      atRequests,
      1,
      () => this.#fuse = { requests: random.below(80), phase: random.pick(["sent", "done", "answered"]) },
    );
    some(plan.zombies, 1, () => this.#suspect());
    some(plan.rebalances, 1.1, () => this.#group.rebalance());
    if (plan.clockJumpMs > 0) {
      some(4, 1.1, () => this.skewMs = (random.float() * 2 - 1) * plan.clockJumpMs);
    }
    if (plan.damage) some(8, 1.1, () => this.#damage());
    if (plan.retention) some(6, 1.1, () => this.#retain());
    if (plan.restores > 0) some(plan.restores, 1.1, () => this.#restore());
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
    if (scheduler.now + pause < plan.producedMs) scheduler.after(pause, null, () => this.#burst(), true);
    else this.#producing = false;
  }

  #alive(): Instance[] {
    return this.#instances.filter(({ alive }) => alive);
  }

  #anyone(): Instance | undefined {
    const alive = this.#alive();
    return alive.length === 0 ? undefined : this.random.pick(alive);
  }

  /** A crash between any two effects, and in the middle of one. */
  #burn(party: Instance, phase: Phase): void {
    if (this.#fuse === null || this.#fuse.phase !== phase || !party.alive) return;
    if (this.#fuse.requests-- > 0) return;
    this.#fuse = null;
    party.kill();
  }

  /** The process stands still and is taken for dead: others take over, and it goes on. */
  #suspect(): void {
    const instance = this.#anyone();
    if (instance === undefined) return;
    const { scheduler, trace } = this.world;
    const { random } = this;
    // Who stands still already does not wake before its time: what it has missed would reach it after newer news.
    instance.pausedUntil = Math.max(instance.pausedUntil, scheduler.now + random.below(1_500));
    trace(() => `${instance.name} stands still until ${instance.pausedUntil.toFixed(0)}`);
    scheduler.after(random.below(500), null, () => {
      this.#group.leave(instance);
      this.#startProcess();
    });
    // When it has learned what happened, it joins again or is stopped.
    scheduler.after(random.below(3_000) + 500, null, () => {
      if (!instance.alive) return;
      if (random.float() < 0.5) this.#group.join(instance);
      else instance.kill();
    });
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
      default: {
        const damaged = bytes.slice();
        damaged[this.random.below(bytes.length)]! ^= 1 << this.random.below(8);
        bucket.objects.set(key, damaged);
      }
    }
  }

  /** Removes the records that no kept checkpoint needs. */
  #retain(): void {
    const { bucket, topic, chains, trace } = this.world;
    topic.partitions.forEach((_, partition) => {
      const ofPartition = ({ key }: { key: string }) => key.split("/").at(-2) === String(partition);
      const oldest = bucket.list("checkpoints/").find(ofPartition);
      if (oldest === undefined) return;
      const number = Number.parseInt(oldest.key.split("/").at(-1)!, 10);
      const link = chains.get(partition)?.[number - 1];
      if (link === undefined) return;
      trace(() => `retention trims partition ${partition} to ${link.barrier.to}`);
      topic.trim(partition, link.barrier.to);
    });
  }

  /** What is thrown and is not an unanswered request is the run's end. */
  #restore(): void {
    if (this.world.bucket.list("sessions/_delta_log/").length === 0) return;
    const restorer = new Restorer(this.world, this.random, `r${++this.#restorers}`);
    this.world.trace(() => `${restorer.name} restores`);
    restorer.run().catch((error) => this.#failures.push(`A restore failed: ${messageOf(error)}`));
  }

  #startProcess(): Instance {
    const name = `p${++this.processes}`;
    const instance = this.start(name, configOf(this.world.plan, this.random), this.#mode);
    this.world.trace(() => `${name} is started`);
    this.#instances.push(instance);
    this.#group.join(instance);
    return instance;
  }

  /** Runs until `reached`; a process that is gone is replaced. */
  async #until(what: string, reached: () => boolean, anyEnd = false): Promise<void> {
    const { scheduler } = this.world;
    const deadline = scheduler.now + PATIENCE_MS;
    this.#supervise(anyEnd);
    while (!reached() && this.#failures.length === 0) {
      if (!await scheduler.step()) this.#failures.push(`Nothing is left to happen before ${what}.`);
      if (scheduler.now > deadline || scheduler.steps > STEPS_MAX) {
        this.#failures.push(`It does not come about that ${what}: ${this.#positions()}`);
      }
      this.#supervise(anyEnd);
    }
  }

  #supervise(anyEnd: boolean): void {
    for (const instance of [...this.#instances]) {
      this.#failures.push(...instance.violations.splice(0));
      if (instance.alive) continue;
      this.#instances.splice(this.#instances.indexOf(instance), 1);
      this.#gone(instance, anyEnd);
    }
    while (this.#alive().length + this.#starting < this.#wanted) {
      this.#starting++;
      this.world.scheduler.after(this.random.below(AWAY_MS), null, () => {
        this.#starting--;
        if (this.#alive().length < this.#wanted) this.#startProcess();
      });
    }
  }

  #gone(instance: Instance, anyEnd: boolean): void {
    const { scheduler, network } = this.world;
    const { end, name } = instance;
    if (end?.type === "finished") {
      this.#group.leave(instance);
      this.#finished++;
      if (!this.#mayFinish) this.#failures.push(`${name} finished unasked.`);
      return;
    }
    scheduler.after(this.random.below(AWAY_MS), null, () => this.#group.leave(instance));
    if (end === null || anyEnd) return;
    if (!isOrdinary(this.world, end)) {
      const stack = end.error instanceof Error ? end.error.stack : "";
      this.#failures.push(`${name} failed: ${messageOf(end.error)}\n${stack}`);
    }
    if (network.settled && ++this.#calmFailures > CALM_FAILURES_MAX) {
      this.#failures.push(`Processes still fail when all is calm: ${messageOf(end.error)}`);
    }
  }

  /** The calm: what was begun comes to its end. */
  async #end(): Promise<void> {
    const { network, plan } = this.world;
    const { ending } = plan;
    await this.#until("all processes are there, and ready", () => {
      const alive = this.#alive();
      return network.settled && alive.length >= plan.instances && alive.every(({ ready }) => ready);
    });
    if (ending === "idle") {
      // Under a shorter timeout than before, what is due is closed with the partition's next change only.
      const closed = () => plan.settingsChange || this.#nothingHeld();
      await this.#until("all sessions are closed", () => this.#allConsumed() && closed());
      await this.#until("ClickHouse has all versions", () => this.#allFollowed());
    }
    if (this.#failures.length > 0) return;
    this.#mayFinish = true;
    this.#wanted = 0;
    for (const instance of this.#alive()) {
      if (ending === "drain" || ending === "idle") instance.drain();
      else instance.kill();
    }
    const drained = this.#alive().map(({ name }) => name);
    await this.#until("all processes have stopped", () => this.#instances.length === 0);
    if (ending === "drain" && this.#finished === drained.length) this.#requireNothingPending(drained);
    if (ending === "idle" && this.#allFollowed()) return;
    this.#finished = 0;
    this.#wanted = 1;
    this.#mode = { untilEnd: true, closeOpen: ending === "until_end_close_open" };
    await this.#until("the bounded run is over", () => this.#finished > 0);
    this.#wanted = 0;
  }

  /** A drain brings out every revision. */
  #requireNothingPending(drained: readonly string[]): void {
    const { topic, chains } = this.world;
    for (const [partition, links] of chains) {
      if (!drained.includes(links.at(-1)!.writer)) continue;
      const { pending } = expectSeals(topic.partitions[partition]!.history, links).at(-1)!;
      if (pending === 0) continue;
      this.#failures.push(
        `A drain has left ${pending} sessions of partition ${partition} without their revision.`,
      );
    }
  }

  #allFollowed(): boolean {
    return lackingVersions(this.world).length === 0;
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
