/** The Parquet files of the session table: written under names of their own, read by their paths. */
import type { Table } from "apache-arrow";
import { SinkError } from "../../schema/errors.ts";
import { SESSION_COLUMNS } from "../../schema/session.ts";
import type { ObjectStore, StagedFile } from "../sink.ts";
import { toArrow } from "./arrow.ts";
import { type ChangeType, encodeChanges } from "./change_data.ts";
import { PARTITION_COLUMN } from "./delta_schema.ts";
import { fileStats } from "./delta_stats.ts";
import { encodeParquet } from "./parquet.ts";
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
  write(epoch: number, dated: DatedRows, others: Table | null = null): Promise<StagedFile> {
    return this.#writeRows(this.#name(epoch), dated, others);
  }

  /** Writes a data file of many epochs' rows, with row groups so small that a reader can skip some of them. */
  writePacked(dated: DatedRows, others: Table | null): Promise<StagedFile> {
    return this.#writeRows(`packed-${this.options.uuid()}.parquet`, dated, others, ROWS_PER_PACKED_GROUP);
  }

  async #writeRows(
    name: string,
    { sessionDate, rows }: DatedRows,
    others: Table | null,
    rowsPerGroup?: number,
  ): Promise<StagedFile> {
    const table = toArrow(SESSION_COLUMNS, rows);
    const bytes = encodeParquet(others === null ? table : table.assign(others), { rowsPerGroup });
    const path = `${PARTITION_COLUMN}=${sessionDate}/${name}`;
    await this.#put(path, bytes);
    return {
      path,
      sessionDate,
      size: bytes.length,
      rows: rows.rows,
      stats: fileStats(SESSION_COLUMNS, rows),
      modifiedAtMs: this.options.now(),
    };
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
