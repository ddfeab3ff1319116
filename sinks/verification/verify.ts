/**
 * Proves that nothing is lost and nothing is there twice: the rows of Delta are those of ClickHouse, the six analytics are
 * the sums of the sessions, every partition's ledger balances, and every `txn` agrees with its barriers.
 */
import { cellAt, type ColumnBatch } from "../../schema/column_batch.ts";
import { sessionColumnIndex } from "../../schema/session.ts";
import type { DeltaLake } from "../lake/lake.ts";
import type { Warehouse } from "../sink.ts";
import type { ClickHouseAccess } from "../warehouse/clickhouse_access.ts";
import { checkLedger, type LedgerFindings } from "./ledger.ts";
import { compareDay, type DayFindings, warehouseDays } from "./rows.ts";
import { compareViews, type ViewFindings } from "./views.ts";

/** What a verification found. It is clean where no list of differences has an entry. */
export interface Verification {
  readonly tableId: string;
  readonly version: number;
  /** Versions that ClickHouse has not been given yet. */
  readonly missingVersions: readonly number[];
  readonly days: readonly DayFindings[];
  readonly views: readonly ViewFindings[];
  readonly ledger: LedgerFindings;
  /** The dates before this one left because of their age, and the analytics kept their sums; null where none did. */
  readonly horizon: string | null;
}

export interface VerifyDeps {
  readonly lake: DeltaLake;
  readonly warehouse: Warehouse;
  readonly access: ClickHouseAccess;
}

/** Compares everything at the table's newest version. Nothing may be writing meanwhile. */
export async function verify({ lake, warehouse, access }: VerifyDeps): Promise<Verification> {
  const { tableId, version, positions } = await lake.open();
  const done = await warehouse.doneVersions(tableId);
  const missingVersions = await lackingVersions(lake, version, done);
  const rowEvents = new Map<number, number>();
  const days: DayFindings[] = [];
  const deltaDays = await lake.sessionDates();
  for (const day of [...new Set([...deltaDays, ...await warehouseDays(access.client)])].sort()) {
    const rows = await lake.readSessionsOf(day);
    addEvents(rowEvents, rows);
    days.push(await compareDay(access.client, day, rows));
  }
  const horizon = await lake.horizon();
  const views = await compareViews(access.client, horizon);
  const cleaned = await lake.oldestVersion() > 0;
  const epochs = await lake.epochsAfter(-1);
  const ledger = checkLedger(epochs, positions, rowEvents, await lake.retiredEvents(), cleaned);
  return { tableId, version, missingVersions, days, views, ledger, horizon };
}

/** Versions that were not followed and have something to follow: OPTIMIZE changes no row, whoever ran it last. */
async function lackingVersions(
  lake: DeltaLake,
  newest: number,
  done: ReadonlySet<number>,
): Promise<number[]> {
  const oldest = await lake.oldestVersion();
  const missing = Array.from({ length: newest + 1 }, (_, version) => version).filter((version) =>
    !done.has(version)
  );
  // What versions changed that a cleanup has deleted is not known any more.
  const gone = missing.filter((version) => version < oldest);
  const changes = await lake.changes(missing.filter((version) => version >= oldest));
  const mattering = changes.filter(({ files, retired }) => files.length > 0 || retired !== undefined);
  return [...gone, ...mattering.map(({ version }) => version)];
}

/** Every difference as a sentence; empty where all agrees. */
export function differencesOf({ missingVersions, days, views, ledger }: Verification): string[] {
  const missing = missingVersions.length === 0
    ? []
    : [`ClickHouse lacks ${missingVersions.length} versions, the first is ${missingVersions[0]}`];
  const more = (what: string, differing: number, named: number) =>
    differing > named ? [`${what}: ${differing - named} more`] : [];
  return [
    ...missing,
    ...days.flatMap((
      { day, examples, differing },
    ) => [...examples, ...more(day, differing, examples.length)]),
    ...views.flatMap((
      { name, examples, differing },
    ) => [...examples, ...more(name, differing, examples.length)]),
    ...ledger.differences,
  ];
}

function addEvents(sums: Map<number, number>, rows: ColumnBatch): void {
  const partitions = rows.columns[sessionColumnIndex("source_partition")]!;
  const events = rows.columns[sessionColumnIndex("total_events")]!;
  for (let row = 0; row < rows.rows; row++) {
    const partition = cellAt(partitions, row) as number;
    sums.set(partition, (sums.get(partition) ?? 0) + (cellAt(events, row) as number));
  }
}
