/**
 * A ClickHouse server as `clickhouse_warehouse.ts` uses it: `session_metrics` with the deduplication window of its
 * tokens, views as sums that the inserted blocks feed, and `followed_versions`. The real warehouse runs over it.
 */
import type { ClickHouseClient } from "@clickhouse/client";
import { type Cell, cellAt } from "../../schema/column_batch.ts";
import { DEDUPLICATION_WINDOW } from "../../schema/limits.ts";
import { SESSION_COLUMNS } from "../../schema/session.ts";
import type { ClickHouseAccess, FileInsert } from "../../sinks/warehouse/clickhouse_access.ts";
import { decodeParquet } from "./plain_files.ts";
import type { Network } from "./network.ts";
import type { Party } from "./scheduler.ts";

/** A row of `session_metrics`. */
export interface WarehouseRow {
  readonly cells: Readonly<Record<string, Cell>>;
  readonly sign: number;
}

interface Followed {
  readonly tableId: string;
  readonly version: number;
  readonly state: string;
  readonly rest: readonly unknown[];
}

/** A view: which group a row belongs to. Each sums sessions and their events. */
const VIEWS: readonly { readonly name: string; readonly group: (row: WarehouseRow) => string }[] = [
  { name: "brand_analytics", group: ({ cells }) => String(cells.brand ?? "") },
  { name: "session_summary", group: ({ cells }) => String(cells.close_reason) },
];

/** The newest tokens of a table, each with what it stood for. */
type Window = Map<string, string>;

/** Sessions and events by group. */
export type Sums = Map<string, { sessions: number; events: number }>;

export class ClickHouse {
  readonly rows: WarehouseRow[] = [];
  readonly views = new Map<string, Sums>(VIEWS.map(({ name }) => [name, new Map()]));
  readonly followed: Followed[] = [];
  /** What went wrong that no later look at the tables would show. */
  readonly violations: string[] = [];
  #blocks = 0;
  readonly #windows = new Map<string, Window>();

  /** One INSERT: into the table, then into each view; `until` of them, where the server dies in between. */
  insert(rows: readonly WarehouseRow[], token: string, until: number): void {
    const content = JSON.stringify(rows);
    if (this.#takes("session_metrics", token, content)) {
      this.rows.push(...rows);
      this.#blocks++;
    }
    for (const view of VIEWS.slice(0, until)) {
      if (this.#takes(view.name, token, content)) addTo(this.views.get(view.name)!, rows, view.group);
    }
  }

  #takes(table: string, token: string, content: string): boolean {
    const window = this.#windows.get(table) ?? new Map<string, string>();
    this.#windows.set(table, window);
    const before = window.get(token);
    if (before !== undefined) {
      // Other rows under a used token vanish, or are counted twice where they make other blocks.
      if (before !== content) this.violations.push(`Token ${token} was used for other rows in ${table}.`);
      return false;
    }
    window.set(token, content);
    if (window.size > DEDUPLICATION_WINDOW) window.delete(window.keys().next().value!);
    return true;
  }

  /** The rows of a statement that the warehouse is known to send. */
  query(sql: string, params: Readonly<Record<string, unknown>>): unknown[][] {
    const { table_id: tableId, version, from } = params;
    const ofTable = this.followed.filter((row) => row.tableId === tableId);
    if (sql.includes("DISTINCT toString(version)")) {
      const done = ofTable.filter((row) => row.state === "done" && row.version >= Number(from));
      return [...new Set(done.map((row) => row.version))].map((version) => [String(version)]);
    }
    if (sql.includes("countIf(state = 'done')")) {
      const ofVersion = ofTable.filter((row) => row.version === version);
      const done = ofVersion.some(({ state }) => state === "done");
      const started = ofVersion.find(({ state }) => state === "started");
      const [, rowsPerInsert, format, settings, blockMark] = started?.rest ?? [0, 0, "", "", 0];
      const begun = started === undefined ? 0 : 1;
      const mark = String(blockMark);
      return [[done ? 1 : 0, begun, rowsPerInsert, format, settings, mark, String(this.#blocks)]];
    }
    throw new Error(`The simulated ClickHouse does not know the statement: ${sql}`);
  }

  follow(row: readonly unknown[]): void {
    const [tableId, version, state, ...rest] = row;
    this.followed.push({ tableId: String(tableId), version: Number(version), state: String(state), rest });
  }
}

/** What the views would be, were they made anew from rows. */
export function viewsOf(rows: readonly WarehouseRow[]): Map<string, Sums> {
  return new Map(VIEWS.map(({ name, group }) => {
    const sums: Sums = new Map();
    addTo(sums, rows, group);
    return [name, sums];
  }));
}

function addTo(sums: Sums, rows: readonly WarehouseRow[], group: (row: WarehouseRow) => string): void {
  for (const row of rows) {
    const { sessions, events } = sums.get(group(row)) ?? { sessions: 0, events: 0 };
    const count = row.cells.total_events as number;
    sums.set(group(row), { sessions: sessions + row.sign, events: events + row.sign * count });
  }
}

/** The rows of a version's payload. */
function rowsOf(parquet: Uint8Array): WarehouseRow[] {
  const { names, batch } = decodeParquet(parquet, "the insert");
  const sign = names.indexOf("sign");
  return Array.from({ length: batch.rows }, (_, row) => ({
    cells: Object.fromEntries(
      SESSION_COLUMNS.map(({ name }) => [name, cellAt(batch.columns[names.indexOf(name)]!, row)]),
    ),
    sign: sign < 0 ? 1 : cellAt(batch.columns[sign]!, row) as number,
  }));
}

export interface AccessOptions {
  readonly server: ClickHouse;
  readonly network: Network;
  readonly party: Party;
  /** How many tables an insert reaches before the server dies; all, mostly. */
  readonly reach: () => number;
}

/** An instance's way to the server. */
export function simulatedAccess({ server, network, party, reach }: AccessOptions): ClickHouseAccess {
  const failure = (why: string) => Object.assign(new Error(`socket hang up: ${why}`), { code: "ECONNRESET" });
  const ask = <T>(name: string, apply: () => T) =>
    network.call({ party, service: "warehouse", name, apply, failure });
  const client = {
    async query({ query, query_params }: { query: string; query_params: Record<string, unknown> }) {
      const rows = await ask("query", () => server.query(query, query_params));
      return { json: () => Promise.resolve(rows) };
    },
    insert: ({ values }: { values: readonly unknown[][] }) =>
      ask(`note ${values[0]!.slice(1, 3)}`, () => values.forEach((row) => server.follow(row))),
  };
  return {
    client: client as unknown as ClickHouseClient,
    location: "the simulated ClickHouse",
    database: "default",
    cluster: null,
    createDatabase: () => Promise.resolve(),
    prepare: () => Promise.resolve(),
    async insertFile(parquet, _structure, inserts) {
      for (const insert of inserts) await ask(`insert ${tokenOf(insert)}`, () => carryOut(insert, parquet));
    },
  };

  function carryOut(insert: FileInsert, parquet: Uint8Array): void {
    const cut = /ORDER BY source_partition, first_offset(, sign)?\nLIMIT (\d+) OFFSET (\d+)$/.exec(
      insert.sql("file"),
    );
    if (cut === null) throw new Error("The simulated ClickHouse does not know the insert");
    const [limit, offset] = [Number(cut[2]), Number(cut[3])];
    const by = (a: WarehouseRow, b: WarehouseRow, name: string) =>
      Number(a.cells[name]) - Number(b.cells[name]);
    const rows = rowsOf(parquet).sort((a, b) =>
      by(a, b, "source_partition") || by(a, b, "first_offset") || (cut[1] === undefined ? 0 : a.sign - b.sign)
    );
    const reached = reach();
    server.insert(rows.slice(offset, offset + limit), tokenOf(insert), reached);
    if (reached < VIEWS.length) throw failure("the server died during the insert");
  }
}

function tokenOf({ settings }: FileInsert): string {
  return String(settings.insert_deduplication_token);
}
