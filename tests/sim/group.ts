/** A consumer group: who reads which partition, and when each member learns of it. */
import type { Random } from "../../sources/random.ts";
import type { Instance } from "./instance.ts";
import type { Scheduler } from "./scheduler.ts";
import type { Topic } from "./topic.ts";

export interface GroupOptions {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly topic: Topic;
  /** The longest that a member does not know what it was given or has lost, milliseconds. */
  readonly newsMs: number;
  readonly trace: (line: () => string) => void;
}

/** What a member was given, as the group sees it. */
interface Membership {
  partitions: ReadonlySet<number>;
  /** Whoever joins for the first time waits for what it is given. */
  joining: boolean;
}

export class Group {
  readonly #members = new Map<Instance, Membership>();
  /** When the newest news reaches an instance: none overtakes another. */
  readonly #newsAt = new Map<Instance, number>();

  constructor(private readonly options: GroupOptions) {}

  join(instance: Instance): void {
    if (this.#members.has(instance)) return;
    this.#members.set(instance, { partitions: new Set(), joining: !this.#newsAt.has(instance) });
    this.rebalance();
  }

  /** It has left, or is taken for dead: what it reads is others' from now on, whether it knows or not. */
  leave(instance: Instance): void {
    const membership = this.#members.get(instance);
    if (membership === undefined) return;
    this.#members.delete(instance);
    this.#tell(instance, membership, new Set());
    this.rebalance();
  }

  /** Distributes the partitions anew: most stay where they are. */
  rebalance(): void {
    const { random, topic, trace } = this.options;
    // Whoever does not answer is out.
    for (const instance of this.#members.keys()) if (!instance.alive) this.#members.delete(instance);
    if (this.#members.size === 0) return;
    const members = [...this.#members];
    const given = new Map(members.map(([instance]) => [instance, new Set<number>()]));
    topic.partitions.forEach((_, partition) => {
      const owner = members.find(([, { partitions }]) => partitions.has(partition))?.[0];
      const next = owner !== undefined && random.float() < 0.6 ? owner : random.pick(members)[0];
      given.get(next)!.add(partition);
    });
    for (const [instance, membership] of members) {
      trace(() => `${instance.name} is given the partitions ${[...given.get(instance)!]}`);
      this.#tell(instance, membership, given.get(instance)!);
    }
  }

  /** The news are on their way; a process that stands still learns of them afterwards. */
  #tell(instance: Instance, membership: Membership, partitions: ReadonlySet<number>): void {
    const { scheduler, random, newsMs, trace } = this.options;
    const lost = [...membership.partitions].filter((partition) => !partitions.has(partition));
    const gained = [...partitions].filter((partition) => !membership.partitions.has(partition));
    membership.partitions = partitions;
    // Some are taken away and given back before anybody has noticed.
    const again = [...partitions].filter((partition) => !gained.includes(partition) && random.float() < 0.15);
    const arrive = (run: () => void) => {
      const at = Math.max(this.#newsAt.get(instance)! + 0.001, scheduler.now + newsMs * random.float());
      this.#newsAt.set(instance, at);
      scheduler.after(at - scheduler.now, instance, run);
    };
    if (membership.joining) {
      membership.joining = false;
      this.#newsAt.set(instance, scheduler.now);
      return instance.source.assign(gained);
    }
    const [less, more] = [[...lost, ...again], [...gained, ...again]];
    if (less.length > 0) {
      arrive(() => {
        trace(() => `${instance.name} learns that it has lost ${less}`);
        instance.source.revoke(less);
      });
    }
    if (more.length > 0) {
      arrive(() => {
        trace(() => `${instance.name} learns that it has got ${more}`);
        instance.source.assign(more);
      });
    }
  }
}
