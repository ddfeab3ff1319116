/**
 * The upkeep actor: now and then it packs the table's small files, cleans its log, and deletes what nobody needs any more.
 * It has a worker of its own, because packing takes seconds of computing, and the commits of the epochs must not wait. It
 * is no part of the pipeline's promises: what fails is told, and tried again the next time.
 */
import type { Config } from "../schema/config.ts";
import { messageOf } from "../schema/errors.ts";
import type { UpkeepStats } from "../schema/pipeline_stats.ts";
import { addReports, NOTHING_OPTIMIZED, type OptimizeReport } from "../sinks/lake/optimize_report.ts";
import { optimizePlan } from "../sinks/lake/optimize_plan.ts";
import type { FollowedVersions, TableUpkeep } from "../sinks/lake/upkeep.ts";
import type { Clock } from "./clock.ts";

/** How often the log is looked at: it is cleaned once a day, and to list it takes seconds. */
const LOG_LOOK_INTERVAL_MS = 6 * 60 * 60 * 1000;

export interface UpkeepDeps {
  readonly config: Config;
  readonly clock: Clock;
  /** Opens the lake, the first time that it is asked: what needs it is loaded only then. */
  readonly openUpkeep: () => Promise<Pick<TableUpkeep, "optimize" | "vacuum" | "cleanLog">>;
  /** Which versions ClickHouse has. */
  readonly followed: FollowedVersions;
  readonly notice: (level: "info" | "warning", text: string) => void;
}

/** Looks after the table until it is stopped. */
export class Upkeep {
  #optimized: OptimizeReport = NOTHING_OPTIMIZED;
  #counts = { optimizeRuns: 0, filesVacuumed: 0, bytesVacuumed: 0, logFilesDeleted: 0, failures: 0 };

  constructor(private readonly deps: UpkeepDeps) {}

  get stats(): UpkeepStats {
    const { versions: _, ...optimized } = this.#optimized;
    return { actor: "upkeep", ...optimized, ...this.#counts };
  }

  /** Runs until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { optimizeIntervalMs, vacuumIntervalMs } = this.deps.config;
    await Promise.all([
      this.#every(
        optimizeIntervalMs,
        "Packing the Delta table's small files",
        () => this.optimize(signal),
        signal,
      ),
      this.#every(vacuumIntervalMs, "Vacuuming the Delta table", () => this.vacuum(), signal),
      this.#every(LOG_LOOK_INTERVAL_MS, "Cleaning the Delta log", () => this.cleanLog(), signal),
    ]);
  }

  /** Packs small files once. */
  async optimize(signal?: AbortSignal): Promise<void> {
    const { config, clock, openUpkeep } = this.deps;
    const plan = optimizePlan(config, clock.now(), { date: null, patient: true });
    const report = await (await openUpkeep()).optimize(plan, signal);
    this.#counts.optimizeRuns++;
    this.#optimized = addReports(this.#optimized, report);
  }

  /** Vacuums once. */
  async vacuum(): Promise<void> {
    const { config, openUpkeep, followed, notice } = this.deps;
    const options = { retentionMs: config.vacuumRetentionMs, force: false };
    const { files, bytes } = await (await openUpkeep()).vacuum(options, followed);
    this.#counts.filesVacuumed += files.length;
    this.#counts.bytesVacuumed += bytes;
    if (files.length > 0) {
      notice("info", `Vacuumed ${files.length} files (${bytes} bytes) that left the Delta table.`);
    }
  }

  /** Cleans the log once. */
  async cleanLog(): Promise<void> {
    const { openUpkeep, followed } = this.deps;
    this.#counts.logFilesDeleted += (await (await openUpkeep()).cleanLog(followed)).filesDeleted;
  }

  /** Instances work at different times: what one has done, the others find done. */
  async #every(
    intervalMs: number,
    what: string,
    work: () => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    const { clock, notice } = this.deps;
    while (intervalMs > 0 && !signal.aborted) {
      await clock.sleep(intervalMs * (0.5 + clock.random()), signal);
      if (signal.aborted) return;
      try {
        await work();
      } catch (error) {
        this.#counts.failures++;
        notice("warning", `${what} failed and is tried again later: ${messageOf(error)}`);
      }
    }
  }
}
