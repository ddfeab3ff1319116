/**
 * VACUUM: deletes the files that no reader of the table's last days needs any more. What a commit on its way has uploaded
 * is named by no version yet, so age alone protects it: such files have a bound of their own, which no flag lowers.
 */
import { UserError } from "../../schema/errors.ts";
import { formatDuration } from "../../schema/units.ts";
import type { ObjectInfo, ObjectStore } from "../sink.ts";
import { PARTITION_COLUMN } from "./delta_schema.ts";
import { logRetentionMs, type Snapshot } from "./delta_snapshot.ts";
import { readInSlices } from "./slices.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
/** Less must be forced: readers of older versions, and copies of the table, lose their files. */
export const VACUUM_RETENTION_MIN_MS = 7 * DAY_MS;
/** A file that no version has named yet may be on its way into a commit for so long. */
const UNNAMED_AGE_MIN_MS = DAY_MS;

export interface VacuumOptions {
  /** How long the files of earlier versions are kept. */
  readonly retentionMs: number;
  /** Whether a retention below {@linkcode VACUUM_RETENTION_MIN_MS} is meant. */
  readonly force: boolean;
}

/** What is to be deleted. */
export interface VacuumPlan {
  /** Keys of the store, ascending. */
  readonly files: readonly string[];
  readonly bytes: number;
}

/**
 * Finds what can go.
 *
 * @param root the table's root in the store
 * @param needed paths that must stay whatever their age
 * @param now wall clock, epoch milliseconds
 * @throws {UserError} for a retention that is too short
 */
export async function planVacuum(
  store: ObjectStore,
  root: string,
  snapshot: Snapshot,
  needed: ReadonlySet<string>,
  { retentionMs, force }: VacuumOptions,
  now: number,
): Promise<VacuumPlan> {
  if (retentionMs < VACUUM_RETENTION_MIN_MS && !force) {
    throw new UserError(
      `Cannot vacuum with a retention of ${formatDuration(retentionMs)}: it must be at least ` +
        `${
          formatDuration(VACUUM_RETENTION_MIN_MS)
        }, because readers of older versions would lose their files. ` +
        "Give a longer one, or --force-short-retention if nobody reads or restores older versions.",
    );
  }
  const { files, tombstones, metaData } = snapshot;
  // Change data is kept as long as the versions that it tells of.
  const changesMs = Math.max(retentionMs, logRetentionMs(metaData.configuration));
  const mayGo = ({ key, modifiedAtMs }: ObjectInfo): boolean => {
    const path = key.slice(root.length);
    if (files.has(path) || needed.has(path) || isHidden(path)) return false;
    const age = now - modifiedAtMs;
    if (path.startsWith("_change_data/")) return age > changesMs;
    const removedAt = tombstones.get(path)?.deletionTimestamp;
    return removedAt === undefined
      ? age > Math.max(retentionMs, UNNAMED_AGE_MIN_MS)
      : now - removedAt > retentionMs && age > retentionMs;
  };
  // The log is not looked at: it has its own upkeep, and far more files.
  const lists = [`${root}${PARTITION_COLUMN}=`, `${root}_change_data/`].map((prefix) => store.list(prefix));
  const doomed = (await Promise.all(lists)).flat().filter(mayGo);
  return { files: doomed.map(({ key }) => key), bytes: doomed.reduce((sum, { size }) => sum + size, 0) };
}

/** Whether a file's own name says that it is no data. */
function isHidden(path: string): boolean {
  return /^[._]/.test(path.slice(path.lastIndexOf("/") + 1));
}

/** Deletes the files of a plan. */
export async function deleteFiles(store: ObjectStore, { files }: VacuumPlan): Promise<void> {
  for await (const _ of readInSlices(files, (key) => store.delete(key)));
}
