/** The Parquet files of the session table: written under names of their own, read by their paths. */
import type { Table } from "apache-arrow";
import type { ColumnBatch } from "../../schema/column_batch.ts";
import { SinkError } from "../../schema/errors.ts";
import { SESSION_COLUMNS, SESSION_KINDS } from "../../schema/session.ts";
import { type RowSelection, takeRows } from "../../schema/take_rows.ts";
import type { ObjectStore, StagedFile } from "../sink.ts";
import { toArrow } from "./arrow.ts";
import { type ChangeType, encodeChanges } from "./change_data.ts";
import { PARTITION_COLUMN } from "./delta_schema.ts";
import { FileStats } from "./delta_stats.ts";
import { encodeParquet, encodeRowGroups } from "./parquet.ts";
import type { DatedRows } from "./session_files.ts";

/** Rows of a row group of a packed file: few enough that a filter by brand skips most of them. */
const ROWS_PER_PACKED_GROUP = 8_192;

export interface DataFilesOptions {
  readonly store: ObjectStore;
  /** The table's root in the store. */
  readonly root: string;
  /** Wall clock, epoch milliseconds. */
  readonly now: () => number;
  readonly uuid: () => string;
}

/** Rows of a file, with the columns of the table that are not ours. */
export interface RowGroup {
  readonly rows: ColumnBatch;
  readonly others: Table | null;
}

function tableOf({ rows, others }: RowGroup): Table {
  const table = toArrow(SESSION_COLUMNS, rows);
  return others === null ? table : table.assign(others);
}

/**
 * The row groups of a packed file, each made when it is asked for.
 *
 * @param others the columns that are not ours, of the rows in their order
 */
export function* rowGroups(
  batches: readonly ColumnBatch[],
  { batch, row }: RowSelection,
  others: Table | null,
): Iterable<RowGroup> {
  for (let from = 0; from < row.length; from += ROWS_PER_PACKED_GROUP) {
    const to = Math.min(from + ROWS_PER_PACKED_GROUP, row.length);
    const part = { batch: batch.subarray(from, to), row: row.subarray(from, to) };
    yield { rows: takeRows(SESSION_KINDS, batches, part), others: others?.slice(from, to) ?? null };
  }
}

/** A file of change data that was uploaded and that no commit names yet. */
export interface StagedChanges {
  readonly path: string;
  readonly sessionDate: string;
  readonly size: number;
}

/** The files of one table. What a commit does not name is no part of it. */
export class DataFiles {
  constructor(private readonly options: DataFilesOptions) {}

  /**
   * Writes a data file of an epoch.
   *
   * @param others columns of the table that are not ours, row by row
   */
  async write(
    epoch: number,
    { sessionDate, rows }: DatedRows,
    others: Table | null = null,
  ): Promise<StagedFile> {
    const bytes = encodeParquet(tableOf({ rows, others }));
    const stats = new FileStats(SESSION_COLUMNS).add(rows).text();
    return await this.#stage(this.#name(epoch), sessionDate, bytes, { rows: rows.rows, stats });
  }

  /** Writes a data file of many epochs' rows, with row groups so small that a reader can skip some of them. */
  async writePacked(sessionDate: string, groups: Iterable<RowGroup>): Promise<StagedFile> {
    const stats = new FileStats(SESSION_COLUMNS);
    let rows = 0;
    const tables = function* () {
      for (const group of groups) {
        stats.add(group.rows);
        rows += group.rows.rows;
        yield tableOf(group);
      }
    };
    const bytes = await encodeRowGroups(tables(), ROWS_PER_PACKED_GROUP);
    const name = `packed-${this.options.uuid()}.parquet`;
    return await this.#stage(name, sessionDate, bytes, { rows, stats: stats.text() });
  }

  async #stage(
    name: string,
    sessionDate: string,
    bytes: Uint8Array,
    content: Pick<StagedFile, "rows" | "stats">,
  ): Promise<StagedFile> {
    const path = `${PARTITION_COLUMN}=${sessionDate}/${name}`;
    await this.#put(path, bytes);
    return { path, sessionDate, size: bytes.length, ...content, modifiedAtMs: this.options.now() };
  }

  /** Writes a file of change data: `types` are what became of each row. */
  async writeChanges(
    epoch: number,
    { sessionDate, rows }: DatedRows,
    types: readonly ChangeType[],
    others: Table | null = null,
  ): Promise<StagedChanges> {
    const bytes = encodeChanges(rows, types, others);
    const path = `_change_data/${PARTITION_COLUMN}=${sessionDate}/${this.#name(epoch)}`;
    await this.#put(path, bytes);
    return { path, sessionDate, size: bytes.length };
  }

  /**
   * A committed file's bytes.
   *
   * @throws {SinkError} where it is gone
   */
  async read(path: string): Promise<Uint8Array> {
    const { store, root } = this.options;
    const bytes = await this.readIfThere(path);
    if (bytes !== null) return bytes;
    const message =
      `Cannot read '${store.location}/${root}${path}': the Delta table names this file, and it is not ` +
      "there. Restore it from a backup; if VACUUM removed it, the version is too old to be read.";
    throw new SinkError(message, false);
  }

  /** A file's bytes; null where it is gone. */
  readIfThere(path: string): Promise<Uint8Array | null> {
    return this.options.store.get(this.options.root + path);
  }

  #name(epoch: number): string {
    return `batch_${epoch}-${this.options.uuid()}.parquet`;
  }

  #put(path: string, bytes: Uint8Array): Promise<void> {
    return this.options.store.put(this.options.root + path, bytes);
  }
}
