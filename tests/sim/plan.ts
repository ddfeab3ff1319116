/** What a seed stands for: the topic, the instances, and what goes wrong. Each run has its own mixture of faults. */
import { type Config, resolveConfig } from "../../schema/config.ts";
import { Random } from "../../sources/random.ts";
import { type Service, type ServiceFaults, SERVICES } from "./network.ts";
import type { WorkloadOptions } from "./workload.ts";

/** How the last process of a run ends. */
export const ENDINGS = ["drain", "idle", "until_end", "until_end_close_open"] as const;
export type Ending = typeof ENDINGS[number];

export interface Plan {
  readonly seed: number;
  /** First offsets of the partitions that the topic has at the beginning. */
  readonly starts: readonly number[];
  /** Virtual times at which a partition is added. */
  readonly additions: readonly number[];
  /** How long records are produced, virtual milliseconds, and the time between two bursts. */
  readonly producedMs: number;
  readonly burstMs: number;
  readonly burstRecords: number;
  /** A partition that few records reach. */
  readonly quiet: number | null;
  readonly gaps: number;
  readonly workload: Omit<WorkloadOptions, "random">;
  readonly latencyMs: number;
  readonly slow: number;
  readonly messageMs: number;
  readonly stall: number;
  readonly transfers: boolean;
  readonly batchRecords: number;
  readonly pollBatches: number;
  readonly rowsPerInsert: number;
  readonly faults: Readonly<Record<Service, ServiceFaults>>;
  /** Processes that share the topic. */
  readonly instances: number;
  /** Times at which the group gives partitions to others, and how long that takes to be known at most. */
  readonly rebalances: number;
  readonly newsMs: number;
  readonly crashes: number;
  /** Processes that are taken for dead and are not. */
  readonly zombies: number;
  /** Whether clocks jump, and by how much at most, milliseconds. */
  readonly clockJumpMs: number;
  /** Whether checkpoints are damaged or lost, or retention removes what no restart needs. */
  readonly damage: boolean;
  readonly retention: boolean;
  /** Times that the table is restored to an old version. */
  readonly restores: number;
  /** The share of inserts during which the server dies. */
  readonly torn: number;
  /** Whether settings change from one process to the next. */
  readonly settingsChange: boolean;
  readonly ending: Ending;
  /** Time between two looks of each process for files to pack, virtual milliseconds; null: it does not. */
  readonly optimizeMs: number | null;
}

/** The plan of a seed. */
export function planOf(seed: number): Plan {
  const random = new Random(seed);
  const chance = (share: number) => random.float() < share;
  const partitions = 1 + random.below(3);
  const producedMs = 1_000 + random.below(3_000);
  const stormy = chance(0.75);
  const faults = Object.fromEntries(
    SERVICES.map((service) => [service, faultsOf(service, random, stormy && chance(0.5), producedMs)]),
  ) as Record<Service, ServiceFaults>;
  const damage = chance(0.25);
  // Of their own, so that the other numbers of a seed stay what they were.
  const ofRestores = new Random(seed + 4);
  return {
    seed,
    starts: Array.from({ length: partitions }, () => chance(0.2) ? random.below(50) : 0),
    additions: chance(0.2) ? [random.below(producedMs)] : [],
    producedMs,
    burstMs: 20 + random.below(100),
    burstRecords: 1 + random.below(6),
    quiet: partitions > 1 && chance(0.4) ? random.below(partitions) : null,
    gaps: chance(0.4) ? 0.15 : 0,
    workload: {
      sessions: 2 + random.below(10),
      late: chance(0.7) ? random.float() * 0.3 : 0,
      duplicates: chance(0.6) ? random.float() * 0.15 : 0,
      bad: chance(0.6) ? random.float() * 0.15 : 0,
      ends: random.float() * 0.15,
      lagMs: 1 + random.below(random.float() < 0.2 ? 3_000 : 300),
      lateMs: 300 + random.below(2_500),
      trust: chance(0.1),
    },
    latencyMs: 0.2 + random.float() * 10,
    slow: chance(0.5) ? 0.02 : 0,
    messageMs: random.float() * 3,
    stall: chance(0.4) ? 0.003 : 0,
    transfers: chance(0.05),
    batchRecords: 1 + random.below(12),
    pollBatches: 1 + random.below(3),
    rowsPerInsert: chance(0.3) ? 1 + random.below(4) : 1_000,
    faults,
    instances: chance(0.4) ? 2 + random.below(2) : 1,
    rebalances: chance(0.5) ? random.below(5) : 0,
    newsMs: chance(0.3) ? 1_500 : 150,
    crashes: chance(0.85) ? 1 + random.below(4) : 0,
    zombies: chance(0.25) ? 1 + random.below(2) : 0,
    clockJumpMs: chance(0.3) ? random.below(20_000) : 0,
    damage,
    retention: !damage && chance(0.3),
    restores: ofRestores.float() < 0.3 ? 1 + ofRestores.below(3) : 0,
    torn: chance(0.3) ? 0.2 : 0,
    settingsChange: chance(0.2),
    ending: random.pick(ENDINGS),
    optimizeMs: chance(0.4) ? 100 + random.below(900) : null,
  };
}

const NO_FAULTS: ServiceFaults = { refused: 0, lost: 0, late: 0, outage: null };

function faultsOf(service: Service, random: Random, faulty: boolean, producedMs: number): ServiceFaults {
  // What the source or the topic of dead letters cannot do ends the process: that is a crash with a sentence.
  const rare = service === "source" || service === "dead_letters" ? 0.02 : 1;
  if (!faulty) return NO_FAULTS;
  const from = random.below(producedMs);
  return {
    refused: random.float() * 0.1 * rare,
    lost: random.float() * 0.1 * rare,
    late: random.float() * 0.1 * rare,
    outage: rare === 1 && random.float() < 0.3 ? [from, from + random.below(1_500)] : null,
  };
}

const BASE: Config = resolveConfig({ flags: {}, env: {} }).config;

/** A process's settings: times are those of a run of seconds. */
export function configOf(plan: Plan, random: Random): Config {
  const varied = (value: number) => plan.settingsChange ? Math.floor(value * (0.6 + random.float())) : value;
  return {
    ...BASE,
    sessionActors: 1 + random.below(3),
    epochIntervalMs: 150 + plan.seed % 5 * 100,
    epochBytesMax: 40_000,
    mailboxBytesMax: 500 + random.below(6_000),
    revisionIntervalMs: [0, 300, 1_500, 20_000][plan.seed % 4]!,
    sessionTimeoutMs: varied(800),
    watermarkDelayMs: varied(100),
    allowedLatenessMs: varied(400),
    maxSessionDurationMs: varied(3_000),
    maxSessionEvents: varied(plan.seed % 3 === 0 ? 6 : 40),
    maxClockSkewMs: varied(500),
    keyCheck: plan.workload.trust ? "trust" : "session_id",
    // Each restart may be of the other: their snapshots are the same.
    sessionizer: random.below(4) === 0 ? "plain" : "fast",
  };
}
