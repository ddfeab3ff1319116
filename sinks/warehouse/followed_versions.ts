/** Which versions of the Delta table the warehouse has: a set, because instances finish out of order. */
import type { ClickHouseClient } from "@clickhouse/client";
import type { RequestSettings } from "./chdb_protocol.ts";

/** How a version's insert was begun: a retry must do it the same way, or its token means nothing. */
export interface StartedVersion {
  readonly rowsPerInsert: number;
  readonly format: "Parquet";
  readonly settings: RequestSettings;
  /** The base table's highest block number before the insert. */
  readonly blockMark: number;
}

/** What the set has of one version. */
export interface VersionState {
  /** It is inserted, rows or not. */
  readonly done: boolean;
  /** How its insert was first begun; null where it never was. */
  readonly started: StartedVersion | null;
  /** The base table's highest block number now: it grows by one for each block that takes a place in the window. */
  readonly blockMark: number;
}

/** The table; every state of a version is a row of its own, and none is ever changed. */
export const CREATE_FOLLOWED_VERSIONS = `CREATE TABLE IF NOT EXISTS followed_versions (
  table_id String COMMENT 'The Delta table\\'s id.',
  version UInt64 COMMENT 'Its version.',
  state Enum8('started' = 1, 'done' = 2) COMMENT 'started before the insert, done after it.',
  rows UInt64 COMMENT 'The version\\'s rows.',
  rows_per_insert UInt32 COMMENT 'How the version was cut.',
  format LowCardinality(String) COMMENT 'The payload\\'s format.',
  settings String COMMENT 'The settings of its insert, as JSON.',
  block_mark UInt64 COMMENT 'The highest block number of session_metrics before the insert.',
  at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When the row was written, by the server\\'s clock.'
) ENGINE = MergeTree
ORDER BY (table_id, version, state, at)
COMMENT 'The versions of the Delta table that session_metrics has.'`;

/** What is inserted into {@linkcode CREATE_FOLLOWED_VERSIONS}. A lost row must not hide behind an earlier token. */
const WRITE_SETTINGS = { async_insert: 0, insert_deduplicate: 0 } as const;

/** Reads and writes the set. Failures are the client's own errors. */
export class FollowedVersions {
  constructor(private readonly client: ClickHouseClient) {}

  /** The versions ≥ `from` that are inserted, rows or not. */
  async done(tableId: string, from = 0): Promise<ReadonlySet<number>> {
    const rows = await this.#rows<[string]>(
      `SELECT DISTINCT toString(version) FROM followed_versions
WHERE table_id = {table_id:String} AND state = 'done' AND version >= {from:UInt64}`,
      { table_id: tableId, from },
    );
    return new Set(rows.map(([version]) => Number(version)));
  }

  /** What is known of one version. One statement, because it stands between a session's commit and its row. */
  async look(tableId: string, version: number): Promise<VersionState> {
    const first = (column: string) => `argMinIf(${column}, at, state = 'started')`;
    const rows = await this.#rows<[number, number, number, "Parquet", string, string, string]>(
      `SELECT countIf(state = 'done') > 0, countIf(state = 'started') > 0,
  ${first("rows_per_insert")}, ${first("format")}, ${first("settings")}, toString(${first("block_mark")}),
  (SELECT toString(max(max_block_number)) FROM system.parts
    WHERE database = currentDatabase() AND table = 'session_metrics')
FROM followed_versions WHERE table_id = {table_id:String} AND version = {version:UInt64}`,
      { table_id: tableId, version },
    );
    const [done, begun, rowsPerInsert, format, settings, mark, blockMark] = rows[0]!;
    const started = begun === 0
      ? null
      : { rowsPerInsert, format, settings: JSON.parse(settings), blockMark: Number(mark) };
    return { done: done !== 0, started, blockMark: Number(blockMark) };
  }

  /** Before the insert. */
  async markStarted(tableId: string, version: number, rows: number, started: StartedVersion): Promise<void> {
    await this.#write(tableId, version, "started", rows, started);
  }

  /** After the insert; `started` is null for a version without rows. */
  async markDone(
    tableId: string,
    version: number,
    rows: number,
    started: StartedVersion | null,
  ): Promise<void> {
    await this.#write(tableId, version, "done", rows, started);
  }

  async #write(
    tableId: string,
    version: number,
    state: "started" | "done",
    rows: number,
    started: StartedVersion | null,
  ): Promise<void> {
    await this.client.insert({
      table: "followed_versions",
      columns: [
        "table_id",
        "version",
        "state",
        "rows",
        "rows_per_insert",
        "format",
        "settings",
        "block_mark",
      ],
      format: "JSONCompactEachRow",
      values: [[
        tableId,
        version,
        state,
        rows,
        started?.rowsPerInsert ?? 0,
        started?.format ?? "",
        JSON.stringify(started?.settings ?? {}),
        started?.blockMark ?? 0,
      ]],
      clickhouse_settings: WRITE_SETTINGS,
    });
  }

  async #rows<Row extends unknown[]>(query: string, params: Record<string, unknown>): Promise<Row[]> {
    const result = await this.client.query({ query, query_params: params, format: "JSONCompactEachRow" });
    return await result.json<Row>() as Row[];
  }
}
