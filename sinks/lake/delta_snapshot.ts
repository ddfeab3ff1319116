/** The state of a Delta table at a version, by replay of its log (protocol: "Action Reconciliation"). Pure. */
import { invariant, SinkError } from "../../schema/errors.ts";
import {
  type AddFile,
  decodeDataPath,
  type DeltaAction,
  type MetaData,
  type Protocol,
  type RemoveFile,
  type Txn,
} from "./delta_actions.ts";

/** The protocol of our tables, and the highest that we read and write. */
export const SUPPORTED_PROTOCOL: Protocol = { minReaderVersion: 1, minWriterVersion: 4 };

/** A table at a version. The files and tombstones are keyed by their decoded path. */
export interface Snapshot {
  readonly version: number;
  readonly protocol: Protocol;
  readonly metaData: MetaData;
  readonly txns: ReadonlyMap<string, Txn>;
  readonly files: ReadonlyMap<string, AddFile>;
  readonly tombstones: ReadonlyMap<string, RemoveFile>;
}

/** A table on its way from version to version: grows in place, so that a commit costs what it changes. */
export class TableReplay {
  #version = -1;
  #protocol: Protocol | null = null;
  #metaData: MetaData | null = null;
  readonly #txns = new Map<string, Txn>();
  readonly #files = new Map<string, AddFile>();
  readonly #tombstones = new Map<string, RemoveFile>();
  /** The tombstones that a Delta checkpoint had, until someone asks: few do, and they may be tens of thousands. */
  #unread: (() => readonly RemoveFile[]) | null = null;

  /** The version reached; −1 before the first. */
  get version(): number {
    return this.#version;
  }

  /**
   * Replays a version's actions, or a Delta checkpoint's, which stand for all versions up to its own.
   *
   * @param version the next version; any where nothing was replayed yet
   * @throws {SinkError} where the table's protocol is above what we read
   */
  apply(version: number, actions: readonly DeltaAction[]): void {
    invariant(this.#version < 0 || version === this.#version + 1, `${version} follows ${this.#version}`);
    for (const action of actions) if ("protocol" in action) assertReadable(action.protocol);
    // A commit's actions have no order: one that removes a path and adds it again (new metadata) leaves it there.
    for (const action of actions) if ("remove" in action) this.#remove(action.remove);
    for (const action of actions) {
      if ("add" in action) {
        const path = decodeDataPath(action.add.path);
        this.#files.set(path, action.add);
        this.#tombstones.delete(path);
      } else if ("txn" in action) this.#txns.set(action.txn.appId, action.txn);
      else if ("metaData" in action) this.#metaData = action.metaData;
      else if ("protocol" in action) this.#protocol = action.protocol;
    }
    this.#version = version;
  }

  /** Begins with a Delta checkpoint; `tombstones` are those that are not among its `actions`. */
  applyCheckpoint(
    version: number,
    actions: readonly DeltaAction[],
    tombstones: () => readonly RemoveFile[],
  ): void {
    invariant(this.#version < 0, "a Delta checkpoint comes before all commits");
    this.apply(version, actions);
    this.#unread = tombstones;
  }

  /** Forgets the tombstones that have expired by `now`: epoch milliseconds. */
  expire(now: number): void {
    const kept = now - tombstoneRetentionMs(this.snapshot().metaData.configuration);
    for (const [path, { deletionTimestamp = 0 }] of this.#readTombstones()) {
      if (deletionTimestamp <= kept) this.#tombstones.delete(path);
    }
  }

  /** The table at the version reached: a view, which the next `apply` changes. */
  snapshot(): Snapshot {
    if (this.#protocol === null || this.#metaData === null) {
      const missing = this.#protocol === null ? "protocol" : "metaData";
      const message = `Cannot read the Delta table at version ${this.#version}: its log has no ${missing} ` +
        "action. The log is damaged: restore it from a backup.";
      throw new SinkError(message, false);
    }
    const tombstones = () => this.#readTombstones();
    return {
      version: this.#version,
      protocol: this.#protocol,
      metaData: this.#metaData,
      txns: this.#txns,
      files: this.#files,
      get tombstones() {
        return tombstones();
      },
    };
  }

  #readTombstones(): ReadonlyMap<string, RemoveFile> {
    const unread = this.#unread?.() ?? [];
    this.#unread = null;
    for (const remove of unread) {
      const path = decodeDataPath(remove.path);
      // What came later says more of the file.
      if (!this.#files.has(path) && !this.#tombstones.has(path)) this.#tombstones.set(path, remove);
    }
    return this.#tombstones;
  }

  #remove(remove: RemoveFile): void {
    const path = decodeDataPath(remove.path);
    this.#files.delete(path);
    this.#tombstones.set(path, remove);
  }
}

/** Throws unless we may read a table of this protocol. */
function assertReadable({ minReaderVersion }: Protocol): void {
  if (minReaderVersion <= SUPPORTED_PROTOCOL.minReaderVersion) return;
  const message =
    `Cannot read the Delta table: it needs reader version ${minReaderVersion}, and this program ` +
    `reads up to ${SUPPORTED_PROTOCOL.minReaderVersion}. Another program upgraded the table: use a newer ` +
    "Sessionary, or another table.";
  throw new SinkError(message, false);
}

/** Throws unless we may write to a table of this protocol. */
export function assertWritable({ minWriterVersion }: Protocol): void {
  if (minWriterVersion <= SUPPORTED_PROTOCOL.minWriterVersion) return;
  const message = `Cannot write to the Delta table: it needs writer version ${minWriterVersion}, and this ` +
    `program writes up to ${SUPPORTED_PROTOCOL.minWriterVersion}. Another program upgraded the table: use a ` +
    "newer Sessionary, or another table.";
  throw new SinkError(message, false);
}

const DAY_MS = 24 * 60 * 60 * 1000;
const UNIT_MS: Readonly<Record<string, number>> = {
  millisecond: 1,
  second: 1000,
  minute: 60_000,
  hour: 3_600_000,
  day: DAY_MS,
  week: 7 * DAY_MS,
};

/**
 * How long a tombstone stays in Delta checkpoints, in milliseconds: the table property
 * `delta.deletedFileRetentionDuration` ("interval 7 days"), a week by default, and where it can't be understood
 * for ever, because VACUUM needs tombstones and nothing needs them gone.
 */
export function tombstoneRetentionMs(configuration: MetaData["configuration"]): number {
  return intervalMs(configuration["delta.deletedFileRetentionDuration"], 7 * DAY_MS);
}

/**
 * How long the log is kept, in milliseconds: the table property `delta.logRetentionDuration`, 30 days by default; for ever
 * where it can't be understood, or where `delta.enableExpiredLogCleanup` forbids it.
 */
export function logRetentionMs(configuration: MetaData["configuration"]): number {
  if (configuration["delta.enableExpiredLogCleanup"] === "false") return Infinity;
  return intervalMs(configuration["delta.logRetentionDuration"], 30 * DAY_MS);
}

/** Milliseconds of an interval as table properties have it; infinite for what is none. */
function intervalMs(property: string | undefined, fallback: number): number {
  if (property === undefined) return fallback;
  const match = /^(?:interval\s+)?(\d+)\s+([a-z]+?)s?$/i.exec(property.trim());
  const unit = UNIT_MS[match?.[2]?.toLowerCase() ?? ""];
  return match === null || unit === undefined ? Infinity : Number(match[1]) * unit;
}

/** The snapshot as the actions of a Delta checkpoint: without the tombstones that have expired by `now`. */
export function checkpointActions(snapshot: Snapshot, now: number): DeltaAction[] {
  const kept = now - tombstoneRetentionMs(snapshot.metaData.configuration);
  const tombstones = [...snapshot.tombstones.values()].filter((remove) =>
    (remove.deletionTimestamp ?? 0) > kept
  );
  return [
    { protocol: snapshot.protocol },
    { metaData: snapshot.metaData },
    ...[...snapshot.txns.values()].map((txn) => ({ txn })),
    ...[...snapshot.files.values()].map((add) => ({ add: { ...add, dataChange: false } })),
    ...tombstones.map((remove) => ({ remove })),
  ];
}
