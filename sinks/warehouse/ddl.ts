/** `session_metrics` and the view `sessions`, from the table of session columns. */
import { DEDUPLICATION_WINDOW } from "../../schema/limits.ts";
import { SESSION_COLUMNS, type SessionColumn } from "../../schema/session.ts";

/** Seven days: for replicated engines a token must live as long as the longest outage a retry is allowed after. */
export const DEDUPLICATION_WINDOW_SECONDS = 7 * 24 * 60 * 60;

/**
 * Without a window on the base table *and* on each view's target, a retried insert counts twice there. Set for
 * plain and replicated engines alike: every MergeTree takes both and heeds its own.
 */
export const DEDUPLICATION_SETTINGS = [
  `non_replicated_deduplication_window = ${DEDUPLICATION_WINDOW}`,
  `replicated_deduplication_window = ${DEDUPLICATION_WINDOW}`,
  `replicated_deduplication_window_seconds = ${DEDUPLICATION_WINDOW_SECONDS}`,
].join(", ");

/** A text as a SQL literal. */
export function sqlText(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}

/** A name, which may be any text, as a SQL identifier. */
export function sqlName(name: string): string {
  return `\`${name.replaceAll("\\", "\\\\").replaceAll("`", "\\`")}\``;
}

/** What rows of before have in a list that was added later: the JSON text that the insert makes of a null. */
const EMPTY_LIST = "DEFAULT '[]' ";

/**
 * The columns that take most of a session's bytes: JSON lists, and an id in hexadecimal digits. With ClickHouse's default,
 * LZ4, a session takes half as much again.
 */
const PACKED: readonly string[] = SESSION_COLUMNS
  .filter(({ name, kind }) => kind.startsWith("list_") || name === "session_id")
  .map(({ name }) => name);
const CODEC = "CODEC(ZSTD(1))";

/** Gives a table from before there were codecs what {@linkcode columnDefinition} gives; merges bring it to its parts. */
export const PACK_COLUMNS = `ALTER TABLE session_metrics ${
  PACKED.map((name) => `MODIFY COLUMN IF EXISTS ${name} ${CODEC}`).join(", ")
}`;

/**
 * A column of the DDL.
 *
 * @param value its DEFAULT clause, ending in a space; the type's own by default
 */
export function columnDefinition(
  column: Pick<SessionColumn, "name" | "clickhouse" | "doc">,
  value = "",
): string {
  const codec = PACKED.includes(column.name) ? ` ${CODEC}` : "";
  return `${column.name} ${column.clickhouse} ${value}COMMENT ${sqlText(column.doc)}${codec}`;
}

/** What ClickHouse has beside the session's own columns. */
export const SIGN_COLUMN = {
  name: "sign",
  clickhouse: "Int8",
  doc: "1 for a row, -1 for its withdrawal by a revision: sum sign * x, or read the view sessions.",
} as const;

const names = SESSION_COLUMNS.map(({ name }) => name);

/** The base table. A revision inserts the old row with sign -1 and the new one with 1, in one insert. */
export function createSessionMetrics(): string {
  const columns = [...SESSION_COLUMNS, SIGN_COLUMN].map((column) => columnDefinition(column));
  return `CREATE TABLE IF NOT EXISTS session_metrics (
  ${columns.join(",\n  ")}
) ENGINE = VersionedCollapsingMergeTree(sign, revision)
PARTITION BY toYYYYMM(session_start)
PRIMARY KEY session_id
ORDER BY (session_id, source_partition, first_offset)
SETTINGS ${DEDUPLICATION_SETTINGS}
COMMENT 'Finished sessions, one row per revision and sign; read the view sessions for one row per session.'`;
}

/** One row per session: the newest revision. An orphaned -1, whose insert has overtaken its 1, stays hidden. */
export function createSessionsView(): string {
  return `CREATE OR REPLACE VIEW sessions AS
SELECT ${names.join(", ")} FROM session_metrics FINAL WHERE sign = 1`;
}

/** Adds columns that an older program's table lacks, each after the one it is declared after. */
export function addMissingColumns(present: ReadonlySet<string>): string[] {
  return SESSION_COLUMNS.flatMap((column, index) => {
    if (present.has(column.name)) return [];
    const place = index === 0 ? "FIRST" : `AFTER ${names[index - 1]}`;
    const definition = columnDefinition(column, column.kind.startsWith("list_") ? EMPTY_LIST : "");
    return [`ALTER TABLE session_metrics ADD COLUMN IF NOT EXISTS ${definition} ${place}`];
  });
}
