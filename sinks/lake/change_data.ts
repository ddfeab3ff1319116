/**
 * Change data: what a version did to which rows, as files for readers of the table (protocol: "Change Data Files") and as
 * the payload of an insert for the warehouse.
 */
import type { Table } from "apache-arrow";
import { cellAt, type ColumnBatch, ColumnBatchBuilder, type ColumnKind } from "../../schema/column_batch.ts";
import { assertNever, SinkError } from "../../schema/errors.ts";
import { SESSION_COLUMNS, SESSION_KINDS } from "../../schema/session.ts";
import { takeRows } from "../../schema/take_rows.ts";
import type { ChangedFile, VersionPayload } from "../sink.ts";
import { type ColumnSpec, fromArrow, toArrow } from "./arrow.ts";
import { decodeParquet, encodeParquet } from "./parquet.ts";
import { decodeSessions, mergeSessions, selectionOf, sourceIdentity, sourceOrder } from "./session_files.ts";

/** What became of a row, as the column `_change_type` says it. */
export const CHANGE_TYPES = ["insert", "update_preimage", "update_postimage", "delete"] as const;
export type ChangeType = typeof CHANGE_TYPES[number];

const SIGNS: Readonly<Record<ChangeType, 1 | -1>> = {
  insert: 1,
  update_preimage: -1,
  update_postimage: 1,
  delete: -1,
};

const CHANGE_COLUMNS: readonly ColumnSpec[] = [
  ...SESSION_COLUMNS,
  { name: "_change_type", kind: "utf8", nullable: false },
];

const SIGNED_COLUMNS: readonly ColumnSpec[] = [
  ...SESSION_COLUMNS,
  { name: "sign", kind: "int32", nullable: false },
];
const SIGNED_KINDS: readonly ColumnKind[] = [...SESSION_KINDS, "int32"];
const SIGN = SESSION_COLUMNS.length;

/**
 * The bytes of a file of change data.
 *
 * @param others columns of the table that are not ours, row by row
 */
export function encodeChanges(
  rows: ColumnBatch,
  types: readonly ChangeType[],
  others: Table | null,
): Uint8Array {
  const column = new ColumnBatchBuilder(["utf8"]);
  for (const type of types) column.push([type]);
  const changes = { rows: rows.rows, columns: [...rows.columns, ...column.finish().columns] };
  const table = toArrow(CHANGE_COLUMNS, changes);
  return encodeParquet(others === null ? table : table.assign(others));
}

/** Rows with the column `sign` after those of SESSION_COLUMNS. */
function withSign(rows: ColumnBatch, signOf: (row: number) => 1 | -1): ColumnBatch {
  const signs = new ColumnBatchBuilder(["int32"]);
  for (let row = 0; row < rows.rows; row++) signs.push([signOf(row)]);
  return { rows: rows.rows, columns: [...rows.columns, ...signs.finish().columns] };
}

/** Rows, and what became of each. */
export interface ChangedRows {
  /** SESSION_KINDS */
  readonly rows: ColumnBatch;
  readonly typeOf: (row: number) => ChangeType;
}

/** The rows of a file of change data, another program's too. */
function decodeChanges(bytes: Uint8Array, origin: string): ChangedRows {
  const changes = fromArrow(CHANGE_COLUMNS, decodeParquet(bytes, origin), origin);
  const types = changes.columns[SIGN]!;
  const typeOf = (row: number): ChangeType => {
    const type = cellAt(types, row) as ChangeType;
    if (CHANGE_TYPES.includes(type)) return type;
    const message = `Cannot use the change data '${origin}': '_change_type' must be one of ` +
      `${CHANGE_TYPES.join(", ")}, found '${type}'. The file is damaged: restore it from a backup.`;
    throw new SinkError(message, false);
  };
  return { rows: { rows: changes.rows, columns: changes.columns.slice(0, SIGN) }, typeOf };
}

/** What a file says that a version changed: change data row by row, else all its rows came or went. */
export function decodeChangedFile({ kind, path }: ChangedFile, bytes: Uint8Array): ChangedRows {
  switch (kind) {
    case "cdc":
      return decodeChanges(bytes, path);
    case "add":
      return { rows: decodeSessions(bytes, path), typeOf: () => "insert" };
    case "remove":
      return { rows: decodeSessions(bytes, path), typeOf: () => "delete" };
    default:
      return assertNever(kind);
  }
}

/**
 * What a version changed, as the payload of its insert: the same bytes whenever it is asked for. The one file of a version
 * that only added rows goes as it is.
 *
 * @param read a file's bytes
 */
export async function encodePayload(
  files: readonly ChangedFile[],
  read: (path: string) => Promise<Uint8Array>,
): Promise<VersionPayload | null> {
  const added = files.every(({ kind }) => kind === "add");
  const [first] = files;
  if (first === undefined) return null;
  if (added && files.length === 1) {
    const parquet = await read(first.path);
    const rows = first.rows ?? decodeParquet(parquet, first.path).numRows;
    return rows === 0 ? null : { parquet, rows, signed: false, joined: [] };
  }
  const parts = await Promise.all(files.map(async (file) => {
    const { rows, typeOf } = decodeChangedFile(file, await read(file.path));
    return added ? rows : withSign(rows, (row) => SIGNS[typeOf(row)]);
  }));
  if (parts.every(({ rows }) => rows === 0)) return null;
  if (added) {
    const rows = mergeSessions(parts);
    return {
      parquet: encodeParquet(toArrow(SESSION_COLUMNS, rows)),
      rows: rows.rows,
      signed: false,
      joined: [],
    };
  }
  const rows = takeRows(SIGNED_KINDS, parts, sourceOrder(parts, SIGN));
  return {
    parquet: encodeParquet(toArrow(SIGNED_COLUMNS, rows)),
    rows: rows.rows,
    signed: true,
    joined: joinedRows(rows),
  };
}

/** The rows that the row after them is of the same session as: one INSERT takes both, or a reader could see neither. */
function joinedRows(rows: ColumnBatch): number[] {
  const identity = sourceIdentity(rows);
  const joined: number[] = [];
  for (let row = 0; row + 1 < rows.rows; row++) {
    if (identity(row) === identity(row + 1)) joined.push(row);
  }
  return joined;
}

/** The rows of a payload that came, revisions as they are now. */
export function cameRows(payload: VersionPayload | null): ColumnBatch {
  if (payload === null) return takeRows(SESSION_KINDS, [], selectionOf([]));
  const { parquet, signed } = payload;
  if (!signed) return decodeSessions(parquet, "a version's changes");
  const rows = fromArrow(
    SIGNED_COLUMNS,
    decodeParquet(parquet, "a version's changes"),
    "a version's changes",
  );
  const came = Array.from({ length: rows.rows }, (_, row) => row).filter((row) =>
    cellAt(rows.columns[SIGN]!, row) === 1
  );
  const columns = { rows: rows.rows, columns: rows.columns.slice(0, SIGN) };
  return takeRows(SESSION_KINDS, [columns], selectionOf(came));
}
