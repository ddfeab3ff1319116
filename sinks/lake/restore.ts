/**
 * Restore: one commit that makes the table's rows those of an old version again. The files of then come back, the files of
 * since go. Everything else stays as it is: the schema, to which columns may have been added, and the `txn`s, because what
 * was consumed is consumed. So a replay and the fencing see no difference, and the events of rows that go are not read again.
 */
import { UserError } from "../../schema/errors.ts";
import type { DataFiles } from "./data_files.ts";
import {
  type AddFile,
  type CommitInfo,
  dateOfFile,
  type DeltaAction,
  type MetaData,
  removeOf,
} from "./delta_actions.ts";
import { type DeltaSchema, shape } from "./delta_schema.ts";
import type { Snapshot } from "./delta_snapshot.ts";
import { countSessions, type FileCounts } from "./file_counts.ts";
import { type Owner, retiringTxns } from "./lake_commit.ts";
import { horizonIn } from "./retention_plan.ts";
import { readInSlices } from "./slices.ts";

/** Files read at the same time: each is in memory as a whole. */
const PARALLEL_READS = 4;

/** What a restore did. */
export interface Restored {
  /** The version that it restored, and the one that it made; null where the rows were those already. */
  readonly from: number;
  readonly version: number | null;
  readonly filesBack: number;
  readonly rowsBack: number;
  readonly filesGone: number;
  readonly rowsGone: number;
  /** Dates before it left because of their age, and the restore leaves them as they are; null where none did. */
  readonly horizon: string | null;
}

export interface RestoreOptions {
  readonly owner: Owner;
  /** The table at the version that is restored. */
  readonly target: Pick<Snapshot, "version" | "metaData" | "files">;
  readonly files: DataFiles;
  /** The commit's own UUID, and its time, epoch milliseconds. */
  readonly txnId: string;
  readonly timestampMs: number;
}

/** A restore on its way into the log: planned again on top of every version that gets in between. */
export class Restore {
  /** Of the plan that was made last. */
  counts: Omit<Restored, "version">;
  readonly #read = new Map<string, FileCounts>();

  constructor(private readonly options: RestoreOptions) {
    this.counts = {
      from: options.target.version,
      filesBack: 0,
      rowsBack: 0,
      filesGone: 0,
      rowsGone: 0,
      horizon: null,
    };
  }

  /**
   * The commit's actions on top of a version; null where its rows are those already.
   *
   * @throws {UserError} where a file was vacuumed, or the table has become another one since
   */
  async on(snapshot: Snapshot): Promise<readonly DeltaAction[] | null> {
    const { owner, target, timestampMs } = this.options;
    const flaw = restoreFlaw(target.metaData, snapshot.metaData);
    if (flaw !== null) throw this.#refusal(`${flaw}. Copy what is needed from that version by hand.`);
    // What left by its age stays away: the analytics kept its sums, and would count it twice.
    const horizon = horizonIn(snapshot);
    const mayChange = (file: AddFile) => horizon === null || dateOfFile(file) >= horizon;
    const back = [...target.files].filter(([path, file]) => !snapshot.files.has(path) && mayChange(file));
    const gone = [...snapshot.files].filter(([path, file]) => !target.files.has(path) && mayChange(file));
    if (back.length + gone.length === 0) return null;
    const went = new Map<number, number>();
    const rowsBack = await this.#count(back, (partition, events) => add(went, partition, -events));
    const rowsGone = await this.#count(gone, (partition, events) => add(went, partition, events));
    this.counts = {
      from: target.version,
      filesBack: back.length,
      rowsBack,
      filesGone: gone.length,
      rowsGone,
      horizon,
    };
    return [
      { commitInfo: this.#commitInfo(back, gone, snapshot) },
      ...retiringTxns(snapshot, owner, went, timestampMs).map((txn) => ({ txn })),
      ...gone.map(([, file]) => ({ remove: removeOf(file, timestampMs, true) })),
      ...back.map(([, file]) => ({ add: { ...file, dataChange: true } })),
    ];
  }

  #commitInfo(
    back: readonly (readonly [string, AddFile])[],
    gone: typeof back,
    before: Snapshot,
  ): CommitInfo {
    const { owner, target, txnId, timestampMs } = this.options;
    const went = new Set(gone.map(([path]) => path));
    const files = [...[...before.files].filter(([path]) => !went.has(path)), ...back];
    const bytes = (files: Iterable<readonly [string, AddFile]>) =>
      String([...files].reduce((sum, [, { size }]) => sum + size, 0));
    return {
      timestamp: timestampMs,
      operation: "RESTORE",
      operationParameters: { version: target.version, timestamp: null },
      operationMetrics: {
        numRestoredFiles: String(back.length),
        numRemovedFiles: String(gone.length),
        restoredFilesSize: bytes(back),
        removedFilesSize: bytes(gone),
        numOfFilesAfterRestore: String(files.length),
        tableSizeAfterRestore: bytes(files),
      },
      engineInfo: owner.engineInfo,
      isBlindAppend: false,
      txnId,
    };
  }

  /** Their rows; `tell` is told of the events, by partition. */
  async #count(
    files: readonly (readonly [string, AddFile])[],
    tell: (partition: number, events: number) => void,
  ): Promise<number> {
    let sum = 0;
    const paths = files.map(([path]) => path);
    for await (const counts of readInSlices(paths, (path) => this.#countsOf(path), PARALLEL_READS)) {
      for (const [partition, { rows, events }] of counts) {
        sum += rows;
        tell(partition, events);
      }
    }
    return sum;
  }

  async #countsOf(path: string): Promise<FileCounts> {
    const known = this.#read.get(path);
    if (known !== undefined) return known;
    const bytes = await this.options.files.readIfThere(path);
    if (bytes === null) {
      throw this.#refusal(
        `its file '${path}' is not there any more. VACUUM removes the files of versions that are older than its ` +
          "retention: choose a later version.",
      );
    }
    const counts = countSessions(bytes, path);
    this.#read.set(path, counts);
    return counts;
  }

  #refusal(why: string): UserError {
    return new UserError(`Cannot restore version ${this.options.target.version} of the Delta table: ${why}`);
  }
}

function add(sums: Map<number, number>, partition: number, events: number): void {
  sums.set(partition, (sums.get(partition) ?? 0) + events);
}

/** Why files of a version with the schema of `then` are no files of the table as it is now; null where they are. */
function restoreFlaw(then: MetaData, now: MetaData): string | null {
  if (then.id !== now.id || then.partitionColumns.join() !== now.partitionColumns.join()) {
    return "the table was replaced by another one since";
  }
  const fields = ({ schemaString }: MetaData) => (JSON.parse(schemaString) as DeltaSchema).fields;
  const before = new Map(fields(then).map((field) => [field.name, field]));
  for (const { name, type, nullable } of fields(now)) {
    const old = before.get(name);
    if (old !== undefined && shape(old.type) !== shape(type)) {
      return `the column '${name}' was ${shape(old.type)} then and is ${shape(type)} now`;
    }
    if (!nullable && (old === undefined || old.nullable)) {
      return `the column '${name}' could be null then and cannot be now`;
    }
  }
  return null;
}
