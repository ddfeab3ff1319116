/** The dead letters beside the table: a file an epoch, of which those count that a commit names. */
import { cellAt, type ColumnBatch, ColumnBatchBuilder } from "../../schema/column_batch.ts";
import { DEAD_LETTER_COLUMNS, DEAD_LETTER_KINDS } from "../../schema/epoch.ts";
import type { RecordTest } from "../../schema/erasure.ts";
import { SinkError } from "../../schema/errors.ts";
import { takeRows } from "../../schema/take_rows.ts";
import type { ObjectStore } from "../sink.ts";
import { fromArrow, toArrow } from "./arrow.ts";
import type { Commit } from "./delta_log.ts";
import { type Owner, ownRecord } from "./lake_commit.ts";
import { decodeParquet, encodeParquet } from "./parquet.ts";

export const DEAD_LETTERS_ROOT = "dead_letters/";
const MANIFEST = /^dead_letters\/committed_before_\d{20}\.json$/;

const [DETAIL, KEY, VALUE] = ["detail", "key", "value"].map((name) =>
  DEAD_LETTER_COLUMNS.findIndex((column) => column.name === name)
) as [number, number, number];

/** A file of dead letters that a commit named before the log's cleanup deleted it. */
export interface DeadLetterName {
  readonly pipeline: string;
  readonly topic: string;
  readonly file: string;
}

/** The key of the names that a cleanup of the versions below `before` keeps. */
export function deadLetterManifest(before: number): string {
  return `${DEAD_LETTERS_ROOT}committed_before_${String(before).padStart(20, "0")}.json`;
}

export interface DeadLetterFilesOptions {
  readonly store: ObjectStore;
  readonly owner: Owner;
  readonly uuid: () => string;
  /** The table's commits, the newest (or `version`) first, as far as the log has them. */
  readonly commits: (version: number | undefined) => AsyncIterable<Commit>;
}

/** The files of one pipeline's dead letters. */
export class DeadLetterFiles {
  constructor(private readonly options: DeadLetterFilesOptions) {}

  /** Writes the dead letters of an epoch; returns the file's key. */
  async write(epoch: number, letters: ColumnBatch): Promise<string> {
    const { store, uuid } = this.options;
    const key = `${DEAD_LETTERS_ROOT}epoch_${epoch}-${uuid()}.parquet`;
    await store.put(key, encodeParquet(toArrow(DEAD_LETTER_COLUMNS, letters)));
    return key;
  }

  /**
   * The dead letters of a file.
   *
   * @throws {SinkError} where it is gone or damaged
   */
  async read(key: string): Promise<ColumnBatch> {
    const { store } = this.options;
    const bytes = await store.get(key);
    const origin = `${store.location}/${key}`;
    if (bytes === null) {
      throw new SinkError(`Cannot read '${origin}': a commit names it, and it is gone.`, false);
    }
    return fromArrow(DEAD_LETTER_COLUMNS, decodeParquet(bytes, origin), origin);
  }

  /** At most `limit` dead letters committed up to `version`, by default all, the newest first. */
  async newest(limit: number, version?: number): Promise<ColumnBatch> {
    const keys = (await this.options.store.list(DEAD_LETTERS_ROOT)).map(({ key }) => key);
    // When every file was met, older commits can name none.
    const unmet = new Set(keys.filter((key) => !MANIFEST.test(key)));
    const parts: ColumnBatch[] = [];
    let rows = 0;
    for await (const key of this.#named(unmet, keys.filter((key) => MANIFEST.test(key)), version)) {
      parts.push(await this.read(key));
      rows += parts.at(-1)!.rows;
      if (rows >= limit) break;
    }
    const taken = Math.min(rows, limit);
    const selection = { batch: new Uint32Array(taken), row: new Uint32Array(taken) };
    let next = 0;
    for (const [batch, { rows }] of parts.entries()) {
      for (let row = rows - 1; row >= 0 && next < taken; row--) {
        selection.batch[next] = batch;
        selection.row[next++] = row;
      }
    }
    return takeRows(DEAD_LETTER_KINDS, parts, selection);
  }

  /**
   * Takes key and value of the letters that `test` finds, in every file, whether a commit names it or not. A file is written
   * anew in its place.
   */
  async erase(test: RecordTest, dryRun: boolean): Promise<number> {
    const { store } = this.options;
    let erased = 0;
    for (const { key: file } of await store.list(DEAD_LETTERS_ROOT)) {
      if (MANIFEST.test(file)) continue;
      const letters = await this.read(file);
      const builder = new ColumnBatchBuilder(DEAD_LETTER_KINDS);
      let found = 0;
      for (let row = 0; row < letters.rows; row++) {
        const cells = letters.columns.map((column) => cellAt(column, row));
        if (test(cells[KEY] as Uint8Array | null, cells[VALUE] as Uint8Array | null)) {
          found++;
          [cells[DETAIL], cells[KEY], cells[VALUE]] = ["erased on request", null, null];
        }
        builder.push(cells);
      }
      erased += found;
      if (found === 0 || dryRun) continue;
      await store.put(file, encodeParquet(toArrow(DEAD_LETTER_COLUMNS, builder.finish())));
    }
    return erased;
  }

  /** The files that the log or the manifests name, the newest first, until every one of `unmet` is met. */
  async *#named(
    unmet: Set<string>,
    manifests: readonly string[],
    version: number | undefined,
  ): AsyncGenerator<string> {
    const { store, owner } = this.options;
    if (unmet.size === 0) return;
    for await (const commit of this.options.commits(version)) {
      const key = ownRecord(owner, commit)?.deadLetterFile;
      if (key && unmet.delete(key)) yield key;
      if (unmet.size === 0) return;
    }
    for (const manifest of manifests.toReversed()) {
      const bytes = await store.get(manifest);
      const names = bytes === null ? [] : JSON.parse(new TextDecoder().decode(bytes)) as DeadLetterName[];
      for (const { pipeline, topic, file } of names.toReversed()) {
        if (pipeline === owner.pipeline && topic === owner.topic && unmet.delete(file)) yield file;
      }
    }
  }
}
