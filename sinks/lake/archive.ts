/**
 * The archive: a second Delta table, with the schema of the first, that keeps the dates which left it. Its files are the
 * very bytes that the first table had, under the same paths. A date is archived before it is retired, so a crash in
 * between leaves it in both tables, and the next try finds what is there.
 */
import { messageOf, SinkError } from "../../schema/errors.ts";
import type { ObjectStore } from "../sink.ts";
import { type AddFile, type DeltaAction, removeOf } from "./delta_actions.ts";
import { DeltaLog } from "./delta_log.ts";
import type { Snapshot } from "./delta_snapshot.ts";
import { DeltaTable } from "./delta_table.ts";
import { createTableActions } from "./lake_commit.ts";

/** The archived table's root in its store: as in the lake. */
const ARCHIVE_ROOT = "sessions/";
/** The tag of an archived file: which retirement of which table it came with. */
const RETIREMENT_TAG = "sessionary.retirement";

export interface ArchiveOptions {
  /** The archive's own root. */
  readonly store: ObjectStore;
  /**
   * Makes sure that the store keeps what commits rest on.
   *
   * @throws {SinkError} where it does not
   */
  readonly prepare: () => Promise<void>;
  /** Wall clock, epoch milliseconds. */
  readonly now: () => number;
  readonly uuid: () => string;
  /** As `commitInfo.engineInfo` has it. */
  readonly engineInfo: string;
}

/** Files on their way out of the first table. */
export interface Leaving {
  /** The first table, at the version whose files they are. */
  readonly source: Snapshot;
  /** The number that their retirement will have. */
  readonly retirement: number;
  /** By path. */
  readonly files: ReadonlyMap<string, AddFile>;
}

/** Keeps what leaves one table. */
export class Archive {
  readonly #table: DeltaTable;
  readonly #log: DeltaLog;
  #opened = false;
  #prepared: Promise<void> | null = null;

  constructor(private readonly options: ArchiveOptions) {
    const { store, now } = options;
    this.#log = new DeltaLog(store, ARCHIVE_ROOT);
    this.#table = new DeltaTable({
      log: this.#log,
      now,
      onCommit: () => {},
      // The next writer's is as good.
      onCheckpointFailure: () => {},
    });
  }

  /** Where it is, for sentences. */
  get location(): string {
    return this.#log.location;
  }

  /** Copies a file. It is no part of the archive before {@linkcode Archive.commit}. */
  async copy(path: string, bytes: Uint8Array): Promise<void> {
    await this.#prepare();
    await this.options.store.put(ARCHIVE_ROOT + path, bytes);
  }

  /**
   * Brings copied files into the archive, and takes out those of a try that came to nothing and that the first table has
   * written anew since (OPTIMIZE, a revision). Nothing is committed where all is there.
   *
   * @throws {SinkError} where another instance has archived a newer version of the first table meanwhile, or the store failed
   */
  async commit(leaving: Leaving): Promise<void> {
    await this.#prepare();
    const { now, uuid, engineInfo } = this.options;
    const { source, retirement } = leaving;
    if (!this.#opened) {
      await this.#table.open(() =>
        createTableActions(uuid(), Math.floor(now()), engineInfo).map((action) =>
          "metaData" in action
            ? { metaData: { ...action.metaData, schemaString: source.metaData.schemaString } }
            : action
        )
      );
      this.#opened = true;
    }
    const txnId = uuid();
    const appId = `${source.metaData.id}/archived`;
    const outcome = await this.#table.commit<"behind" | "there">(txnId, (snapshot) => {
      if ((snapshot.txns.get(appId)?.version ?? 0) > source.version) {
        return Promise.resolve({ refused: "behind" as const });
      }
      const changes = this.#changes(snapshot, leaving);
      if (changes.length === 0) return Promise.resolve({ refused: "there" as const });
      const timestamp = Math.floor(now());
      const commitInfo = {
        timestamp,
        operation: "WRITE",
        operationParameters: { mode: "Append", retirement: String(retirement) },
        engineInfo,
        isBlindAppend: false,
        txnId,
      };
      const txn = { appId, version: source.version, lastUpdated: timestamp };
      return Promise.resolve({ actions: [{ commitInfo }, { txn }, ...changes] });
    });
    if (outcome.status === "committed" || outcome.reason === "there") return;
    throw new SinkError(
      `Cannot archive version ${source.version} of the table to '${this.location}': another instance is at a ` +
        "later one. It is tried again.",
      true,
    );
  }

  #changes(snapshot: Snapshot, { source, retirement, files }: Leaving): DeltaAction[] {
    const { id, schemaString } = source.metaData;
    const tag = `${id}:${retirement}`;
    const timestamp = Math.floor(this.options.now());
    // The table's number is higher only once the retirement is in its log: until then what has it is on its way.
    const stale = [...snapshot.files].filter(([path, { tags }]) =>
      tags?.[RETIREMENT_TAG] === tag && !files.has(path)
    );
    const fresh = [...files].filter(([path]) => !snapshot.files.has(path));
    const evolved = snapshot.metaData.schemaString !== schemaString && fresh.length > 0;
    return [
      ...(evolved ? [{ metaData: { ...snapshot.metaData, schemaString } }] : []),
      ...stale.map(([, file]) => ({ remove: removeOf(file, timestamp, true) })),
      ...fresh.map(([, file]) => ({
        add: { ...file, dataChange: true, tags: { ...file.tags, [RETIREMENT_TAG]: tag } },
      })),
    ];
  }

  #prepare(): Promise<void> {
    return this.#prepared ??= this.options.prepare().catch((error) => {
      this.#prepared = null;
      const retryable = error instanceof SinkError && error.retryable;
      throw new SinkError(`Cannot use the archive: ${messageOf(error)}`, retryable, { cause: error });
    });
  }
}
