/**
 * Erasing rows: one commit that takes every row of a reader or session out of the table. The statistics say nothing of ids,
 * so every file is read; those that hold such a row are written anew without it, and the rows go into the version's change
 * data, by which ClickHouse takes them back. The commit is made also where there is no such row: a restore looks for it.
 */
import { cellAt, type ColumnBatch } from "../../schema/column_batch.ts";
import { type Erasure, ErasureMatcher } from "../../schema/erasure.ts";
import { SESSION_COLUMNS, SESSION_KINDS, sessionColumnIndex } from "../../schema/session.ts";
import { takeRows } from "../../schema/take_rows.ts";
import type { StagedFile } from "../sink.ts";
import { fromArrow } from "./arrow.ts";
import type { ChangeType } from "./change_data.ts";
import { type DataFiles, rowGroups, type StagedChanges } from "./data_files.ts";
import {
  type AddFile,
  type CommitInfo,
  dateOfFile,
  type DeltaAction,
  encodeDataPath,
  removeOf,
} from "./delta_actions.ts";
import { type DeltaSchema, PARTITION_COLUMN } from "./delta_schema.ts";
import type { Snapshot } from "./delta_snapshot.ts";
import { addOf, type Owner, retiringTxns } from "./lake_commit.ts";
import { decodeParquet } from "./parquet.ts";
import { otherColumns, otherNames, selectionOf, takeOthers } from "./session_files.ts";
import { readInSlices } from "./slices.ts";

/** Files read at the same time: each is in memory as a whole. */
const PARALLEL_READS = 4;
const SESSION_ID = sessionColumnIndex("session_id");
const USER_ID = sessionColumnIndex("user_id");
const SOURCE_PARTITION = sessionColumnIndex("source_partition");
const TOTAL_EVENTS = sessionColumnIndex("total_events");

/** What was taken out of the table. */
export interface ErasedRows {
  readonly rows: number;
  /** Files that held them, of so many that were read. */
  readonly filesRewritten: number;
  readonly filesRead: number;
}

export interface EraseRowsOptions {
  readonly owner: Owner;
  readonly erasure: Erasure;
  readonly files: DataFiles;
  /** The commit's own UUID, and its time, epoch milliseconds. */
  readonly txnId: string;
  readonly timestampMs: number;
  /** Reads and counts, and writes nothing. */
  readonly dryRun: boolean;
}

/** What a file held of the rows, and what takes its place. */
interface ErasedFile {
  readonly rows: number;
  readonly events: ReadonlyMap<number, number>;
  readonly added: StagedFile | null;
  readonly changes: StagedChanges | null;
}

/** An erasure on its way into the log: files that came in between are read too. */
export class EraseRows {
  counts: ErasedRows = { rows: 0, filesRewritten: 0, filesRead: 0 };
  readonly #matcher: ErasureMatcher;
  /** By path; null: the file holds no such row. */
  readonly #done = new Map<string, ErasedFile | null>();

  constructor(private readonly options: EraseRowsOptions) {
    this.#matcher = new ErasureMatcher([options.erasure]);
  }

  /**
   * The commit's actions on top of a version.
   *
   * @throws {SinkError} where a file cannot be read or written
   */
  async on(snapshot: Snapshot): Promise<readonly DeltaAction[]> {
    const { owner, timestampMs } = this.options;
    const others = otherNames(JSON.parse(snapshot.metaData.schemaString) as DeltaSchema);
    const files = [...snapshot.files];
    const unread = files.filter(([path]) => !this.#done.has(path));
    const read = async ([path, file]: readonly [string, AddFile]) =>
      [path, await this.#erase(path, file, others)] as const;
    for await (const [path, erased] of readInSlices(unread, read, PARALLEL_READS)) {
      this.#done.set(path, erased);
    }
    const gone = files.flatMap(([path, file]) => {
      const erased = this.#done.get(path) ?? null;
      return erased === null ? [] : [{ file, erased }];
    });
    const rows = gone.reduce((sum, { erased }) => sum + erased.rows, 0);
    this.counts = { rows, filesRewritten: gone.length, filesRead: files.length };
    const events = new Map<number, number>();
    for (const [partition, count] of gone.flatMap(({ erased }) => [...erased.events])) {
      events.set(partition, (events.get(partition) ?? 0) + count);
    }
    return [
      { commitInfo: this.#commitInfo() },
      ...retiringTxns(snapshot, owner, events, timestampMs).map((txn) => ({ txn })),
      ...gone.map(({ file }) => ({ remove: removeOf(file, timestampMs, true) })),
      ...gone.flatMap(({ erased: { added } }) => (added === null ? [] : [{ add: addOf(added, true) }])),
      ...gone.flatMap(({ erased: { changes } }): DeltaAction[] =>
        changes === null ? [] : [{
          cdc: {
            path: encodeDataPath(changes.path),
            partitionValues: { [PARTITION_COLUMN]: changes.sessionDate },
            size: changes.size,
            dataChange: false,
          },
        }]
      ),
    ];
  }

  #commitInfo(): CommitInfo {
    const { owner, erasure, txnId, timestampMs } = this.options;
    const { rows, filesRewritten } = this.counts;
    return {
      timestamp: timestampMs,
      operation: "DELETE",
      operationParameters: { predicate: `["${erasure.kind} is erased"]` },
      operationMetrics: { numDeletedRows: String(rows), numRemovedFiles: String(filesRewritten) },
      engineInfo: owner.engineInfo,
      isBlindAppend: false,
      txnId,
      sessionaryErasure: erasure,
    };
  }

  async #erase(
    path: string,
    file: AddFile,
    otherNames: ReadonlySet<string>,
  ): Promise<ErasedFile | null> {
    const { files, dryRun } = this.options;
    const table = decodeParquet(await files.read(path), path);
    const rows = fromArrow(SESSION_COLUMNS, table, path);
    const [gone, kept]: [number[], number[]] = [[], []];
    for (let row = 0; row < rows.rows; row++) (this.#matches(rows, row) ? gone : kept).push(row);
    if (gone.length === 0) return null;
    const events = new Map<number, number>();
    for (const row of gone) {
      const partition = cellAt(rows.columns[SOURCE_PARTITION]!, row) as number;
      const count = cellAt(rows.columns[TOTAL_EVENTS]!, row) as number;
      events.set(partition, (events.get(partition) ?? 0) + count);
    }
    if (dryRun) return { rows: gone.length, events, added: null, changes: null };
    const others = otherColumns(table, otherNames);
    const sessionDate = dateOfFile(file);
    const groups = rowGroups([rows], selectionOf(kept), takeOthers(others, kept));
    const added = kept.length === 0 ? null : await files.writePacked(sessionDate, groups);
    const dated = { sessionDate, rows: takeRows(SESSION_KINDS, [rows], selectionOf(gone)) };
    const types = new Array<ChangeType>(gone.length).fill("delete");
    const changes = await files.writeChanges(0, dated, types, takeOthers(others, gone));
    return { rows: gone.length, events, added, changes };
  }

  #matches({ columns }: ColumnBatch, row: number): boolean {
    return this.#matcher.user(Number(cellAt(columns[USER_ID]!, row))) ||
      this.#matcher.session(cellAt(columns[SESSION_ID]!, row) as string);
  }
}
