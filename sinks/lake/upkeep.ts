/** The table's upkeep: OPTIMIZE, VACUUM and the log's cleanup, each on the table as it finds it, beside any other writer. */
import { VERSION } from "../../schema/version.ts";
import type { ObjectStore } from "../sink.ts";
import { DataFiles } from "./data_files.ts";
import { DeltaLog } from "./delta_log.ts";
import type { Snapshot } from "./delta_snapshot.ts";
import type { DeltaTable } from "./delta_table.ts";
import { openExistingTable } from "./existing_table.ts";
import { TABLE_ROOT } from "./lake.ts";
import { changesOf } from "./lake_commit.ts";
import { cleanLog, type LogCleanup } from "./log_cleanup.ts";
import { optimize } from "./optimize.ts";
import { type Bin, planBins, type PlanOptions } from "./optimize_plan.ts";
import type { OptimizeReport } from "./optimize_report.ts";
import { deleteFiles, planVacuum, type VacuumOptions, type VacuumPlan } from "./vacuum.ts";

/** Which versions ClickHouse has: of the table with this id. */
export type FollowedVersions = (tableId: string) => Promise<ReadonlySet<number>>;

export interface UpkeepOptions {
  /** The lake's root. */
  readonly store: ObjectStore;
  /** Wall clock, epoch milliseconds. */
  readonly now: () => number;
  readonly uuid: () => string;
}

const ENGINE = `Sessionary/${VERSION}`;

/** Looks after one table. Each call reads the table anew, and keeps nothing of it. */
export class TableUpkeep {
  readonly #log: DeltaLog;
  readonly #files: DataFiles;

  constructor(private readonly options: UpkeepOptions) {
    const { store, now, uuid } = options;
    this.#log = new DeltaLog(store, TABLE_ROOT);
    this.#files = new DataFiles({ store, root: TABLE_ROOT, now, uuid });
  }

  /** What {@linkcode TableUpkeep.optimize} would pack. */
  async planOptimize(plan: PlanOptions): Promise<readonly Bin[]> {
    const { snapshot } = await this.#open();
    return planBins(snapshot.files, plan);
  }

  /**
   * Packs small files into larger ones. The bin at work when `signal` aborts is the last.
   *
   * @throws {UserError} where there is no table
   * @throws {SinkError} where the store failed or a file cannot be read
   */
  async optimize(plan: PlanOptions, signal?: AbortSignal): Promise<OptimizeReport> {
    const { table } = await this.#open();
    const { now, uuid } = this.options;
    return await optimize({ table, files: this.#files, now, uuid, engineInfo: ENGINE, signal }, plan);
  }

  /**
   * What {@linkcode TableUpkeep.vacuum} would delete.
   *
   * @throws {UserError} for a retention that is too short, or where there is no table
   */
  async planVacuum(options: VacuumOptions, followed: FollowedVersions): Promise<VacuumPlan> {
    const { snapshot } = await this.#open();
    return await this.#planVacuum(snapshot, options, followed);
  }

  /**
   * Deletes the files that nobody needs any more, and says so in the log before and after, as Spark does.
   *
   * @throws {UserError} for a retention that is too short, or where there is no table
   */
  async vacuum(options: VacuumOptions, followed: FollowedVersions): Promise<VacuumPlan> {
    const { table, snapshot } = await this.#open();
    const plan = await this.#planVacuum(snapshot, options, followed);
    if (plan.files.length === 0) return plan;
    const files = String(plan.files.length);
    await this.#note(table, "VACUUM START", { specifiedRetentionMillis: String(options.retentionMs) }, {
      numFilesToDelete: files,
      sizeOfDataToDelete: String(plan.bytes),
    });
    await deleteFiles(this.options.store, plan);
    await this.#note(table, "VACUUM END", { status: "COMPLETED" }, { numDeletedFiles: files });
    return plan;
  }

  /**
   * Deletes what the log needs no more.
   *
   * @throws {UserError} where there is no table
   */
  async cleanLog(followed: FollowedVersions): Promise<LogCleanup> {
    const { snapshot } = await this.#open();
    const done = await followed(snapshot.metaData.id);
    let followedTo = 0;
    while (done.has(followedTo)) followedTo++;
    return await cleanLog(this.options.store, this.#log, snapshot, followedTo, this.options.now());
  }

  async #planVacuum(
    snapshot: Snapshot,
    options: VacuumOptions,
    followed: FollowedVersions,
  ): Promise<VacuumPlan> {
    const { store, now } = this.options;
    const done = await followed(snapshot.metaData.id);
    const lacking = Array.from({ length: snapshot.version + 1 }, (_, version) => version)
      .filter((version) => !done.has(version));
    const needed = new Set<string>();
    for await (const commit of this.#log.readCommits(lacking)) {
      if (commit !== null) changesOf(commit).files.forEach(({ path }) => needed.add(path));
    }
    return await planVacuum(store, TABLE_ROOT, snapshot, needed, options, now());
  }

  /** A version that changes nothing and tells what was done. */
  async #note(
    table: DeltaTable,
    operation: string,
    operationParameters: Readonly<Record<string, string>>,
    operationMetrics: Readonly<Record<string, string>>,
  ): Promise<void> {
    const { now, uuid } = this.options;
    const txnId = uuid();
    const timestamp = now();
    const info = { timestamp, operation, operationParameters, operationMetrics, engineInfo: ENGINE, txnId };
    await table.commit<never>(txnId, () => Promise.resolve({ actions: [{ commitInfo: info }] }));
  }

  #open(): Promise<{ readonly table: DeltaTable; readonly snapshot: Snapshot }> {
    return openExistingTable(this.#log, this.options.now);
  }
}
