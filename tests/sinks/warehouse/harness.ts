/**
 * Real chDB for tests. One process holds one data folder at a time, so a test opens it, and closes it before the
 * next one does; each `open` is a worker of its own on the folder.
 */
import type { Table } from "apache-arrow";
import type { Cell, PageEvent } from "../../../schema/column_batch.ts";
import { ColumnBatchBuilder } from "../../../schema/column_batch.ts";
import { SESSION_COLUMNS, SESSION_KINDS } from "../../../schema/session.ts";
import { type ColumnSpec, toArrow } from "../../../sinks/lake/arrow.ts";
import { encodeParquet } from "../../../sinks/lake/parquet.ts";
import type { VersionPayload } from "../../../sinks/sink.ts";
import type { ChdbControl, ChdbNotice } from "../../../sinks/warehouse/chdb_protocol.ts";
import { chdbAccess, type ClickHouseAccess } from "../../../sinks/warehouse/clickhouse_access.ts";

/** The worker that owns chDB, as the supervisor runs it. */
export class ChdbHost {
  private constructor(private readonly worker: Worker, readonly folder: string) {}

  /** Rejects with the worker's sentence where the folder can't be opened. */
  static async open(folder: string): Promise<ChdbHost> {
    const worker = new Worker(new URL("../../../sinks/warehouse/chdb_worker.ts", import.meta.url), {
      type: "module",
    });
    const host = new ChdbHost(worker, folder);
    const notice = await host.#ask({ type: "open", folder });
    if (notice.type === "failed") {
      await host.close();
      throw new Error(notice.message);
    }
    return host;
  }

  /** A port that the worker serves. */
  port(): MessagePort {
    const { port1, port2 } = new MessageChannel();
    this.#tell({ type: "serve", port: port2 }, [port2]);
    return port1;
  }

  access(database = "default"): ClickHouseAccess {
    return chdbAccess({ port: this.port(), folder: this.folder, database });
  }

  /** Releases the folder. */
  async close(): Promise<void> {
    await this.#ask({ type: "close" });
  }

  #tell(control: ChdbControl, transfer: Transferable[] = []): void {
    this.worker.postMessage(control, transfer);
  }

  #ask(control: ChdbControl): Promise<ChdbNotice> {
    return new Promise((resolve) => {
      this.worker.onmessage = ({ data }: MessageEvent<ChdbNotice>) => resolve(data);
      this.#tell(control);
    });
  }
}

/** Runs `test` with chDB on a new folder, and removes the folder. */
export async function withChdb(test: (host: ChdbHost) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    const host = await ChdbHost.open(folder);
    try {
      await test(host);
    } finally {
      await host.close();
    }
  });
}

/** Runs `test` with a folder below a new one, and removes both. */
export async function withFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const root = await Deno.makeTempDir();
  try {
    await test(`${root}/warehouse`);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

/** A session's row by column name. */
export type SessionRow = Record<string, Cell>;

/** A plausible session: the `index`-th, of any size. */
export function sessionRow(index: number, changes: SessionRow = {}): SessionRow {
  const start = Date.UTC(2026, 2, 1) + index * 1_700;
  const pages: PageEvent[] = [0, 1, 0].map((page, at) => ({
    timestamp: start + at,
    event_type: "article_view",
    page_url: `/page/${(index + page) % 500}`,
    article_id: page === 0 ? `a${index % 500}` : null,
  }));
  return {
    session_id: `s-${index}`,
    user_id: 4_294_967_295 - index,
    brand: ["daily", "times", null][index % 3]!,
    country: `country ${index % 20}`,
    city: `city ${index % 200}`,
    device_type: "mobile",
    device_os: "iOS",
    browser: null,
    subscription_tier: "free",
    user_segment: "casual",
    session_start: start,
    session_end: start + 61_500,
    session_duration_sec: 61,
    total_events: 14,
    article_views: 3,
    article_clicks: 2,
    video_plays: 1,
    newsletter_signups: 1,
    ad_clicks: 1,
    searches: 1,
    pages_visited_count: 3,
    unique_pages_count: 2,
    unique_categories_count: 2,
    categories_visited: ["news", "sport"],
    article_ids_visited: [`a${index % 500}`],
    article_titles_visited: ["A title"],
    page_events: pages,
    created_at: start + 70_000,
    batch_id: 1,
    revision: 0,
    close_reason: "session_end",
    source_partition: index % 8,
    first_offset: index * 20,
    last_offset: index * 20 + 13,
    ...changes,
  };
}

/** Rows as an Arrow table, ordered (source_partition, first_offset). */
export function tableOf(rows: readonly SessionRow[]): Table {
  const ordered = rows.toSorted((a, b) =>
    (a.source_partition as number) - (b.source_partition as number) ||
    (a.first_offset as number) - (b.first_offset as number)
  );
  const builder = new ColumnBatchBuilder(SESSION_KINDS);
  for (const row of ordered) builder.push(SESSION_COLUMNS.map(({ name }) => row[name]!));
  return toArrow(SESSION_COLUMNS, builder.finish());
}

/** Rows as the lake writes the Parquet file of one version. */
export function parquetOf(rows: readonly SessionRow[]): Uint8Array {
  return encodeParquet(tableOf(rows));
}

/** The payload of a version that only adds rows: `parquet` holds `rows` of them. */
export function addedRows(rows: number, parquet: Uint8Array): VersionPayload {
  return { parquet, rows, signed: false, joined: [] };
}

/** The payload of a version that withdraws and adds rows, which are in its order. */
export function signedRows(
  rows: readonly { readonly row: SessionRow; readonly sign: 1 | -1 }[],
): VersionPayload {
  const builder = new ColumnBatchBuilder([...SESSION_KINDS, "int32"]);
  for (const { row, sign } of rows) builder.push([...SESSION_COLUMNS.map(({ name }) => row[name]!), sign]);
  const columns: readonly ColumnSpec[] = [
    ...SESSION_COLUMNS,
    { name: "sign", kind: "int32", nullable: false },
  ];
  const parquet = encodeParquet(toArrow(columns, builder.finish()));
  const joined = rows.flatMap(({ row }, i) => rows[i + 1]?.row.session_id === row.session_id ? [i] : []);
  return { parquet, rows: rows.length, signed: true, joined };
}

/** `count` sessions, of which the first is the `first`-th. */
export function sessionRows(count: number, first = 0, changes: SessionRow = {}): SessionRow[] {
  return Array.from({ length: count }, (_, i) => sessionRow(first + i, changes));
}

/** All rows of a query, as arrays of cells. */
export async function rowsOf(access: ClickHouseAccess, query: string): Promise<unknown[][]> {
  const result = await access.client.query({
    query,
    format: "JSONCompactEachRow",
    clickhouse_settings: { output_format_json_quote_64bit_integers: 0 }, // 1 is older servers' default.
  });
  return await result.json<unknown[]>() as unknown[][];
}

/** Page events as the table has them. */
export function jsonOf(pages: readonly PageEvent[]): string {
  return JSON.stringify(pages.map(({ timestamp, event_type, page_url, article_id }) => ({
    timestamp: new Date(timestamp).toISOString(),
    event_type,
    page_url,
    article_id,
  })));
}

/** The row as `session_metrics` has it: times cut to seconds, null texts as '', lists as JSON text. */
export function cellsOf(row: SessionRow): unknown[] {
  return SESSION_COLUMNS.map(({ name, kind }) => {
    const value = row[name]!;
    if (kind === "timestamp") return new Date(Number(value)).toISOString().slice(0, 19).replace("T", " ");
    if (kind === "list_utf8") return JSON.stringify(value);
    if (kind === "list_page_event") return jsonOf(value as PageEvent[]);
    return kind === "int64" ? Number(value) : value ?? "";
  });
}

/** Rows of the base table, of `sessions`, and the sums that each of the six analytics must agree on. */
export async function totals(access: ClickHouseAccess): Promise<Record<string, unknown>> {
  const sums = "sum(sessions), sum(total_events), sum(total_duration_sec)";
  const query = async (sql: string) => (await rowsOf(access, sql))[0]!;
  return {
    base: await query("SELECT count(), sum(total_events), sum(session_duration_sec) FROM session_metrics"),
    sessions: await query("SELECT count(), sum(total_events), sum(session_duration_sec) FROM sessions"),
    brand: await query(`SELECT ${sums} FROM brand_analytics`),
    device: await query(`SELECT ${sums} FROM device_analytics`),
    geographic: await query(`SELECT ${sums} FROM geographic_analytics`),
    subscription: await query(`SELECT ${sums} FROM subscription_analytics`),
    summary: await query(`SELECT ${sums} FROM session_summary`),
    pages: await query("SELECT sum(page_views), sum(sessions) FROM page_analytics"),
  };
}

/** What {@linkcode totals} finds for `count` sessions of {@linkcode sessionRows}, each there once. */
export function expectedTotals(count: number): Record<string, unknown> {
  const sums = [count, 14 * count, 61 * count];
  return {
    base: sums,
    sessions: sums,
    brand: sums,
    device: sums,
    geographic: sums,
    subscription: sums,
    summary: sums,
    pages: [3 * count, 2 * count],
  };
}

/** As if a process had died between the insert and its `done`. */
export async function forgetDone({ client }: ClickHouseAccess): Promise<void> {
  await client.command({
    query: "ALTER TABLE followed_versions DELETE WHERE state = 'done' SETTINGS mutations_sync = 1",
  });
}
