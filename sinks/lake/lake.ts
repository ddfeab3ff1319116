/** The lake: sessions as a Delta table and dead letters beside it, on any object store. */
import { getLogger } from "@logtape/logtape";
import type { ColumnBatch } from "../../schema/column_batch.ts";
import { messageOf, SinkError, UserError } from "../../schema/errors.ts";
import type { TableSummary, TableVersion } from "../../schema/exploration.ts";
import { VERSION } from "../../schema/version.ts";
import type {
  ChangedFile,
  CommitOutcome,
  CommittedEpoch,
  Lake,
  LakeCommit,
  LakeState,
  ObjectStore,
  StagedFile,
  VersionChanges,
  VersionPayload,
} from "../sink.ts";
import { cameRows, encodePayload } from "./change_data.ts";
import { CopyOnWrite } from "./copy_on_write.ts";
import { DataFiles } from "./data_files.ts";
import { DeadLetterFiles } from "./dead_letter_files.ts";
import { commitInfoOf, dateOfFile } from "./delta_actions.ts";
import { type Commit, DeltaLog } from "./delta_log.ts";
import type { Snapshot } from "./delta_snapshot.ts";
import { recordsIn } from "./delta_stats.ts";
import { DeltaTable } from "./delta_table.ts";
import {
  assertAppendable,
  changesOf,
  createTableActions,
  epochActions,
  fencedPartitions,
  type Owner,
  ownRecord,
  positionsIn,
  retiredIn,
  retirementOf,
  retiringTxns,
} from "./lake_commit.ts";
import {
  type DatedRows,
  decodeSessions,
  mergeDatedSessions,
  mergeSessions,
  splitByDate,
} from "./session_files.ts";
import { LakeErasure } from "./lake_erasure.ts";
import { Restore, type Restored } from "./restore.ts";
import { horizonIn } from "./retention_plan.ts";
import { assertKnown, evolveTable, newerColumns } from "./schema_evolution.ts";
import { readInSlices } from "./slices.ts";
import { describeCommit, describeSnapshot } from "./table_history.ts";
import { TablePast } from "./table_past.ts";

/** The Delta table's root in the store. */
export const TABLE_ROOT = "sessions/";

export interface DeltaLakeOptions {
  /** The lake's root: the table and the dead letters are below it. */
  readonly store: ObjectStore;
  readonly pipeline: string;
  readonly topic: string;
  /** Wall clock, epoch milliseconds. */
  readonly now: () => number;
  /** A random UUID. */
  readonly uuid: () => string;
  /** Told of what went wrong and costs nothing but speed; by default it is logged. */
  readonly onWarning?: (sentence: string) => void;
}

/** A lake that can also be read: for `query`, `verify` and tests. */
export interface DeltaLake extends Lake {
  /**
   * The table's rows at a version, by default the newest, ordered (source_partition, first_offset), as the columns
   * of `TABLE_COLUMNS` (session_files.ts). Works without {@linkcode Lake.open}.
   */
  readSessions(version?: number): Promise<ColumnBatch>;
  /** The oldest version that the log still has: 0 unless a cleanup has deleted commits. */
  oldestVersion(): Promise<number>;
  /**
   * The newest version's files, shared out over the versions up to it: what fills a warehouse that has nothing yet, also
   * where earlier versions cannot be read any more. No version says what it changed itself.
   */
  shareOut(): Promise<readonly VersionChanges[]>;
  /** The `session_date`s that the newest version has files of, ascending. */
  sessionDates(): Promise<readonly string[]>;
  /** One date's rows at the newest version, in no order, as the columns of SESSION_COLUMNS. */
  readSessionsOf(sessionDate: string): Promise<ColumnBatch>;
  /**
   * At most `limit` dead letters (DEAD_LETTER_COLUMNS) that versions up to `version`, by default the newest, have committed;
   * the newest first. Works without `open`.
   */
  readDeadLetters(limit: number, version?: number): Promise<ColumnBatch>;
  /** The table's past. Works without `open`. */
  readonly past: TablePast;
  /**
   * Makes the table's rows those of an old version again, in a commit of its own. The lake must be open.
   *
   * @throws {UserError} where there is no such version, or its files are gone
   */
  restore(version: number): Promise<Restored>;
  /** Erasing. The lake must be open. */
  readonly erasure: LakeErasure;
  /** Events by partition that are in the ledger and in no row, because a restore, an erasure or their age took the rows away. */
  retiredEvents(): Promise<ReadonlyMap<number, number>>;
  /** The dates before this one left because of their age; null where none did. */
  horizon(): Promise<string | null>;
  /** The table at its newest version. */
  summary(): Promise<TableSummary>;
  /** At most `limit` versions below `before`, by default the newest ones, descending, as far as the log has them. */
  history(limit: number, before?: number): Promise<readonly TableVersion[]>;
}

/** The lake on `store`. Nothing is read or written before one of its functions is called. */
export function openDeltaLake(options: DeltaLakeOptions): DeltaLake {
  return new StoredLake(options);
}

function warnInLog(sentence: string): void {
  getLogger(["sessionary", "lake"]).warn(sentence);
}

/** A commit on its way: each try has the same UUID, and rewrites files only where it must. */
interface CommitAttempt {
  readonly txnId: string;
  readonly copyOnWrite: CopyOnWrite | null;
}

class StoredLake implements DeltaLake {
  readonly #owner: Owner;
  readonly #now: () => number;
  readonly #uuid: () => string;
  readonly #log: DeltaLog;
  readonly #table: DeltaTable;
  readonly #files: DataFiles;
  readonly #deadLetters: DeadLetterFiles;
  readonly past: TablePast;
  readonly erasure: LakeErasure;
  readonly retirements: number[] = [];
  #highestEpoch = 0;
  #firstPartitions: number | null = null;
  /** Commits that failed, by their content: one that is tried again may be in the log already. */
  readonly #failed = new Map<string, CommitAttempt>();

  constructor(options: DeltaLakeOptions) {
    const { store, pipeline, topic, now, uuid, onWarning = warnInLog } = options;
    this.#owner = { pipeline, topic, engineInfo: `Sessionary/${VERSION}` };
    this.#now = now;
    this.#uuid = uuid;
    this.#log = new DeltaLog(store, TABLE_ROOT);
    this.#files = new DataFiles({ store, root: TABLE_ROOT, now, uuid });
    const commits = (version?: number) => this.#allNewestFirst(version);
    this.#deadLetters = new DeadLetterFiles({ store, owner: this.#owner, uuid, commits });
    this.past = new TablePast({
      log: this.#log,
      files: this.#files,
      load: (version) => version === undefined ? this.#newest() : this.#load(version),
    });
    this.#table = new DeltaTable({
      log: this.#log,
      now,
      onCommit: (commit) => {
        this.#noteEpoch(commit);
        if (commitInfoOf(commit.actions).sessionaryRetired !== undefined) {
          this.retirements.push(commit.version);
        }
      },
      onCheckpointFailure: (error) =>
        onWarning(`Could not write a Delta checkpoint, readers start slower: ${messageOf(error)}`),
    });
    const [owner, table, files, deadLetters] = [this.#owner, this.#table, this.#files, this.#deadLetters];
    this.erasure = new LakeErasure({ owner, table, files, deadLetters, newestFirst: commits, now, uuid });
  }

  async open(): Promise<LakeState> {
    const create = () => createTableActions(this.#uuid(), this.#now(), this.#owner.engineInfo);
    const opened = await this.#table.open(create);
    const options = { location: this.#log.location, engineInfo: this.#owner.engineInfo, now: this.#now };
    const snapshot = await evolveTable(this.#table, opened, { ...options, txnId: this.#uuid() });
    for await (const commit of this.#newestFirst(snapshot.version)) {
      if (this.#noteEpoch(commit)) break;
    }
    return this.#stateOf(snapshot);
  }

  async state(): Promise<LakeState> {
    return this.#stateOf(await this.#table.refresh());
  }

  stage(epoch: number, rows: ColumnBatch): Promise<readonly StagedFile[]> {
    return Promise.all(splitByDate(rows).map((dated) => this.#files.write(epoch, dated)));
  }

  stageDeadLetters(epoch: number, letters: ColumnBatch): Promise<string> {
    return this.#deadLetters.write(epoch, letters);
  }

  readDeadLetterFile(key: string): Promise<ColumnBatch> {
    return this.#deadLetters.read(key);
  }

  async commit(commit: LakeCommit): Promise<CommitOutcome> {
    const identity = JSON.stringify([
      commit.record.epoch,
      commit.advances,
      commit.files.map(({ path }) => path),
    ]);
    const attempt = this.#failed.get(identity) ?? this.#newAttempt(commit);
    this.#failed.set(identity, attempt);
    const { txnId, copyOnWrite } = attempt;
    const outcome = await this.#table.commit<readonly number[]>(txnId, async (snapshot) => {
      assertAppendable(snapshot.metaData, this.#log.location);
      const fenced = fencedPartitions(snapshot, this.#owner, commit.advances);
      if (fenced.length > 0) return { refused: fenced };
      const highestEpoch = Math.max(this.#highestEpoch, commit.record.epoch);
      const rewrite = await copyOnWrite?.on(snapshot) ?? null;
      const gone = retirementOf(commit.erased, rewrite);
      const retired = retiringTxns(snapshot, this.#owner, gone, commit.timestampMs);
      return { actions: epochActions(this.#owner, commit, rewrite, retired, txnId, highestEpoch) };
    });
    this.#failed.delete(identity);
    return outcome.status === "refused" ? { status: "fenced", partitions: outcome.reason } : outcome;
  }

  async epochsAfter(after: number): Promise<readonly CommittedEpoch[]> {
    const epochs: CommittedEpoch[] = [];
    const { version } = await this.#newest();
    for await (const commit of this.#log.readRange(await this.#log.oldestFrom(after + 1), version)) {
      const record = ownRecord(this.#owner, commit);
      if (record !== null) epochs.push({ version: commit.version, record });
    }
    return epochs;
  }

  async changes(versions: readonly number[]): Promise<readonly VersionChanges[]> {
    const changes: VersionChanges[] = [];
    for await (const commit of this.#log.readCommits(versions)) {
      if (commit === null) {
        const version = versions[changes.length];
        const message =
          `Cannot tell what version ${version} of the Delta table '${this.#log.location}' changed: ` +
          "its commit is not in the log, or was removed by a log cleanup. If ClickHouse is new, or was restored " +
          "from a backup, `sessionary verify --repair` fills it from the table as it is now.";
        throw new SinkError(message, false);
      }
      changes.push(changesOf(commit));
    }
    return changes;
  }

  readFile(path: string): Promise<Uint8Array> {
    return this.#files.read(path);
  }

  async rowsOf(version: number): Promise<ColumnBatch> {
    const [changes] = await this.changes([version]);
    return cameRows(await this.encodeVersion(changes!.files));
  }

  async encodeVersion(files: readonly ChangedFile[]): Promise<VersionPayload | null> {
    const newer = this.#table.current === null ? null : newerColumns(this.#table.current.metaData);
    return await encodePayload(files, async (path) => {
      const bytes = await this.#files.read(path);
      if (newer !== null && newer.size > 0) assertKnown(bytes, path, newer);
      return bytes;
    });
  }

  async readSessions(version?: number): Promise<ColumnBatch> {
    const { files } = await this.#load(version);
    const parts: DatedRows[] = [];
    const reads = readInSlices([...files], async ([path, file]): Promise<DatedRows> => ({
      sessionDate: dateOfFile(file),
      rows: decodeSessions(await this.readFile(path), path),
    }));
    for await (const part of reads) parts.push(part);
    return mergeDatedSessions(parts);
  }

  oldestVersion(): Promise<number> {
    return this.#log.oldestFrom(0);
  }

  async shareOut(): Promise<readonly VersionChanges[]> {
    const { files, version } = await this.#newest();
    const shares = Array.from({ length: version + 1 }, (): ChangedFile[] => []);
    [...files].forEach(([path, { stats }], i) =>
      shares[i % shares.length]!.push({ kind: "add", path, rows: recordsIn(stats) })
    );
    return shares.map((files, version) => ({ version, files }));
  }

  async sessionDates(): Promise<readonly string[]> {
    const { files } = await this.#newest();
    return [...new Set([...files.values()].map(dateOfFile))].sort();
  }

  async readSessionsOf(sessionDate: string): Promise<ColumnBatch> {
    const { files } = await this.#newest();
    const ofDate = [...files].filter(([, file]) => dateOfFile(file) === sessionDate);
    const parts: ColumnBatch[] = [];
    const reads = readInSlices(ofDate, async ([path]) => decodeSessions(await this.readFile(path), path));
    for await (const part of reads) parts.push(part);
    return mergeSessions(parts);
  }

  readDeadLetters(limit: number, version?: number): Promise<ColumnBatch> {
    return this.#deadLetters.newest(limit, version);
  }

  async restore(version: number): Promise<Restored> {
    const txnId = this.#uuid();
    const restore = new Restore({
      owner: this.#owner,
      target: await this.#load(version),
      files: this.#files,
      txnId,
      timestampMs: Math.floor(this.#now()),
    });
    const outcome = await this.#table.commit<null>(txnId, async (snapshot) => {
      await this.erasure.assertRestorable(version, snapshot);
      const actions = await restore.on(snapshot);
      return actions === null ? { refused: null } : { actions };
    });
    return { ...restore.counts, version: outcome.status === "committed" ? outcome.version : null };
  }

  async retiredEvents(): Promise<ReadonlyMap<number, number>> {
    return retiredIn(await this.#newest(), this.#owner);
  }

  async horizon(): Promise<string | null> {
    return horizonIn(await this.#newest());
  }

  async summary(): Promise<TableSummary> {
    return describeSnapshot(await this.#newest(), this.#log.location);
  }

  async history(limit: number, before?: number): Promise<readonly TableVersion[]> {
    const newest = before ?? (await this.#newest()).version + 1;
    const versions: TableVersion[] = [];
    if (newest <= 0 || limit <= 0) return versions;
    for await (const commit of this.#newestFirst(newest - 1)) {
      versions.push(describeCommit(commit));
      if (versions.length === limit) break;
    }
    return versions;
  }

  #stateOf(snapshot: Snapshot): LakeState {
    return {
      tableId: snapshot.metaData.id,
      version: snapshot.version,
      lastEpoch: this.#highestEpoch,
      firstPartitions: this.#firstPartitions,
      positions: positionsIn(snapshot, this.#owner),
    };
  }

  /** Keeps what commits of the pipeline say of the whole of it; false for commits of others. */
  #noteEpoch(commit: Commit): boolean {
    const record = ownRecord(this.#owner, commit);
    if (record === null) return false;
    const highest = commitInfoOf(commit.actions).sessionaryHighestEpoch ?? record.epoch;
    this.#highestEpoch = Math.max(this.#highestEpoch, highest, record.epoch);
    this.#firstPartitions ??= record.firstPartitions ?? null;
    return true;
  }

  #newAttempt({ record, revisions, files }: LakeCommit): CommitAttempt {
    const options = { epoch: record.epoch, revisions, inserted: files, files: this.#files };
    return { txnId: this.#uuid(), copyOnWrite: revisions.rows === 0 ? null : new CopyOnWrite(options) };
  }

  /** The commits from `version` down to the oldest that the log still has. */
  async *#newestFirst(version: number): AsyncGenerator<Commit> {
    const versions = Array.from({ length: version + 1 }, (_, i) => version - i);
    for await (const commit of this.#log.readCommits(versions)) {
      if (commit === null) return;
      yield commit;
    }
  }

  async *#allNewestFirst(version?: number): AsyncGenerator<Commit> {
    yield* this.#newestFirst(version ?? (await this.#newest()).version);
  }

  /** The table at its newest version; the caller reads from it before it waits for anything. */
  #newest(): Promise<Snapshot> {
    return this.#table.isOpen ? this.#table.refresh() : this.#load(undefined);
  }

  async #load(version: number | undefined): Promise<Snapshot> {
    const replay = await this.#log.load(version);
    if (replay !== null) return replay.snapshot();
    throw new UserError(`There is no Delta table at '${this.#log.location}' yet: run the pipeline first.`);
  }
}
