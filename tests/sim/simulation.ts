/** A run: a seed's plan, carried out in virtual time, and judged. */
import type { EpochRecord, PartitionRecord, SessionSemantics } from "../../schema/epoch.ts";
import { SinkError, SourceError } from "../../schema/errors.ts";
import type { CommitInfo } from "../../sinks/lake/delta_actions.ts";
import { Random } from "../../sources/random.ts";
import { ClickHouse } from "./clickhouse.ts";
import { type End, Instance, type Surroundings } from "./instance.ts";
import { Network } from "./network.ts";
import { Operator } from "./operator.ts";
import { type Plan, planOf } from "./plan.ts";
import { forgetFiles } from "./plain_files.ts";
import { Scheduler } from "./scheduler.ts";
import { Bucket } from "./stores.ts";
import { Topic } from "./topic.ts";
import { judge } from "./verdict.ts";

/** A partition's recorded barrier, with what else its commit says. */
export interface ChainLink extends PartitionRecord {
  readonly semantics: SessionSemantics;
  readonly version: number;
  /** The process that wrote the commit. */
  readonly writer: string;
}

/** Everything outside the processes, and what has happened to it. */
export interface World {
  readonly plan: Plan;
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly topic: Topic;
  readonly bucket: Bucket;
  readonly clickhouse: ClickHouse;
  readonly deadLetterIds: Set<string>;
  /** The barriers in the log, by partition, in the order of the commits. */
  readonly chains: Map<number, ChainLink[]>;
  /** The versions that restored another one, and which. */
  readonly restores: Map<number, number>;
  readonly trace: (line: () => string) => void;
}

/** What became of a run. */
export interface Outcome {
  readonly seed: number;
  /** What went wrong, a line each; empty where nothing did. */
  readonly failures: readonly string[];
  readonly steps: number;
  readonly records: number;
  readonly commits: number;
  readonly processes: number;
  /** What happened, the newest last; empty unless it was asked for. */
  readonly trace: readonly string[];
}

const COMMIT = /^sessions\/_delta_log\/(\d{20})\.json$/;

/** Carries out the run of a seed. The same seed gives the same run, whatever else the machine does. */
export async function simulate(seed: number, options: { readonly trace?: boolean } = {}): Promise<Outcome> {
  forgetFiles();
  const plan = planOf(seed);
  const trace: string[] = [];
  const world = worldOf(plan, (line) => {
    if (options.trace) trace.push(`${world.scheduler.now.toFixed(2).padStart(10)} ${line()}`);
  });
  const operator: Operator = new Operator(
    world,
    new Random(seed + 2),
    (name, config, mode) =>
      new Instance(surroundings(world), {
        name,
        config,
        mode,
        seed: seed * 1_000 + operator.processes,
        skewMs: () => operator.skewMs,
      }),
  );
  const failures = await operator.run();
  failures.push(...world.clickhouse.violations);
  if (failures.length === 0) failures.push(...await judge(world));
  if (failures.length === 0) failures.push(...await operator.epilogue());
  const count = (logs: readonly { readonly length: number }[]) =>
    logs.reduce((sum, { length }) => sum + length, 0);
  return {
    seed,
    failures,
    steps: world.scheduler.steps,
    records: count(world.topic.partitions.map(({ history }) => history)),
    commits: world.bucket.list("sessions/_delta_log/").filter(({ key }) => COMMIT.test(key)).length,
    processes: operator.processes,
    trace,
  };
}

function worldOf(plan: Plan, trace: World["trace"]): World {
  const random = new Random(plan.seed + 1);
  const scheduler = new Scheduler(random);
  const { faults, latencyMs, slow } = plan;
  const network = new Network({ scheduler, random, faults, latencyMs, slow, trace });
  const topic = new Topic();
  plan.starts.forEach((start) => topic.add(start));
  const bucket = new Bucket();
  const chains = new Map<number, ChainLink[]>();
  const restores = new Map<number, number>();
  bucket.onPut = (key, bytes, writer) => {
    const version = COMMIT.exec(key)?.[1];
    if (version === undefined) return;
    const restored = restoredIn(bytes);
    if (restored !== null) restores.set(Number(version), restored);
    const record = recordIn(bytes);
    if (record === null) return;
    trace(() => `version ${Number(version)} holds epoch ${record.epoch} of ${writer}: ${filesIn(bytes)}`);
    for (const entry of record.partitions) {
      const { partition } = entry.barrier;
      const link = { ...entry, semantics: record.semantics, version: Number(version), writer };
      chains.set(partition, [...chains.get(partition) ?? [], link]);
    }
  };
  const clickhouse = new ClickHouse();
  return {
    plan,
    scheduler,
    network,
    topic,
    bucket,
    clickhouse,
    deadLetterIds: new Set(),
    chains,
    restores,
    trace,
  };
}

/** What Sessionary wrote into a commit. */
export function recordIn(commit: Uint8Array): EpochRecord | null {
  return infoIn(commit).sessionary ?? null;
}

/** The version that a commit restores. */
function restoredIn(commit: Uint8Array): number | null {
  const { operation, operationParameters } = infoIn(commit);
  return operation === "RESTORE" ? Number(operationParameters?.version) : null;
}

function infoIn(commit: Uint8Array): CommitInfo {
  for (const line of new TextDecoder().decode(commit).split("\n")) {
    if (line.startsWith('{"commitInfo"')) return JSON.parse(line).commitInfo;
  }
  return {};
}

/** The versions that ClickHouse lacks; one of OPTIMIZE has nothing for it, and may land when nobody follows any more. */
export function lackingVersions({ bucket, clickhouse }: World): number[] {
  const done = new Set(
    clickhouse.followed.filter(({ state }) => state === "done").map(({ version }) => version),
  );
  return bucket.list("sessions/_delta_log/").flatMap(({ key }) => {
    const version = Number(COMMIT.exec(key)?.[1] ?? NaN);
    if (Number.isNaN(version) || done.has(version)) return [];
    return new TextDecoder().decode(bucket.objects.get(key)!).includes('"operation":"OPTIMIZE"')
      ? []
      : [version];
  });
}

/** What a commit does to the table's files, for people. */
function filesIn(commit: Uint8Array): string {
  const actions = new TextDecoder().decode(commit).trimEnd().split("\n").map((line) => JSON.parse(line));
  return actions.flatMap((action) =>
    ["add", "remove", "cdc"].filter((name) => name in action).map((name) => `${name} ${action[name].path}`)
  ).join(", ");
}

function surroundings(world: World): Surroundings {
  const { plan, network } = world;
  const random = new Random(plan.seed + 3);
  const { messageMs: delayMs, stall, transfers, batchRecords, pollBatches, rowsPerInsert, torn } = plan;
  const { optimizeMs } = plan;
  return {
    ...world,
    reach: () => !network.calm && random.float() < torn ? random.below(2) : Infinity,
    ports: { delayMs, stall, transfers },
    batchRecords,
    pollBatches,
    rowsPerInsert,
    optimizeMs,
    newestWriter: (partition) => world.chains.get(partition)?.at(-1)?.writer,
  };
}

/** Whether a process may end like this without anything being wrong with it. */
export function isOrdinary({ plan, network }: World, end: End): boolean {
  if (end.type === "finished") return true;
  const { error } = end;
  // What is needed to start is not tried again for ever: whatever runs the process starts it again.
  if (error instanceof SinkError) return error.retryable && !network.settled;
  if (error instanceof SourceError) {
    return (!network.settled && error.message.startsWith("The brokers did not answer")) ||
      (plan.retention && /is gone|is outside/.test(error.message)) ||
      // The partition came between the process's look at the topic and its look at the log.
      (plan.additions.length > 0 && error.message.includes("the log knows partition"));
  }
  return error instanceof Error && error.message.startsWith("The topic of dead letters did not answer");
}
