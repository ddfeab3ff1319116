/**
 * The upkeep actor: now and then it packs the table's small files, cleans its log, and deletes what nobody needs any more.
 * It has a worker of its own, because packing takes seconds of computing, and the commits of the epochs must not wait. It
 * is no part of the pipeline's promises: what fails is told, and tried again the next time.
 */
import type { Config } from "../schema/config.ts";
import { messageOf } from "../schema/errors.ts";
import type { UpkeepStats } from "../schema/pipeline_stats.ts";
import type { LogCleanup } from "../sinks/lake/log_cleanup.ts";
import type { OptimizeReport } from "../sinks/lake/optimize_report.ts";
import type { Retirement } from "../sinks/lake/retention.ts";
import type { VacuumPlan } from "../sinks/lake/vacuum.ts";
import type { Clock } from "./clock.ts";

/** How often the log is looked at: it is cleaned once a day, and to list it takes seconds. */
const LOG_LOOK_INTERVAL_MS = 6 * 60 * 60 * 1000;
/** How often it is looked for dates that have become old: one more does each midnight. */
const RETENTION_LOOK_INTERVAL_MS = 60 * 60 * 1000;

/** What can be done for the table beside packing, as the settings have it. */
export interface TableCare {
  vacuum(): Promise<VacuumPlan>;
  cleanLog(): Promise<LogCleanup>;
  retire(): Promise<Retirement>;
}

export interface UpkeepDeps {
  readonly config: Pick<Config, "optimizeIntervalMs" | "vacuumIntervalMs" | "retentionMs">;
  readonly clock: Clock;
  /** Packs small files, as the settings have it. */
  readonly pack: () => Promise<OptimizeReport>;
  /** Opens the table, the first time that it is asked: what needs it is loaded only then. */
  readonly openTable: () => Promise<TableCare>;
  readonly notice: (level: "info" | "warning", text: string) => void;
}

/** What is counted of each OPTIMIZE. */
const COUNTED = [
  "filesRemoved",
  "filesAdded",
  "bytesRemoved",
  "bytesAdded",
  "conflicts",
  "abandoned",
] as const satisfies readonly (keyof OptimizeReport & keyof UpkeepStats)[];

/** Looks after the table until it is stopped. */
export class Upkeep {
  readonly #counts = {
    optimizeRuns: 0,
    filesRemoved: 0,
    filesAdded: 0,
    bytesRemoved: 0,
    bytesAdded: 0,
    conflicts: 0,
    abandoned: 0,
    filesVacuumed: 0,
    bytesVacuumed: 0,
    logFilesDeleted: 0,
    failures: 0,
  };

  constructor(private readonly deps: UpkeepDeps) {}

  get stats(): UpkeepStats {
    return { actor: "upkeep", ...this.#counts };
  }

  /** Runs until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { optimizeIntervalMs, vacuumIntervalMs, retentionMs } = this.deps.config;
    const retentionLookMs = retentionMs === null ? 0 : RETENTION_LOOK_INTERVAL_MS;
    await Promise.all([
      this.#every(
        optimizeIntervalMs,
        "Packing the Delta table's small files",
        () => this.optimize(),
        signal,
      ),
      this.#every(vacuumIntervalMs, "Vacuuming the Delta table", () => this.vacuum(), signal),
      this.#every(retentionLookMs, "Retiring old dates", () => this.retire(), signal),
      this.#every(LOG_LOOK_INTERVAL_MS, "Cleaning the Delta log", () => this.cleanLog(), signal),
    ]);
  }

  /** Packs small files once. */
  async optimize(): Promise<void> {
    const report = await this.deps.pack();
    this.#counts.optimizeRuns++;
    for (const name of COUNTED) this.#counts[name] += report[name];
  }

  /** Vacuums once. */
  async vacuum(): Promise<void> {
    const { files, bytes } = await (await this.deps.openTable()).vacuum();
    this.#counts.filesVacuumed += files.length;
    this.#counts.bytesVacuumed += bytes;
    if (files.length === 0) return;
    this.deps.notice("info", `Vacuumed ${files.length} files (${bytes} bytes) that left the Delta table.`);
  }

  /** Retires old dates once. ClickHouse deletes them when the follower comes to that version. */
  async retire(): Promise<void> {
    const { version, unfollowed, dates, files, rows, bytes } = await (await this.deps.openTable()).retire();
    if (unfollowed !== null) {
      const why = `ClickHouse has not followed version ${unfollowed}, which changed them`;
      return this.deps.notice("warning", `${dates.length} old dates stay for now: ${why}.`);
    }
    if (version === null) return;
    this.deps.notice(
      "info",
      `Retired ${dates.length} dates up to ${
        dates.at(-1)
      } as version ${version}: ${rows} rows, ${files} files, ${bytes} bytes.`,
    );
  }

  /** Cleans the log once. */
  async cleanLog(): Promise<void> {
    this.#counts.logFilesDeleted += (await (await this.deps.openTable()).cleanLog()).filesDeleted;
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
