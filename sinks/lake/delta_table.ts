/**
 * A Delta table that this process keeps in memory and commits to, beside other writers: optimistic concurrency by
 * put-if-absent of the next version's commit.
 */
import { AssertionError, messageOf, SinkError } from "../../schema/errors.ts";
import { VERSIONS_PER_DELTA_CHECKPOINT } from "../../schema/limits.ts";
import { commitInfoOf, type DeltaAction } from "./delta_actions.ts";
import type { Commit, DeltaLog } from "./delta_log.ts";
import { assertWritable, type Snapshot, type TableReplay } from "./delta_snapshot.ts";

/** Commits of others that one commit may lose to in a row; each of them is progress of the table. */
const CONFLICTS_MAX = 100;
/** Times that a commit is written again after a failure whose outcome nobody saw. */
const UNCONFIRMED_WRITES_MAX = 3;

/** What a commit is made of, or why it must not be made, at the version it would build on. */
export type CommitPlan<R> = { readonly actions: readonly DeltaAction[] } | { readonly refused: R };

export type TableCommitOutcome<R> =
  | { readonly status: "committed"; readonly version: number; readonly conflicts: number }
  | { readonly status: "refused"; readonly reason: R };

export interface DeltaTableOptions {
  readonly log: DeltaLog;
  /** Wall clock, epoch milliseconds. */
  readonly now: () => number;
  /** Called with every commit, ours or another writer's, once the table has it. */
  readonly onCommit: (commit: Commit) => void;
  /** Told when a Delta checkpoint could not be written; the table is whole without it. */
  readonly onCheckpointFailure: (error: unknown) => void;
}

/** A table at its newest known version, and the loop that commits to it by optimistic concurrency. */
export class DeltaTable {
  readonly #log: DeltaLog;
  readonly #now: () => number;
  readonly #onCommit: (commit: Commit) => void;
  readonly #onCheckpointFailure: (error: unknown) => void;
  #replay: TableReplay | null = null;
  /** The last operation: commits and refreshes run one at a time, for they all move the table on. */
  #last: Promise<unknown> = Promise.resolve();
  /** The `txnId`s of commits that may or may not have been written. */
  readonly #unresolved = new Set<string>();
  /** Those that turned out to be written, with their version. */
  readonly #landed = new Map<string, number>();

  constructor({ log, now, onCommit, onCheckpointFailure }: DeltaTableOptions) {
    this.#log = log;
    this.#now = now;
    this.#onCommit = onCommit;
    this.#onCheckpointFailure = onCheckpointFailure;
  }

  /** Whether {@linkcode open} was done. */
  get isOpen(): boolean {
    return this.#replay !== null;
  }

  /** The table as this process knows it; null before {@linkcode open}. The next commit or refresh changes it in place. */
  get current(): Snapshot | null {
    return this.#replay?.snapshot() ?? null;
  }

  /** Loads the table; where there is none, creates it as version 0 with the actions of `create`. */
  open(create: () => readonly DeltaAction[]): Promise<Snapshot> {
    return this.#exclusively(async () => {
      let replay = await this.#log.load();
      if (replay === null) {
        // Whoever is first creates it: a lost response or another process's table is found by the load after it.
        await this.#log.writeCommit(0, create());
        replay = await this.#log.load();
      }
      if (replay === null) {
        throw new AssertionError(`The table '${this.#log.location}' was written and is not there`);
      }
      this.#replay = replay;
      return replay.snapshot();
    });
  }

  /** Loads the table where there is one, and never creates it. */
  async openExisting(): Promise<Snapshot | null> {
    return await this.#exclusively(async () => {
      this.#replay = await this.#log.load();
      return this.#replay?.snapshot() ?? null;
    });
  }

  /** The table as it is now, with the commits of other writers. The next commit or refresh changes it in place. */
  refresh(): Promise<Snapshot> {
    return this.#exclusively(async () => {
      const replay = this.#opened();
      await this.#catchUp(replay);
      return replay.snapshot();
    });
  }

  /**
   * Commits what `prepare` makes of the table. Where another writer takes the version first, `prepare` is asked
   * again on top of that writer's commit: so whatever it compares holds at the version it builds on.
   *
   * @param txnId the commit's own UUID, which `prepare` puts into `commitInfo`. After an error the same commit may
   *   be tried again with the same `txnId`: it is not written twice.
   * @param prepare what it returns may name other files each time it is asked
   * @throws {SinkError} where the store failed, or the protocol was upgraded above what we write
   */
  commit<R>(
    txnId: string,
    prepare: (snapshot: Snapshot) => Promise<CommitPlan<R>>,
  ): Promise<TableCommitOutcome<R>> {
    return this.#exclusively(async () => {
      const replay = this.#opened();
      for (let conflicts = 0; conflicts <= CONFLICTS_MAX; conflicts++) {
        const landed = this.#landed.get(txnId);
        if (landed !== undefined) return this.#committed(txnId, landed, conflicts);
        const snapshot = replay.snapshot();
        const plan = await this.#planned(snapshot, prepare);
        if ("refused" in plan || "error" in plan) {
          // Only the newest version may refuse: ask again where others have moved the table on meanwhile.
          if (await this.#catchUp(replay)) continue;
          if ("error" in plan) throw plan.error;
          this.#unresolved.delete(txnId);
          return { status: "refused", reason: plan.refused };
        }
        const written = await this.#write(txnId, { version: snapshot.version + 1, actions: plan.actions });
        if (written !== null) {
          this.#apply(replay, written);
          // After the commit, which does not wait for it: only the table's next operation does.
          if (replay.version % VERSIONS_PER_DELTA_CHECKPOINT === 0) {
            void this.#exclusively(() => this.#checkpoint(replay));
          }
          return this.#committed(txnId, written.version, conflicts);
        }
        await this.#catchUp(replay);
      }
      const message = `Cannot commit to the Delta table '${this.#log.location}': other writers were first ` +
        `${CONFLICTS_MAX} times in a row.`;
      throw new SinkError(message, true);
    });
  }

  async #planned<R>(
    snapshot: Snapshot,
    prepare: (snapshot: Snapshot) => Promise<CommitPlan<R>>,
  ): Promise<CommitPlan<R> | { readonly error: unknown }> {
    try {
      assertWritable(snapshot.protocol);
      return await prepare(snapshot);
    } catch (error) {
      return { error };
    }
  }

  #committed(txnId: string, version: number, conflicts: number): TableCommitOutcome<never> {
    this.#unresolved.delete(txnId);
    this.#landed.delete(txnId);
    return { status: "committed", version, conflicts };
  }

  /**
   * The commit as the log has it: this one, or what an earlier try with the same `txnId` wrote. Null where another writer
   * has the version.
   */
  async #write(txnId: string, commit: Commit): Promise<Commit | null> {
    const { version, actions } = commit;
    let failure: unknown = null;
    for (let tries = 0; tries < UNCONFIRMED_WRITES_MAX; tries++) {
      try {
        if (await this.#log.writeCommit(version, actions) === "created") return commit;
        failure = null;
      } catch (error) {
        failure = error;
      }
      try {
        const found = await this.#log.readCommit(version);
        if (found !== null) return commitInfoOf(found.actions).txnId === txnId ? found : null;
      } catch (error) {
        failure = error;
      }
      // Not there: it failed, or it is still on its way. The same bytes may be put again under the same condition.
      if (failure instanceof SinkError && !failure.retryable) break;
    }
    this.#unresolved.add(txnId);
    const message = `Cannot tell whether version ${version} of the Delta table '${this.#log.location}' was ` +
      `written: ${messageOf(failure)} Trying the same commit again finds out, and does not write it twice.`;
    throw new SinkError(message, failure instanceof SinkError ? failure.retryable : true, { cause: failure });
  }

  /** Replays the commits of other writers; whether there were any. */
  async #catchUp(replay: TableReplay): Promise<boolean> {
    const before = replay.version;
    for (;;) {
      const commit = await this.#log.readCommit(replay.version + 1);
      if (commit === null) return replay.version > before;
      this.#apply(replay, commit);
    }
  }

  #apply(replay: TableReplay, commit: Commit): void {
    replay.apply(commit.version, commit.actions);
    const { txnId } = commitInfoOf(commit.actions);
    if (txnId !== undefined && this.#unresolved.delete(txnId)) this.#landed.set(txnId, commit.version);
    this.#onCommit(commit);
  }

  async #checkpoint(replay: TableReplay): Promise<void> {
    try {
      replay.expire(this.#now());
      await this.#log.writeCheckpoint(replay.snapshot(), this.#now());
    } catch (error) {
      this.#onCheckpointFailure(error);
    }
  }

  #opened(): TableReplay {
    if (this.#replay === null) throw new AssertionError("The Delta table is opened before it is used");
    return this.#replay;
  }

  #exclusively<T>(operation: () => Promise<T>): Promise<T> {
    const result = this.#last.then(operation);
    this.#last = result.catch(() => {});
    return result;
  }
}
