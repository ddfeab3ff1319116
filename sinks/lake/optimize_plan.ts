/** Which small files of the table are packed into which larger ones (OPTIMIZE). Pure. */
import type { Config } from "../../schema/config.ts";
import { type AddFile, dateOfFile } from "./delta_actions.ts";
import { recordsIn } from "./delta_stats.ts";

/** Rows of one packed file at most: a bin is in memory as a whole, and a row may have a hundred page events. */
export const ROWS_PER_BIN_MAX = 200_000;
/** Files of one bin at most. */
const FILES_PER_BIN_MAX = 1_000;
/** Files below this are packed whatever stands beside them: to read and write so little costs less than an object. */
const TINY_BYTES = 1024 * 1024;
/** A file that is so near to the target stays as it is. */
const FULL_SHARE = 0.75;

export interface PlanOptions {
  /** Bytes of a packed file, about. */
  readonly targetBytes: number;
  /** Only files that were written before: epoch milliseconds. */
  readonly writtenBeforeMs: number;
  /** Only this `session_date`; null: all. */
  readonly date: string | null;
  /**
   * Whether a file waits until as many bytes as its own stand beside it: for who runs this again and again, because each
   * row is then rewritten some times only, not with every run.
   */
  readonly patient: boolean;
}

/** The settings that {@linkcode optimizePlan} goes by. */
export type OptimizeSettings = Pick<
  Config,
  "optimizeTargetBytes" | "allowedLatenessMs" | "watermarkDelayMs" | "revisionIntervalMs"
>;

/** Beyond what the settings say: for clocks that differ, and epochs under way. */
const SLACK_MS = 60_000;

/**
 * The plan that settings make. A file is left alone while its sessions may still be revised, because a revision writes
 * anew the whole file that it finds its row in. `now`: epoch milliseconds.
 */
export function optimizePlan(
  { optimizeTargetBytes, allowedLatenessMs, watermarkDelayMs, revisionIntervalMs }: OptimizeSettings,
  now: number,
  choice: Pick<PlanOptions, "date" | "patient">,
): PlanOptions {
  const revisableMs = allowedLatenessMs + watermarkDelayMs + 2 * revisionIntervalMs + SLACK_MS;
  return { targetBytes: optimizeTargetBytes, writtenBeforeMs: now - revisableMs, ...choice };
}

/** A table's file with its decoded path. */
export interface TableFile {
  readonly path: string;
  readonly file: AddFile;
  readonly rows: number;
}

/** Files of one date that become one. */
export interface Bin {
  readonly sessionDate: string;
  readonly files: readonly TableFile[];
  readonly bytes: number;
}

/** The bins, the oldest date first; each has two files or more. */
export function planBins(files: ReadonlyMap<string, AddFile>, options: PlanOptions): Bin[] {
  const { targetBytes, writtenBeforeMs, date } = options;
  const small: TableFile[] = [];
  for (const [path, file] of files) {
    if (file.size >= targetBytes * FULL_SHARE || file.modificationTime >= writtenBeforeMs) continue;
    if (date !== null && dateOfFile(file) !== date) continue;
    small.push({ path, file, rows: recordsIn(file.stats) ?? 0 });
  }
  const byDate = [...Map.groupBy(small, ({ file }) => dateOfFile(file))];
  return byDate.sort(([a], [b]) => a < b ? -1 : 1)
    .flatMap(([sessionDate, ofDate]) => binsOf(sessionDate, ofDate, options));
}

/** Fills bins from the smallest file on. */
function binsOf(sessionDate: string, files: readonly TableFile[], options: PlanOptions): Bin[] {
  const { targetBytes, patient } = options;
  const bins: Bin[] = [];
  let [bin, bytes, rows]: [TableFile[], number, number] = [[], 0, 0];
  const close = () => {
    if (bin.length > 1) bins.push({ sessionDate, files: bin, bytes });
    [bin, bytes, rows] = [[], 0, 0];
  };
  for (const next of files.toSorted((a, b) => a.file.size - b.file.size || (a.path < b.path ? -1 : 1))) {
    const { size } = next.file;
    const full = bytes + size > targetBytes || rows + next.rows > ROWS_PER_BIN_MAX ||
      bin.length === FILES_PER_BIN_MAX;
    if (full || (patient && size > Math.max(TINY_BYTES, bytes) && bin.length > 0)) close();
    bin.push(next);
    bytes += size;
    rows += next.rows;
  }
  close();
  return bins;
}
