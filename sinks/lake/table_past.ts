/** The table's past: what it was at a version or a time, and what each version changed. Works beside whoever writes to it. */
import type { ColumnBatch } from "../../schema/column_batch.ts";
import { UserError } from "../../schema/errors.ts";
import type { ChangedFile } from "../sink.ts";
import { type ChangeType, decodeChangedFile } from "./change_data.ts";
import type { DataFiles } from "./data_files.ts";
import { commitInfoOf } from "./delta_actions.ts";
import type { DeltaLog } from "./delta_log.ts";
import type { Snapshot } from "./delta_snapshot.ts";
import { recordsIn } from "./delta_stats.ts";
import { filesOf } from "./lake_commit.ts";
import { describeTable, type TableDescription } from "./table_history.ts";
import { versionAt } from "./version_at.ts";

export interface TablePastDeps {
  readonly log: DeltaLog;
  readonly files: DataFiles;
  /**
   * The table at a version, by default the newest.
   *
   * @throws {UserError} where there is none
   */
  readonly load: (version?: number) => Promise<Snapshot>;
}

/** Rows that one version changed. */
export interface VersionRows {
  readonly version: number;
  /** When its writer made it, epoch milliseconds; null where it did not say. */
  readonly timestampMs: number | null;
  /** SESSION_KINDS */
  readonly rows: ColumnBatch;
  readonly typeOf: (row: number) => ChangeType;
}

/** Reads what the table was. */
export class TablePast {
  constructor(private readonly deps: TablePastDeps) {}

  /**
   * The newest version made at or before a time, epoch milliseconds.
   *
   * @throws {UserError} where the log has none that early
   */
  async versionAt(timestampMs: number): Promise<number> {
    return await versionAt(this.deps.log, timestampMs);
  }

  /** The table at a version, by default the newest. */
  async describe(version?: number): Promise<TableDescription> {
    const { log, load } = this.deps;
    const snapshot = await load(version);
    return describeTable(snapshot, await log.readCommit(snapshot.version), log.location);
  }

  /** The files that hold the table's rows at a version. */
  async filesAt(version: number): Promise<readonly ChangedFile[]> {
    const { files } = await this.deps.load(version);
    return [...files].map(([path, { stats }]) => ({ kind: "add", path, rows: recordsIn(stats) }));
  }

  /**
   * What the versions `from` to `to`, by default the newest, changed: their change data, and where a version has none the
   * rows of the files that came and went. A file at a time, in the order of versions.
   *
   * @throws {UserError} where the log does not have one of the versions
   * @throws {SinkError} where a file is gone
   */
  async *changes(from: number, to?: number): AsyncGenerator<VersionRows> {
    const { log, files, load } = this.deps;
    const newest = (await load()).version;
    const last = to ?? newest;
    if (from > last || last > newest) {
      throw new UserError(
        `Changes are shown from a version up to the same or a later one, and the newest is ${newest}: ` +
          `found ${from} to ${last}.`,
      );
    }
    const versions = Array.from({ length: last - from + 1 }, (_, i) => from + i);
    let version = from;
    for await (const commit of log.readCommits(versions)) {
      if (commit === null) throw await this.#notInLog(version);
      const timestampMs = commitInfoOf(commit.actions).timestamp ?? null;
      for (const file of filesOf(commit)) {
        const changed = decodeChangedFile(file, await files.read(file.path));
        yield { version, timestampMs, ...changed };
      }
      version++;
    }
  }

  async #notInLog(version: number): Promise<UserError> {
    const oldest = (await this.deps.log.listCommits())[0]?.version;
    return new UserError(
      `What version ${version} of the Delta table changed must be in its log, and that begins with version ` +
        `${oldest}: choose a later one.`,
    );
  }
}
