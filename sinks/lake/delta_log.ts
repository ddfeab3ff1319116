/** The files of a Delta log on an object store: commits, Delta checkpoints and `_last_checkpoint`. */
import { SinkError, UserError } from "../../schema/errors.ts";
import type { ObjectStore } from "../sink.ts";
import { type DeltaAction, parseActions, serializeActions } from "./delta_actions.ts";
import { decodeCheckpoint, encodeCheckpoint } from "./delta_checkpoint.ts";
import { checkpointActions, type Snapshot, TableReplay } from "./delta_snapshot.ts";
import { readInSlices } from "./slices.ts";

/** What the log's folder holds. */
interface LogListing {
  readonly commits: ReadonlySet<number>;
  /** Versions with a Delta checkpoint in one file, descending. */
  readonly checkpoints: readonly number[];
}

/** A commit as the log's listing has it. */
export interface ListedCommit {
  readonly version: number;
  /** When its file was written, by the store's clock: epoch milliseconds. */
  readonly modifiedAtMs: number;
}

/** A commit as read back. */
export interface Commit {
  readonly version: number;
  readonly actions: readonly DeltaAction[];
}

function padded(version: number): string {
  return String(version).padStart(20, "0");
}

const FILE_NAME = /^(\d{20})\.(json|checkpoint\.parquet)$/;

/** The files of a `_delta_log`: commits and Delta checkpoints, read and written one by one. */
export class DeltaLog {
  readonly #prefix: string;

  /** @param root the table's root in the store: empty, or ending in a slash */
  constructor(private readonly store: ObjectStore, readonly root: string) {
    this.#prefix = `${root}_delta_log/`;
  }

  /** The table, for sentences. */
  get location(): string {
    return `${this.store.location}/${this.root}`;
  }

  /** Writes the commit of a version; "exists" where another writer has it. */
  writeCommit(version: number, actions: readonly DeltaAction[]): Promise<"created" | "exists"> {
    return this.store.putIfAbsent(this.#commitKey(version), serializeActions(actions));
  }

  /** The commit of a version; null where there is none, or none any more. */
  async readCommit(version: number): Promise<Commit | null> {
    const key = this.#commitKey(version);
    const bytes = await this.store.get(key);
    return bytes === null ? null : { version, actions: parseActions(bytes, `${this.store.location}/${key}`) };
  }

  /** The commits of versions, in their order; null where there is none. Reads a bounded number at a time. */
  readCommits(versions: readonly number[]): AsyncGenerator<Commit | null> {
    return readInSlices(versions, (version) => this.readCommit(version));
  }

  /** The commits that the log has, ascending. */
  async listCommits(): Promise<readonly ListedCommit[]> {
    return (await this.store.list(this.#prefix)).flatMap(({ key, modifiedAtMs }) => {
      const match = FILE_NAME.exec(key.slice(this.#prefix.length));
      return match?.[2] === "json" ? [{ version: Number(match[1]), modifiedAtMs }] : [];
    });
  }

  /** The commits of the versions `from` to `to`, both included. Throws where one is missing. */
  async *readRange(from: number, to: number): AsyncGenerator<Commit> {
    const versions = Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => from + i);
    let expected = from;
    for await (const commit of this.readCommits(versions)) {
      if (commit === null) throw this.#missing(expected);
      expected++;
      yield commit;
    }
  }

  /**
   * The table at a version, by default the newest: from the newest readable Delta checkpoint up to it and the
   * commits since. Null where there is no table.
   *
   * @throws {UserError} where the table has no such version
   * @throws {SinkError} where the log is incomplete
   */
  async load(version?: number): Promise<TableReplay | null> {
    const hint = await this.#lastCheckpoint();
    if (hint !== null && (version === undefined || hint <= version)) {
      const listing = await this.#list(hint);
      const base = await this.#replayCheckpoint(listing, version);
      if (base !== null) return await this.#replayCommits(base, listing, version);
    }
    const listing = await this.#list(null);
    if (listing.commits.size === 0 && listing.checkpoints.length === 0) return null;
    const base = await this.#replayCheckpoint(listing, version) ?? new TableReplay();
    return await this.#replayCommits(base, listing, version);
  }

  /** Writes a Delta checkpoint of the snapshot, then points `_last_checkpoint` at it. `now`: epoch milliseconds. */
  async writeCheckpoint(snapshot: Snapshot, now: number): Promise<void> {
    const actions = checkpointActions(snapshot, now);
    const bytes = encodeCheckpoint(actions);
    const pointer = {
      version: snapshot.version,
      size: actions.length,
      sizeInBytes: bytes.length,
      numOfAddFiles: snapshot.files.size,
    };
    await this.store.put(this.#checkpointKey(snapshot.version), bytes);
    await this.store.put(
      `${this.#prefix}_last_checkpoint`,
      new TextEncoder().encode(JSON.stringify(pointer)),
    );
  }

  #commitKey(version: number): string {
    return `${this.#prefix}${padded(version)}.json`;
  }

  #checkpointKey(version: number): string {
    return `${this.#prefix}${padded(version)}.checkpoint.parquet`;
  }

  #missing(version: number): SinkError {
    const message =
      `Cannot read the Delta table '${this.location}': the commit of version ${version} is missing ` +
      "from its log, and no later Delta checkpoint stands in for it. Restore it from a backup.";
    return new SinkError(message, false);
  }

  /** The version that `_last_checkpoint` names; null where it is missing or unreadable, for it is only a hint. */
  async #lastCheckpoint(): Promise<number | null> {
    const bytes = await this.store.get(`${this.#prefix}_last_checkpoint`);
    if (bytes === null) return null;
    try {
      const { version } = JSON.parse(new TextDecoder().decode(bytes)) as { readonly version?: unknown };
      return typeof version === "number" && Number.isSafeInteger(version) && version >= 0 ? version : null;
    } catch {
      return null;
    }
  }

  /** @param from leave out the versions below; null: none */
  async #list(from: number | null): Promise<LogListing> {
    const startAfter = from === null ? undefined : this.#prefix + padded(from);
    const commits = new Set<number>();
    const checkpoints: number[] = [];
    for (const { key } of await this.store.list(this.#prefix, startAfter)) {
      const match = FILE_NAME.exec(key.slice(this.#prefix.length));
      if (match === null) continue;
      if (match[2] === "json") commits.add(Number(match[1]));
      else checkpoints.push(Number(match[1]));
    }
    return { commits, checkpoints: checkpoints.reverse() };
  }

  /** The newest checkpoint of the listing, up to `version`, that can be read. */
  async #replayCheckpoint(listing: LogListing, version: number | undefined): Promise<TableReplay | null> {
    for (const candidate of listing.checkpoints) {
      if (version !== undefined && candidate > version) continue;
      const key = this.#checkpointKey(candidate);
      const bytes = await this.store.get(key);
      if (bytes === null) continue;
      let actions: DeltaAction[];
      try {
        actions = decodeCheckpoint(bytes, `${this.store.location}/${key}`);
      } catch (error) {
        // A damaged one costs a longer replay, not the table, as long as the commits are there.
        if (error instanceof SinkError) continue;
        throw error;
      }
      const replay = new TableReplay();
      replay.apply(candidate, actions);
      return replay;
    }
    return null;
  }

  async #replayCommits(
    replay: TableReplay,
    listing: LogListing,
    version: number | undefined,
  ): Promise<TableReplay> {
    let newest = replay.version;
    for (const commit of listing.commits) newest = Math.max(newest, commit);
    const target = version ?? newest;
    if (target < 0 || target > newest) {
      const message =
        `Cannot read version ${target} of the Delta table '${this.location}': its newest is ${newest}.`;
      throw new UserError(message);
    }
    for await (const commit of this.readRange(replay.version + 1, target)) {
      replay.apply(commit.version, commit.actions);
    }
    return replay;
  }
}
