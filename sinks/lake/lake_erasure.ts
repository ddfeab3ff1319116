/** What erasing does in a lake: rows of the table by a commit, dead letters in their files, and what restores must not undo. */
import type { Erasure, RecordTest } from "../../schema/erasure.ts";
import { UserError } from "../../schema/errors.ts";
import type { DataFiles } from "./data_files.ts";
import { commitInfoOf } from "./delta_actions.ts";
import type { Commit } from "./delta_log.ts";
import type { Snapshot } from "./delta_snapshot.ts";
import type { DeadLetterFiles } from "./dead_letter_files.ts";
import type { DeltaTable } from "./delta_table.ts";
import { type ErasedRows, EraseRows } from "./erase_rows.ts";
import type { Owner } from "./lake_commit.ts";

export interface LakeErasureOptions {
  readonly owner: Owner;
  readonly table: DeltaTable;
  readonly files: DataFiles;
  readonly deadLetters: DeadLetterFiles;
  /** The table's commits from a version down, as far as the log has them. */
  readonly newestFirst: (version: number) => AsyncIterable<Commit>;
  readonly now: () => number;
  readonly uuid: () => string;
}

/** Erasing in one lake, which must be open. */
export class LakeErasure {
  constructor(private readonly options: LakeErasureOptions) {}

  /**
   * Takes the rows out of the table, in one commit.
   *
   * @returns what went, and the version; null of a dry run
   */
  async eraseRows(
    erasure: Erasure,
    dryRun: boolean,
  ): Promise<ErasedRows & { readonly version: number | null }> {
    const { owner, files, table, uuid, now } = this.options;
    const [txnId, timestampMs] = [uuid(), Math.floor(now())];
    const rows = new EraseRows({ owner, erasure, files, txnId, timestampMs, dryRun });
    const outcome = await table.commit<null>(txnId, async (snapshot) => {
      const actions = await rows.on(snapshot);
      return dryRun ? { refused: null } : { actions };
    });
    return { ...rows.counts, version: outcome.status === "committed" ? outcome.version : null };
  }

  /**
   * Takes key and value of the dead letters that `test` finds; the letters stay, for they are counted.
   *
   * @returns how many there were
   */
  eraseDeadLetters(test: RecordTest, dryRun: boolean): Promise<number> {
    return this.options.deadLetters.erase(test, dryRun);
  }

  /**
   * Looks for erasures between an old version and the table's.
   *
   * @throws {UserError} where the version is older than one: its rows would be back
   */
  async assertRestorable(target: number, { version: newest }: Snapshot): Promise<void> {
    for await (const { version, actions } of this.options.newestFirst(newest)) {
      if (version <= target) return;
      if (commitInfoOf(actions).sessionaryErasure === undefined) continue;
      throw new UserError(
        `Cannot restore version ${target} of the Delta table: version ${version} erased rows, and they would be back. ` +
          `Restore version ${version} or a later one.`,
      );
    }
  }
}
