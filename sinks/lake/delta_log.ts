/** The files of a Delta log on an object store: commits, Delta checkpoints and `_last_checkpoint`. */
import { SinkError, UserError } from "../../schema/errors.ts";
import { VERSIONS_PER_DELTA_CHECKPOINT } from "../../schema/limits.ts";
import type { ObjectStore } from "../sink.ts";
import { type DeltaAction, parseActions, serializeActions } from "./delta_actions.ts";
import { decodeCheckpoint, decodeTombstones, encodeCheckpoint } from "./delta_checkpoint.ts";
import { checkpointActions, type Snapshot, TableReplay } from "./delta_snapshot.ts";
import { readInSlices } from "./slices.ts";

/** What the log's folder holds. */
export interface LogListing {
  /** When each version's commit was written: epoch milliseconds. */
  readonly commits: ReadonlyMap<number, number>;
  /** Versions with a Delta checkpoint in one file, descending. */
  readonly checkpoints: readonly number[];
  /** Every file that belongs to a version, ascending, whatever its kind. */
  readonly files: readonly { readonly key: string; readonly version: number }[];
}

/** What `_last_checkpoint` says (protocol: "Last Checkpoint File"). */
interface LastCheckpoint {
  readonly version: number;
  readonly size?: number;
  readonly sizeInBytes?: number;
  readonly numOfAddFiles?: number;
  readonly tags?: Readonly<Record<string, string>>;
}

/** The tag that says how many of a checkpoint's rows come before its tombstones, which a start need not read. */
const LIVE_ROWS = "sessionary.liveRows";

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

/** Other programs add checksums, and checkpoints in several parts. */
const FILE_NAME = /^(\d{20})\.([^/]+)$/;

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
    if (hint !== null && (version === undefined || hint.version <= version)) {
      const replay = await this.#loadFrom(hint, version);
      if (replay !== null) return replay;
    }
    const listing = await this.list();
    if (listing.commits.size === 0 && listing.checkpoints.length === 0) return null;
    const base = await this.#replayCheckpoint(listing, version) ?? new TableReplay();
    return await this.#replayCommits(base, listing, version);
  }

  /**
   * Writes a Delta checkpoint of the snapshot, then points `_last_checkpoint` at it. Where another writer's is as far,
   * it does neither: the pointer never goes back.
   *
   * @param now epoch milliseconds
   */
  async writeCheckpoint(snapshot: Snapshot, now: number): Promise<void> {
    // Asked before anything is computed: the commit that this follows is answered meanwhile.
    const last = await this.#lastCheckpoint();
    const ahead = last !== null && last.version >= snapshot.version;
    // A pointer past the log's end is a damaged one.
    if (ahead && await this.readCommit(last.version) !== null) return;
    const actions = checkpointActions(snapshot, now);
    const { bytes, liveRows } = encodeCheckpoint(actions);
    const pointer: LastCheckpoint = {
      version: snapshot.version,
      size: actions.length,
      sizeInBytes: bytes.length,
      numOfAddFiles: snapshot.files.size,
      tags: { [LIVE_ROWS]: String(liveRows) },
    };
    await this.store.put(this.#checkpointKey(snapshot.version), bytes);
    await this.store.put(
      `${this.#prefix}_last_checkpoint`,
      new TextEncoder().encode(JSON.stringify(pointer)),
    );
  }

  /** What the log's folder holds: reads all of its names. */
  async list(): Promise<LogListing> {
    const commits = new Map<number, number>();
    const checkpoints: number[] = [];
    const files: { key: string; version: number }[] = [];
    for (const { key, modifiedAtMs } of await this.store.list(this.#prefix)) {
      const match = FILE_NAME.exec(key.slice(this.#prefix.length));
      if (match === null) continue;
      const version = Number(match[1]);
      files.push({ key, version });
      if (match[2] === "json") commits.set(version, modifiedAtMs);
      else if (match[2] === "checkpoint.parquet") checkpoints.push(version);
    }
    return { commits, checkpoints: checkpoints.reverse(), files };
  }

  /** `version`, or, where a cleanup has deleted its commit, the oldest version that the log has the commit of. */
  async oldestFrom(version: number): Promise<number> {
    if (await this.store.get(this.#commitKey(version)) !== null) return version;
    const { commits, checkpoints } = await this.list();
    const oldest = Math.min(...commits.keys());
    // Without a Delta checkpoint the log is not cleaned up but damaged.
    return oldest > version && oldest < Infinity && checkpoints.includes(oldest) ? oldest : version;
  }

  /** Whether the table can be read from a version's Delta checkpoint. */
  async hasReadableCheckpoint(version: number): Promise<boolean> {
    return await this.#readCheckpoint(version, null) !== null;
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

  /** What `_last_checkpoint` says; null where it is missing or unreadable, for it is only a hint. */
  async #lastCheckpoint(): Promise<LastCheckpoint | null> {
    const bytes = await this.store.get(`${this.#prefix}_last_checkpoint`);
    if (bytes === null) return null;
    try {
      const hint = JSON.parse(new TextDecoder().decode(bytes)) as Partial<LastCheckpoint>;
      const { version } = hint;
      const usable = typeof version === "number" && Number.isSafeInteger(version) && version >= 0;
      return usable ? { ...hint, version } : null;
    } catch {
      return null;
    }
  }

  /**
   * The table from the checkpoint that the hint names, without a look at the whole log: a folder's names are read all or
   * not at all, and a month has hundreds of thousands. Null where the hint is of no use.
   */
  async #loadFrom(hint: LastCheckpoint, version: number | undefined): Promise<TableReplay | null> {
    const [own, replay] = await Promise.all([
      this.store.get(this.#commitKey(hint.version)),
      this.#readCheckpoint(hint.version, hint),
    ]);
    // A log is cleaned up from its beginning. Where the checkpoint's own commit is gone, later ones may be too, and must
    // not be taken for versions that nobody has written.
    if (own === null || replay === null) return null;
    while (version === undefined || replay.version < version) {
      const ahead = Math.min(VERSIONS_PER_DELTA_CHECKPOINT, (version ?? Infinity) - replay.version);
      const next = Array.from({ length: ahead }, (_, i) => replay.version + 1 + i);
      for await (const commit of this.readCommits(next)) {
        if (commit !== null) replay.apply(commit.version, commit.actions);
        else return version === undefined ? replay : null;
      }
    }
    return replay;
  }

  /** The newest checkpoint of the listing, up to `version`, that can be read. */
  async #replayCheckpoint(listing: LogListing, version: number | undefined): Promise<TableReplay | null> {
    for (const candidate of listing.checkpoints) {
      if (version !== undefined && candidate > version) continue;
      const replay = await this.#readCheckpoint(candidate, null);
      if (replay !== null) return replay;
    }
    return null;
  }

  /** The table as a Delta checkpoint has it; null where that is not there or damaged: the commits may be. */
  async #readCheckpoint(version: number, hint: LastCheckpoint | null): Promise<TableReplay | null> {
    const key = this.#checkpointKey(version);
    const bytes = await this.store.get(key);
    if (bytes === null) return null;
    const origin = `${this.store.location}/${key}`;
    // The hint is of this very file where the size is the same: another program may have written it again.
    const tag = hint?.sizeInBytes === bytes.length ? Number(hint.tags?.[LIVE_ROWS]) : NaN;
    const liveRows = Number.isSafeInteger(tag) ? tag : undefined;
    try {
      const replay = new TableReplay();
      const tombstones = liveRows === undefined ? () => [] : () => decodeTombstones(bytes, origin, liveRows);
      replay.applyCheckpoint(version, await decodeCheckpoint(bytes, origin, liveRows), tombstones);
      return replay;
    } catch (error) {
      // A damaged one costs a longer replay, not the table, as long as the commits are there.
      if (error instanceof SinkError) return null;
      throw error;
    }
  }

  async #replayCommits(
    replay: TableReplay,
    listing: LogListing,
    version: number | undefined,
  ): Promise<TableReplay> {
    let newest = replay.version;
    for (const commit of listing.commits.keys()) newest = Math.max(newest, commit);
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
