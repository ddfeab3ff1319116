/**
 * Copy-on-write: revised rows replace those of their sessions. Each file that holds such a row is read, written anew with
 * the new row in the old one's place, and replaced; the old rows, as the table has them, go into the version's change data.
 */
import type { Table } from "apache-arrow";
import { cellAt, type ColumnBatch } from "../../schema/column_batch.ts";
import { SESSION_COLUMNS, SESSION_KINDS, sessionColumnIndex } from "../../schema/session.ts";
import { takeRows } from "../../schema/take_rows.ts";
import type { StagedFile } from "../sink.ts";
import { fromArrow } from "./arrow.ts";
import type { ChangeType } from "./change_data.ts";
import type { DataFiles, StagedChanges } from "./data_files.ts";
import { type AddFile, dateOfFile } from "./delta_actions.ts";
import type { DeltaSchema } from "./delta_schema.ts";
import type { Snapshot } from "./delta_snapshot.ts";
import { boundsIn } from "./delta_stats.ts";
import { decodeParquet } from "./parquet.ts";
import {
  type DatedRows,
  decodeSessions,
  otherColumns,
  otherNames,
  selectionOf,
  sessionDates,
  sourceIdentity,
  sourceOrder,
  splitByDate,
  takeOthers,
} from "./session_files.ts";
import { readInSlices } from "./slices.ts";

/** Files rewritten at the same time: each is in memory as a whole. */
const PARALLEL_REWRITES = 4;

const SESSION_ID = sessionColumnIndex("session_id");
const TOTAL_EVENTS = sessionColumnIndex("total_events");
/** Of a revision's row: the `batch_id` and the `total_events` of the row that it replaces. */
const REPLACES = SESSION_COLUMNS.length;
const REPLACES_EVENTS = REPLACES + 1;

/** What a commit does to the table's files for its revisions. */
export interface Rewrite {
  readonly removed: readonly AddFile[];
  readonly added: readonly StagedFile[];
  /** All that the version changes, the rows of its new files included. */
  readonly changes: readonly StagedChanges[];
  readonly updatedRows: number;
  /** Revisions whose session the table does not have any more: they are whole rows, and go in as new ones. */
  readonly insertedRows: number;
  readonly copiedRows: number;
  /**
   * By partition, the events of rows that revisions were made for and that the table had taken from it: by a restore the
   * table lost such a row, or has an older one in its place. They are in the table again. Only what is not 0.
   */
  readonly recovered: ReadonlyMap<number, number>;
}

export interface CopyOnWriteOptions {
  readonly epoch: number;
  /** Rows of REVISION_KINDS, in commit order. */
  readonly revisions: ColumnBatch;
  /** The commit's new sessions: they belong into its change data. */
  readonly inserted: readonly StagedFile[];
  readonly files: DataFiles;
}

/** A revision on its way to the row that it replaces. */
interface Wanted {
  readonly row: number;
  readonly sessionId: string;
  readonly partition: number;
  readonly firstOffset: number;
  readonly replaces: number;
  readonly replacesEvents: number;
  /** The old row's session started on a date from `from` to `to`: a late event may have moved the start. */
  readonly from: string;
  readonly to: string;
}

/** A row of a file, as it was or as it is now. */
interface PickedRow {
  readonly row: number;
  readonly revised: boolean;
}

/** Rows of one date with what became of each, and the table's other columns where it has any. */
interface Changes extends DatedRows {
  readonly types: readonly ChangeType[];
  readonly others: Table | null;
}

/** A file that held revised rows, and what became of it. */
interface RewrittenFile {
  readonly path: string;
  readonly source: AddFile;
  readonly found: readonly Wanted[];
  /** The `total_events` of the old rows, in the order of `found`. */
  readonly oldEvents: readonly number[];
  readonly added: readonly StagedFile[];
  readonly changes: readonly Changes[];
  readonly copiedRows: number;
}

/** The copy-on-write of one commit, which is done again where another writer has replaced a file meanwhile. */
export class CopyOnWrite {
  readonly #rows: ColumnBatch;
  readonly #wanted: readonly Wanted[];
  readonly #newDates: (row: number) => { readonly start: string };
  #done: { readonly version: number; readonly sources: readonly string[]; readonly rewrite: Rewrite } | null =
    null;

  constructor(private readonly options: CopyOnWriteOptions) {
    const { rows, columns } = options.revisions;
    this.#rows = { rows, columns: columns.slice(0, REPLACES) };
    this.#newDates = sessionDates(this.#rows);
    this.#wanted = wantedOf(this.#rows, options.revisions);
  }

  /**
   * The rewrite on top of a version. One that was made for an earlier version still holds where its files are there; the
   * uploads of one that does not are left behind, named by no commit.
   *
   * @throws {SinkError} where a file cannot be read or written
   */
  async on(snapshot: Snapshot): Promise<Rewrite> {
    const done = this.#done;
    const holds = done?.sources.every((path) => snapshot.files.has(path)) &&
      (done.rewrite.insertedRows === 0 || done.version === snapshot.version);
    if (done !== null && holds) return done.rewrite;
    const rewritten = await this.#rewriteFiles(snapshot);
    const rewrite = await this.#complete(rewritten);
    const sources = rewritten.map(({ path }) => path);
    this.#done = { version: snapshot.version, sources, rewrite };
    return rewrite;
  }

  /** Looks for the old rows first where their epoch's files should be, then wherever they can be. */
  async #rewriteFiles(snapshot: Snapshot): Promise<RewrittenFile[]> {
    const missing = new Set(this.#wanted);
    const others = otherNames(JSON.parse(snapshot.metaData.schemaString) as DeltaSchema);
    const examined = new Set<string>();
    const rewritten: RewrittenFile[] = [];
    for (const byEpoch of [true, false]) {
      const wanted = [...missing];
      const candidates = [...snapshot.files].filter(([path, file]) =>
        !examined.has(path) && mayHold(file, wanted, byEpoch)
      );
      const read = ([path, file]: readonly [string, AddFile]) =>
        this.#rewriteFile(path, file, missing, others);
      for await (const result of readInSlices(candidates, read, PARALLEL_REWRITES)) {
        if (result !== null) rewritten.push(result);
      }
      candidates.forEach(([path]) => examined.add(path));
    }
    return rewritten;
  }

  /** Rewrites the file where it holds a row that is wanted, and takes it off `missing`; null where it does not. */
  async #rewriteFile(
    path: string,
    file: AddFile,
    missing: Set<Wanted>,
    otherNames: ReadonlySet<string>,
  ): Promise<RewrittenFile | null> {
    if (missing.size === 0) return null;
    const { epoch, files } = this.options;
    const table = decodeParquet(await files.read(path), path);
    const old = fromArrow(SESSION_COLUMNS, table, path);
    const found = findRows(old, missing);
    if (found.size === 0) return null;
    const others = otherColumns(table, otherNames);
    const oldDate = dateOfFile(file);
    const newDate = (row: number) => this.#newDates(found.get(row)!.row).start;
    const pick = (
      sessionDate: string,
      picks: readonly PickedRow[],
    ): DatedRows & { others: Table | null } => ({
      sessionDate,
      rows: takeRows(SESSION_KINDS, [old, this.#rows], {
        batch: Uint32Array.from(picks, ({ revised }) => revised ? 1 : 0),
        row: Uint32Array.from(picks, ({ row, revised }) => revised ? found.get(row)!.row : row),
      }),
      others: takeOthers(others, picks.map(({ row }) => row)),
    });
    const kept = Array.from({ length: old.rows }, (_, row) => ({ row, revised: found.has(row) }))
      .filter(({ row, revised }) => !revised || newDate(row) === oldDate);
    const changed = [...found.keys()].sort((a, b) => a - b);
    const added: StagedFile[] = [];
    const changes: Changes[] = [];
    for (const date of new Set([oldDate, ...changed.map(newDate)])) {
      const arrived = changed.filter((row) => newDate(row) === date).map((row) => ({ row, revised: true }));
      const rows = date === oldDate ? kept : arrived;
      if (rows.length > 0) {
        const copy = pick(date, rows);
        added.push(await files.write(epoch, copy, copy.others));
      }
      const left = date === oldDate ? changed.map((row) => ({ row, revised: false })) : [];
      const both = [...left, ...arrived].sort((a, b) => a.row - b.row); // stable: the old row goes first
      const types = both.map(({ revised }): ChangeType => revised ? "update_postimage" : "update_preimage");
      changes.push({ ...pick(date, both), types });
    }
    const copiedRows = old.rows - found.size;
    const oldEvents = [...found.keys()].map((row) => cellAt(old.columns[TOTAL_EVENTS]!, row) as number);
    return { path, source: file, found: [...found.values()], oldEvents, added, changes, copiedRows };
  }

  /** Adds what has no old row, and writes the change data of the whole version. */
  async #complete(rewritten: readonly RewrittenFile[]): Promise<Rewrite> {
    const { epoch, files, inserted } = this.options;
    const found = new Set(rewritten.flatMap(({ found }) => found));
    const missing = this.#wanted.filter((wanted) => !found.has(wanted)).map(({ row }) => row);
    const asNew = missing.length === 0
      ? []
      : splitByDate(takeRows(SESSION_KINDS, [this.#rows], selectionOf(missing)));
    const added = await Promise.all(asNew.map((dated) => files.write(epoch, dated)));
    const changes: Changes[] = [...rewritten.flatMap(({ changes }) => changes), ...asNew.map(asInsert)];
    for (const { path, sessionDate } of inserted) {
      changes.push(asInsert({ sessionDate, rows: decodeSessions(await files.read(path), path) }));
    }
    return {
      removed: rewritten.map(({ source }) => source),
      added: [...rewritten.flatMap(({ added }) => added), ...added],
      changes: await this.#writeChanges(changes),
      updatedRows: found.size,
      insertedRows: missing.length,
      copiedRows: rewritten.reduce((sum, { copiedRows }) => sum + copiedRows, 0),
      recovered: recoveredEvents(this.#wanted, rewritten),
    };
  }

  /** One file for each date; rows with columns that are not ours go into files of their own. */
  async #writeChanges(changes: readonly Changes[]): Promise<StagedChanges[]> {
    const { epoch, files } = this.options;
    const staged: StagedChanges[] = [];
    for (const sessionDate of new Set(changes.map((part) => part.sessionDate))) {
      const parts = changes.filter((part) => part.sessionDate === sessionDate);
      for (const part of parts.filter(({ others }) => others !== null)) {
        staged.push(await files.writeChanges(epoch, part, part.types, part.others));
      }
      const plain = parts.filter(({ others }) => others === null);
      if (plain.length === 0) continue;
      const batches = plain.map(({ rows }) => rows);
      const order = sourceOrder(batches);
      const types = Array.from(order.row, (row, i) => plain[order.batch[i]!]!.types[row]!);
      const rows = takeRows(SESSION_KINDS, batches, order);
      staged.push(await files.writeChanges(epoch, { sessionDate, rows }, types));
    }
    return staged;
  }
}

function asInsert(dated: DatedRows): Changes {
  return { ...dated, types: new Array<ChangeType>(dated.rows.rows).fill("insert"), others: null };
}

function wantedOf(rows: ColumnBatch, revisions: ColumnBatch): Wanted[] {
  const dates = sessionDates(rows);
  const number = (name: string, row: number) =>
    cellAt(rows.columns[sessionColumnIndex(name)]!, row) as number;
  return Array.from({ length: rows.rows }, (_, row) => ({
    row,
    sessionId: cellAt(rows.columns[SESSION_ID]!, row) as string,
    partition: number("source_partition", row),
    firstOffset: number("first_offset", row),
    replaces: cellAt(revisions.columns[REPLACES]!, row) as number,
    replacesEvents: cellAt(revisions.columns[REPLACES_EVENTS]!, row) as number,
    from: dates(row).start,
    to: dates(row).end,
  }));
}

function recoveredEvents(
  wanted: readonly Wanted[],
  rewritten: readonly RewrittenFile[],
): Map<number, number> {
  const sums = new Map<number, number>();
  const add = (partition: number, events: number) => sums.set(partition, (sums.get(partition) ?? 0) + events);
  for (const { partition, replacesEvents } of wanted) add(partition, replacesEvents);
  for (const { found, oldEvents } of rewritten) {
    found.forEach(({ partition }, i) => add(partition, -oldEvents[i]!));
  }
  return new Map([...sums].filter(([, events]) => events !== 0));
}

/** Whether the log leaves it open that the file holds one of the rows; `byEpoch`: by the epoch that it came with too. */
function mayHold(file: AddFile, wanted: readonly Wanted[], byEpoch: boolean): boolean {
  const date = dateOfFile(file);
  const dated = wanted.filter(({ from, to }) => from <= date && date <= to);
  if (dated.length === 0) return false;
  const within = boundsIn(file.stats);
  return dated.some(({ partition, firstOffset, replaces }) =>
    within("first_offset", firstOffset) && within("source_partition", partition) &&
    (!byEpoch || within("batch_id", replaces))
  );
}

/** The rows that are wanted, by their index in the file, in no particular order; they are taken off `missing`. */
function findRows(rows: ColumnBatch, missing: Set<Wanted>): Map<number, Wanted> {
  const byPlace = new Map<string, Wanted[]>();
  for (const wanted of missing) {
    const place = `${wanted.partition}:${wanted.firstOffset}`;
    byPlace.set(place, [...byPlace.get(place) ?? [], wanted]);
  }
  const identity = sourceIdentity(rows);
  const found = new Map<number, Wanted>();
  for (let row = 0; row < rows.rows; row++) {
    const wanted = byPlace.get(identity(row))?.find(({ sessionId }) =>
      cellAt(rows.columns[SESSION_ID]!, row) === sessionId
    );
    if (wanted === undefined || !missing.delete(wanted)) continue;
    found.set(row, wanted);
  }
  return found;
}
