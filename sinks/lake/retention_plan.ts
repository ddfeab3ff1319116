/** Which dates leave the table by their age, and what the log says of those that left. Pure. */
import { type AddFile, dateOfFile, type DeltaAction } from "./delta_actions.ts";
import { PARTITION_COLUMN } from "./delta_schema.ts";
import type { Snapshot } from "./delta_snapshot.ts";
import type { Commit } from "./delta_log.ts";
import { optimizePlan, type OptimizeSettings } from "./optimize_plan.ts";

const DAY_MS = 24 * 60 * 60 * 1000;

/** The `txn` that counts the retirements, and the one that holds the horizon in days since 1970. They are the table's own. */
export const RETIREMENTS_APP_ID = "sessionary/retirements";
export const HORIZON_APP_ID = "sessionary/horizon";

export interface RetentionOptions {
  /** Dates before it leave: `YYYY-MM-DD`. */
  readonly horizon: string;
  /** A date with a file that was written later stays for now: its sessions may still be revised. Epoch milliseconds. */
  readonly writtenBeforeMs: number;
}

/**
 * The options that settings make: a date leaves when all of it, in UTC, is older than `ageMs`.
 *
 * @param now wall clock, epoch milliseconds
 */
export function retentionOptions(
  settings: OptimizeSettings,
  now: number,
  ageMs: number,
): RetentionOptions {
  const { writtenBeforeMs } = optimizePlan(settings, now, { date: null, patient: false });
  return { horizon: dateOf(Math.floor((now - ageMs) / DAY_MS)), writtenBeforeMs };
}

function dateOf(days: number): string {
  return new Date(days * DAY_MS).toISOString().slice(0, 10);
}

/** Dates that leave, with their files. */
export interface RetirementPlan {
  /** Ascending. */
  readonly dates: readonly string[];
  /** Old enough, and left for the next time. */
  readonly waiting: readonly string[];
  /** By path. */
  readonly files: ReadonlyMap<string, AddFile>;
}

/** Finds them. */
export function planRetirement(
  { files }: Pick<Snapshot, "files">,
  { horizon, writtenBeforeMs }: RetentionOptions,
): RetirementPlan {
  const old = [...files].filter(([, file]) => isDate(dateOfFile(file)) && dateOfFile(file) < horizon);
  const waiting = new Set(
    old.filter(([, { modificationTime }]) => modificationTime >= writtenBeforeMs).map(([, file]) =>
      dateOfFile(file)
    ),
  );
  const leaving = old.filter(([, file]) => !waiting.has(dateOfFile(file)));
  return {
    dates: [...new Set(leaving.map(([, file]) => dateOfFile(file)))].sort(),
    waiting: [...waiting].sort(),
    files: new Map(leaving),
  };
}

/** Another writer may have put files under other values, null among them: they have no age. */
function isDate(text: string): boolean {
  return /^\d{4}-\d{2}-\d{2}$/.test(text);
}

/** The dates before this one were retired; null where none was. */
export function horizonIn({ txns }: Pick<Snapshot, "txns">): string | null {
  const days = txns.get(HORIZON_APP_ID)?.version;
  return days === undefined ? null : dateOf(days);
}

/** How often dates were retired. */
export function retirementsIn({ txns }: Pick<Snapshot, "txns">): number {
  return txns.get(RETIREMENTS_APP_ID)?.version ?? 0;
}

/** The `txn`s that a retirement sets. `timestampMs`: epoch milliseconds. */
export function retirementTxns(snapshot: Snapshot, horizon: string, timestampMs: number): DeltaAction[] {
  const newest = [horizon, horizonIn(snapshot) ?? horizon].sort().at(-1)!;
  const set = (appId: string, version: number) => ({ txn: { appId, version, lastUpdated: timestampMs } });
  return [
    set(RETIREMENTS_APP_ID, retirementsIn(snapshot) + 1),
    set(HORIZON_APP_ID, Date.parse(newest) / DAY_MS),
  ];
}

/** Whether a version changed rows of one of the dates. */
export function touchesDates({ actions }: Commit, dates: ReadonlySet<string>): boolean {
  return actions.some((action) => {
    if ("cdc" in action) return isOf(action.cdc.partitionValues, dates);
    if ("add" in action) return action.add.dataChange && isOf(action.add.partitionValues, dates);
    if ("remove" in action) return action.remove.dataChange && isOf(action.remove.partitionValues, dates);
    return false;
  });
}

/** What does not say its date may be of any. */
function isOf(
  values: Readonly<Record<string, string | null>> | undefined,
  dates: ReadonlySet<string>,
): boolean {
  return values === undefined || dates.has(values[PARTITION_COLUMN] ?? "");
}
