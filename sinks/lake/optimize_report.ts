/** What OPTIMIZE tells of itself. Pure. */

/** What an OPTIMIZE did. */
export interface OptimizeReport {
  readonly versions: readonly number[];
  readonly filesRemoved: number;
  readonly bytesRemoved: number;
  readonly filesAdded: number;
  readonly bytesAdded: number;
  /** Versions that other writers were first to take. */
  readonly conflicts: number;
  /** Bins that were given up, because another writer had removed one of their files. */
  readonly abandoned: number;
}

/** Nothing done yet. */
export const NOTHING_OPTIMIZED: OptimizeReport = {
  versions: [],
  filesRemoved: 0,
  bytesRemoved: 0,
  filesAdded: 0,
  bytesAdded: 0,
  conflicts: 0,
  abandoned: 0,
};

/** Two reports as one. */
export function addReports(a: OptimizeReport, b: OptimizeReport): OptimizeReport {
  return {
    versions: [...a.versions, ...b.versions],
    filesRemoved: a.filesRemoved + b.filesRemoved,
    bytesRemoved: a.bytesRemoved + b.bytesRemoved,
    filesAdded: a.filesAdded + b.filesAdded,
    bytesAdded: a.bytesAdded + b.bytesAdded,
    conflicts: a.conflicts + b.conflicts,
    abandoned: a.abandoned + b.abandoned,
  };
}
