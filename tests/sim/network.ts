/**
 * What lies between an instance and everything outside it: requests take time, get lost on their way or on their way
 * back, or arrive after their sender has given up or died.
 */
import type { Random } from "../../sources/random.ts";
import type { Party, Scheduler } from "./scheduler.ts";

/** What instances talk to. */
export const SERVICES = ["lake", "checkpoints", "warehouse", "source", "dead_letters"] as const;
export type Service = typeof SERVICES[number];

/** How likely things go wrong with a service's requests, and when it is away altogether. */
export interface ServiceFaults {
  /** The request never arrives, and the caller is told so. */
  readonly refused: number;
  /** It is carried out, and the caller gets an error. */
  readonly lost: number;
  /** The caller gets an error, and it is carried out afterwards. */
  readonly late: number;
  /** Virtual times between which nothing is answered. */
  readonly outage: readonly [from: number, to: number] | null;
}

export interface NetworkOptions {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly faults: Readonly<Record<Service, ServiceFaults>>;
  /** Typical one-way time of a request, and how often one takes a hundred times as long. */
  readonly latencyMs: number;
  readonly slow: number;
  readonly trace: (line: () => string) => void;
}

/** How long a caller waits for an answer that does not come. */
const TIMEOUT_MS = 200;
/** How much later than the caller's patience a request may arrive. */
const LATE_MS = 1_500;

type Fate = "answered" | "refused" | "lost" | "late";

/** One request. */
export interface Request<T> {
  readonly party: Party;
  readonly service: Service;
  readonly name: string;
  /** What it does at the service, all at once; what it throws is the answer. */
  readonly apply: () => T;
  /** The error of a request that was not answered. */
  readonly failure: (why: string) => Error;
}

/** Carries requests, until faults stop. */
export class Network {
  #calmSince = Infinity;
  /** Told of each request when it is sent, when it is carried out and when it is answered: a crash may come there. */
  observe: (party: Party, service: Service, phase: "sent" | "done" | "answered") => void = () => {};

  constructor(private readonly options: NetworkOptions) {}

  /** No more faults from here on; answers that were lost before may still be waited for. */
  calmDown(): void {
    this.#calmSince = this.options.scheduler.now;
  }

  get calm(): boolean {
    return this.#calmSince < Infinity;
  }

  /** Whether everything that was under way in the storm has arrived or failed. */
  get settled(): boolean {
    return this.options.scheduler.now > this.#calmSince + TIMEOUT_MS + LATE_MS;
  }

  /** One-way time. */
  latency(): number {
    const { random, latencyMs, slow } = this.options;
    const usual = latencyMs * (0.2 + random.float() * 1.6);
    return !this.calm && random.float() < slow ? usual * 100 : usual;
  }

  call<T>(request: Request<T>): Promise<T> {
    const { scheduler, random, trace } = this.options;
    const { party, service, name } = request;
    const fate = this.#fate(service);
    trace(() => `${party.name} ${service} ${name}${fate === "answered" ? "" : ` (${fate})`}`);
    return new Promise<T>((resolve, reject) => {
      const fail = (delay: number) =>
        scheduler.after(delay, party, () => reject(request.failure(`the request was ${fate}`)));
      const carryOut = (delay: number, then: (answer: () => void) => void) =>
        scheduler.after(delay, null, () => {
          // What a dead process has sent may still arrive, or not.
          if (!party.alive && random.float() < 0.5) return;
          const answer = this.#apply(request, resolve, reject);
          this.observe(party, service, "done");
          then(answer);
        }, true);
      switch (fate) {
        case "answered":
          carryOut(this.latency(), (answer) =>
            scheduler.after(this.latency(), party, () => {
              answer();
              this.observe(party, service, "answered");
            }));
          break;
        case "refused":
          fail(this.latency());
          break;
        case "lost":
          carryOut(this.latency(), () => {});
          fail(TIMEOUT_MS);
          break;
        case "late":
          carryOut(TIMEOUT_MS + random.float() * LATE_MS, () => {});
          fail(TIMEOUT_MS);
          break;
      }
      this.observe(party, service, "sent");
    });
  }

  #apply<T>({ apply }: Request<T>, resolve: (value: T) => void, reject: (error: unknown) => void) {
    try {
      const value = apply();
      return () => resolve(value);
    } catch (error) {
      return () => reject(error);
    }
  }

  #fate(service: Service): Fate {
    const { scheduler, random, faults } = this.options;
    if (this.calm) return "answered";
    const { refused, lost, late, outage } = faults[service];
    if (outage !== null && scheduler.now >= outage[0] && scheduler.now < outage[1]) {
      return random.float() < 0.8 ? "refused" : "lost";
    }
    const draw = random.float();
    if (draw < refused) return "refused";
    if (draw < refused + lost) return "lost";
    return draw < refused + lost + late ? "late" : "answered";
  }
}
