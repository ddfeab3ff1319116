/** How the rows of a Delta version, as one Parquet file, become rows of `session_metrics`. */
import type { ColumnKind } from "../../schema/column_batch.ts";
import { assertNever } from "../../schema/errors.ts";
import { SESSION_COLUMNS, type SessionColumn } from "../../schema/session.ts";
import type { VersionPayload } from "../sink.ts";
import type { RequestSettings } from "./chdb_protocol.ts";
import { SIGN_COLUMN, sqlText } from "./ddl.ts";

/** Rows `offset` … `offset + count` of a version, in the order of its payload. */
export interface Piece {
  readonly token: string;
  readonly offset: number;
  readonly count: number;
}

/**
 * The inserts of a version. The cut depends on the payload's numbers alone, and each piece has a token of its own: several
 * inserts under one token would be dropped silently. Joined rows stay in one piece, which may make it longer or shorter.
 */
export function cutVersion(
  tableId: string,
  version: number,
  { rows, joined }: Pick<VersionPayload, "rows" | "joined">,
  rowsPerInsert: number,
): readonly Piece[] {
  const token = `${tableId}:${version}`;
  if (rows <= rowsPerInsert) return [{ token, offset: 0, count: rows }];
  const withNext = new Set(joined);
  const pieces: Piece[] = [];
  for (let offset = 0; offset < rows;) {
    let end = Math.min(offset + rowsPerInsert, rows);
    while (end > offset && withNext.has(end - 1)) end--;
    if (end === offset) { for (end = offset + rowsPerInsert; withNext.has(end - 1);) end++; }
    pieces.push({ token: `${token}:${pieces.length}`, offset, count: end - offset });
    offset = end;
  }
  return pieces;
}

/** More rows than any insert has: what is bounded by it is one block. */
const ONE_BLOCK_ROWS = 10_000_000;

/**
 * What makes every retry of a token give one and the same source block, in the base table and in the views: a token
 * is honoured only then (the same rows in other blocks are counted again). They are recorded with the version and a
 * retry uses those, so that a program with other values stays exact.
 */
export const INSERT_SETTINGS: RequestSettings = {
  async_insert: 0,
  deduplicate_blocks_in_dependent_materialized_views: 1,
  insert_deduplicate: 1,
  max_threads: 1,
  max_insert_threads: 1,
  max_parsing_threads: 1,
  parallel_view_processing: 0,
  max_block_size: ONE_BLOCK_ROWS,
  max_insert_block_size: ONE_BLOCK_ROWS,
  min_insert_block_size_rows: ONE_BLOCK_ROWS,
  min_insert_block_size_bytes: 0,
  input_format_parquet_max_block_size: ONE_BLOCK_ROWS,
  input_format_parquet_prefer_block_bytes: 4_000_000_000,
  // A GROUP BY of many keys is otherwise handed on in 256 blocks.
  group_by_two_level_threshold: 0,
  group_by_two_level_threshold_bytes: 0,
  // A backfill may bring a version of more months than the server's default of 100.
  max_partitions_per_insert_block: 0,
  // Collapsing within a block would cost a sixth of the insert, and there is nothing to collapse: of a session a version has
  // one row or, withdrawn and new, two of different revisions.
  optimize_on_insert: 0,
  output_format_json_escape_forward_slashes: 0,
  output_format_json_named_tuples_as_objects: 1,
  // multiMatchAny, which a server may have switched off.
  allow_hyperscan: 1,
};

/** The type in which ClickHouse reads a column of the Parquet file. */
function parquetType({ kind, nullable }: SessionColumn): string {
  const type = scalarType(kind);
  // An array cannot be null in ClickHouse, which reads one that is null or not there as an empty one.
  return nullable && !kind.startsWith("list_") ? `Nullable(${type})` : type;
}

function scalarType(kind: ColumnKind): string {
  switch (kind) {
    case "utf8":
    case "binary":
      return "String";
    case "int32":
      return "Int32";
    case "int64":
      return "Int64";
    case "timestamp":
      return "DateTime64(6, 'UTC')";
    case "list_utf8":
      return "Array(String)";
    case "list_page_event":
      return "Array(Tuple(timestamp DateTime64(6, 'UTC'), event_type String, page_url String, " +
        "article_id Nullable(String)))";
    default:
      return assertNever(kind);
  }
}

/** The file's columns, as `file()` and `input()` take them. */
export function parquetStructure(signed: boolean): string {
  const columns = SESSION_COLUMNS.map((column) => `${column.name} ${parquetType(column)}`);
  return [...columns, ...(signed ? [`${SIGN_COLUMN.name} Int32`] : [])].join(", ");
}

/** Where ClickHouse's JSON differs from JSON.stringify's in bytes: what it writes, and what it should. */
const JSON_ESCAPES: readonly (readonly [string, string])[] = [
  ...[0x0b, 0x0e, 0x0f, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f].map((code): readonly [string, string] => {
    const hex = code.toString(16).padStart(4, "0");
    return [`\\u${hex.toUpperCase()}`, `\\u${hex}`];
  }),
  ["\\u2028", "\u2028"],
  ["\\u2029", "\u2029"],
];

/** A byte that JSON text never contains: it stands for an escaped backslash while escapes are rewritten. */
const SENTINEL = "char(1)";

/**
 * The lambda `exact_json`: ClickHouse's JSON text as JSON.stringify writes it, byte for byte. Few texts need it, and
 * `if` works only on those.
 */
function exactJsonLambda(): string {
  const escapedBackslash = sqlText("\\\\");
  let text = `replaceAll(j, ${escapedBackslash}, ${SENTINEL})`;
  for (const [found, wanted] of JSON_ESCAPES) {
    text = `replaceAll(${text}, ${sqlText(found)}, ${sqlText(wanted)})`;
  }
  return `j -> if(position(j, ${
    sqlText("\\u")
  }) > 0, replaceAll(${text}, ${SENTINEL}, ${escapedBackslash}), j)`;
}

/** What JSON text never has as it is: a quote, a backslash, a control character. */
const ESCAPED = sqlText('["\\\\\\x00-\\x1f]');

/**
 * JSON text of a row's list. Hardly any text has to be escaped, and `toJSONString`, which looks at every character, would
 * take half of an insert's time: `if` asks it only for those rows.
 *
 * @param texts all texts of the list, joined
 * @param plain the JSON text where none of them has to be escaped
 * @param value what is written where one has
 */
function jsonText(texts: string, plain: string, value: string): string {
  return `if(multiMatchAny(${texts}, [${ESCAPED}]), exact_json(toJSONString(${value})), ${plain})`;
}

function textListJson(name: string): string {
  const plain = `if(empty(${name}), '[]', concat('["', arrayStringConcat(${name}, '","'), '"]'))`;
  return jsonText(`arrayStringConcat(${name})`, plain, name);
}

/** Entries with their keys in the declared order and their time as `YYYY-MM-DDTHH:MM:SS.mmmZ`. */
function pageEventsJson(name: string): string {
  const joined = (entry: string, separator: string) =>
    `arrayStringConcat(arrayMap(e -> ${entry}, ${name}), ${sqlText(separator)})`;
  const time = "concat(replaceOne(toString(toDateTime64(e.1, 3, 'UTC')), ' ', 'T'), 'Z')";
  const plain = `concat('{"timestamp":"', ${time}, '","event_type":"', e.2, '","page_url":"', e.3, ` +
    `'","article_id":', ifNull(concat('"', e.4, '"'), 'null'), '}')`;
  const type =
    "Array(Tuple(timestamp String, event_type String, page_url String, article_id Nullable(String)))";
  return jsonText(
    joined("concat(e.2, e.3, ifNull(e.4, ''))", ""),
    `concat('[', ${joined(plain, ",")}, ']')`,
    `CAST(arrayMap(e -> (${time}, e.2, e.3, e.4), ${name}), ${sqlText(type)})`,
  );
}

/** The table's value of a column of the file. */
function tableValue({ name, kind, clickhouse, nullable }: SessionColumn): string {
  switch (kind) {
    case "utf8":
    case "binary":
      return nullable ? `ifNull(${name}, '')` : name;
    case "int32":
    case "int64":
      // Fails where the value does not fit, instead of keeping its lowest bits.
      return `accurateCast(${name}, ${sqlText(clickhouse)})`;
    case "timestamp":
      return `toDateTime(${name}, 'UTC')`;
    case "list_utf8":
      return textListJson(name);
    case "list_page_event":
      return pageEventsJson(name);
    default:
      return assertNever(kind);
  }
}

/**
 * The INSERT of one piece.
 *
 * @param source the table function that reads the file
 * @param signed whether the file says of each row if it came or went
 */
export function insertStatement(source: string, { offset, count }: Piece, signed: boolean): string {
  const names = [...SESSION_COLUMNS.map(({ name }) => name), SIGN_COLUMN.name];
  const sign = signed ? `accurateCast(${SIGN_COLUMN.name}, ${sqlText(SIGN_COLUMN.clickhouse)})` : "1";
  const values = [...SESSION_COLUMNS.map(tableValue), sign];
  // The order is the file's own already; sorting makes one block of it whatever its row groups are.
  return `INSERT INTO session_metrics
(${names.join(", ")})
WITH ${exactJsonLambda()} AS exact_json
SELECT ${values.join(",\n  ")}
FROM ${source}
ORDER BY source_partition, first_offset${signed ? `, ${SIGN_COLUMN.name}` : ""}
LIMIT ${count} OFFSET ${offset}`;
}
