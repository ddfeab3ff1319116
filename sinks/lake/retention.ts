/**
 * Retention: whole dates leave the table because of their age, in one commit that rewrites nothing. Before that the archive
 * has them, where there is one; after it ClickHouse deletes them, and the analytics keep their sums. What was consumed stays
 * in the ledger, as with a restore: a `txn` a partition counts the events that are in no row.
 */
import { VERSION } from "../../schema/version.ts";
import type { ObjectStore } from "../sink.ts";
import type { Archive } from "./archive.ts";
import { DataFiles } from "./data_files.ts";
import { type AddFile, type DeltaAction, removeOf, type RetiredDates } from "./delta_actions.ts";
import { DeltaLog } from "./delta_log.ts";
import type { Snapshot } from "./delta_snapshot.ts";
import { recordsIn } from "./delta_stats.ts";
import { openExistingTable } from "./existing_table.ts";
import { addCounts, countSessions, type FileCounts, type RowCounts } from "./file_counts.ts";
import { TABLE_ROOT } from "./lake.ts";
import { type Owner, retiringTxns } from "./lake_commit.ts";
import {
  planRetirement,
  type RetentionOptions,
  type RetirementPlan,
  retirementsIn,
  retirementTxns,
  touchesDates,
} from "./retention_plan.ts";
import { readInSlices } from "./slices.ts";
import type { FollowedVersions } from "./upkeep.ts";

/** Files read at the same time: each is in memory as a whole. */
const PARALLEL_READS = 4;

/** What retired, or what would. */
export interface Retirement {
  readonly tableId: string;
  /** The commit; null where nothing was retired. */
  readonly version: number | null;
  /** Dates before it are old enough. */
  readonly horizon: string;
  /** The dates that left, ascending. */
  readonly dates: readonly string[];
  /** Dates with sessions that may still be revised: they wait. */
  readonly waiting: readonly string[];
  /** A version that changed such a date and that ClickHouse has not followed: until it has, nothing leaves. */
  readonly unfollowed: number | null;
  readonly files: number;
  readonly rows: number;
  /** In the lake. */
  readonly bytes: number;
  /** Whether the archive has them. */
  readonly archived: boolean;
}

export interface RetentionDeps {
  /** The lake's root. */
  readonly store: ObjectStore;
  readonly pipeline: string;
  readonly topic: string;
  /** Null: what leaves is gone once it is vacuumed. */
  readonly archive: Archive | null;
  /** Wall clock, epoch milliseconds. */
  readonly now: () => number;
  readonly uuid: () => string;
}

/** Retires dates of one table. Each call reads the table anew, and keeps nothing of it. */
export class Retention {
  readonly #log: DeltaLog;
  readonly #files: DataFiles;
  readonly #owner: Owner;

  constructor(private readonly deps: RetentionDeps) {
    const { store, pipeline, topic, now, uuid } = deps;
    this.#log = new DeltaLog(store, TABLE_ROOT);
    this.#files = new DataFiles({ store, root: TABLE_ROOT, now, uuid });
    this.#owner = { pipeline, topic, engineInfo: `Sessionary/${VERSION}` };
  }

  /**
   * What {@linkcode Retention.retire} would do now.
   *
   * @throws {UserError} where there is no table
   */
  async plan(options: RetentionOptions): Promise<Retirement> {
    const { snapshot } = await openExistingTable(this.#log, this.deps.now);
    return this.#report(snapshot, options, planRetirement(snapshot, options));
  }

  /**
   * Archives and retires the dates that are old enough.
   *
   * @throws {UserError} where there is no table
   * @throws {SinkError} where a store failed or a file cannot be read
   */
  async retire(options: RetentionOptions, followed: FollowedVersions): Promise<Retirement> {
    const { now, uuid } = this.deps;
    const { table, snapshot } = await openExistingTable(this.#log, now);
    let report = this.#report(snapshot, options, planRetirement(snapshot, options));
    if (report.files === 0) return report;
    // ClickHouse deletes whole dates: what a version before that brings there later would stay for ever.
    const done = await followed(snapshot.metaData.id);
    const txnId = uuid();
    const counted = new Map<string, FileCounts>();
    const outcome = await table.commit<null>(txnId, async (newest) => {
      const plan = planRetirement(newest, options);
      const unfollowed = await this.#unfollowed(newest.version, plan, done);
      report = this.#report(newest, options, plan, unfollowed);
      if (plan.files.size === 0 || unfollowed !== null) return { refused: null };
      await this.#prepareFiles(newest, plan, counted);
      return { actions: this.#actions(newest, options.horizon, plan, counted, txnId) };
    });
    return { ...report, version: outcome.status === "committed" ? outcome.version : null };
  }

  /** The first version that changed one of the dates and that ClickHouse lacks. */
  async #unfollowed(
    newest: number,
    plan: RetirementPlan,
    done: ReadonlySet<number>,
  ): Promise<number | null> {
    const lacking = Array.from({ length: newest + 1 }, (_, version) => version)
      .filter((version) => !done.has(version));
    const dates = new Set(plan.dates);
    let at = 0;
    for await (const commit of this.#log.readCommits(lacking)) {
      // What a version changed that the log does not have any more is not known: it may be these dates.
      if (commit === null || touchesDates(commit, dates)) return lacking[at]!;
      at++;
    }
    return null;
  }

  /** Counts what the files hold, and brings them into the archive. */
  async #prepareFiles(
    source: Snapshot,
    { files }: RetirementPlan,
    counted: Map<string, FileCounts>,
  ): Promise<void> {
    const { archive } = this.deps;
    const fresh = [...files.keys()].filter((path) => !counted.has(path));
    const reads = readInSlices(fresh, async (path) => {
      const bytes = await this.#files.read(path);
      await archive?.copy(path, bytes);
      return [path, countSessions(bytes, path)] as const;
    }, PARALLEL_READS);
    for await (const [path, counts] of reads) counted.set(path, counts);
    await archive?.commit({ source, retirement: retirementsIn(source) + 1, files });
  }

  #actions(
    snapshot: Snapshot,
    horizon: string,
    { dates, files }: RetirementPlan,
    counted: ReadonlyMap<string, FileCounts>,
    txnId: string,
  ): DeltaAction[] {
    const timestamp = Math.floor(this.deps.now());
    const sums = new Map<number, RowCounts>();
    for (const path of files.keys()) {
      for (const [partition, counts] of counted.get(path)!) addCounts(sums, partition, counts);
    }
    const partitions = [...sums].map(([partition, counts]) => ({ partition, ...counts }));
    const sessionaryRetired: RetiredDates = { horizon, dates, partitions };
    const commitInfo = {
      timestamp,
      operation: "DELETE",
      operationParameters: {
        predicate: JSON.stringify([`session_date IN (${dates.map((date) => `'${date}'`).join(", ")})`]),
      },
      operationMetrics: {
        numRemovedFiles: String(files.size),
        numRemovedBytes: String(bytesOf(files)),
        numDeletedRows: String(partitions.reduce((sum, { rows }) => sum + rows, 0)),
      },
      engineInfo: this.#owner.engineInfo,
      isBlindAppend: false,
      txnId,
      sessionaryRetired,
    };
    const events = new Map(partitions.map(({ partition, events }) => [partition, events]));
    return [
      { commitInfo },
      ...retirementTxns(snapshot, horizon, timestamp),
      ...retiringTxns(snapshot, this.#owner, events, timestamp).map((txn) => ({ txn })),
      ...[...files.values()].map((file) => ({ remove: removeOf(file, timestamp, true) })),
    ];
  }

  #report(
    { metaData }: Snapshot,
    { horizon }: RetentionOptions,
    { dates, waiting, files }: RetirementPlan,
    unfollowed: number | null = null,
  ): Retirement {
    return {
      tableId: metaData.id,
      version: null,
      horizon,
      dates,
      waiting,
      unfollowed,
      files: files.size,
      rows: [...files.values()].reduce((sum, { stats }) => sum + (recordsIn(stats) ?? 0), 0),
      bytes: bytesOf(files),
      archived: this.deps.archive !== null,
    };
  }
}

function bytesOf(files: ReadonlyMap<string, AddFile>): number {
  return [...files.values()].reduce((sum, { size }) => sum + size, 0);
}
