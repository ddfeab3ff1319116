/** What can be asked of the sinks' data by the page and its API, and what comes back. NOUNS, no IO. */

/** A result, row by row, with a cell of JSON per column. */
export interface Rows {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly unknown[])[];
}

/** Sessions that started in [since, until), epoch milliseconds; null: no bound. */
export interface TimeRange {
  readonly sinceMs: number | null;
  readonly untilMs: number | null;
}

/** Rows of one page at most, of whatever list. */
export const PAGE_ROWS_MAX = 200;

/** One of the analytics over a time range. Whole buckets (hours or days, UTC) count. */
export interface AnalyticsResult {
  readonly name: string;
  readonly description: string;
  /** The width of a bucket in `series`. */
  readonly bucket: "hour" | "day";
  /** The columns that `totals` are grouped by. */
  readonly dimensions: readonly string[];
  /** The column that `totals` are ordered by, and that counts as the weight of a row. */
  readonly weight: string;
  /** By the dimensions, the heaviest first. */
  readonly totals: Rows;
  /** Whether `totals` stopped at the limit. */
  readonly truncated: boolean;
  /** By bucket, in the order of time; the newest ones where there are too many. */
  readonly series: Rows;
}

/** Which finished sessions. */
export type SessionFilter =
  | { readonly by: "all" }
  | { readonly by: "session_id"; readonly sessionId: string }
  | { readonly by: "user_id"; readonly userId: number };

/** A row's place in the order of finished sessions: the newest epoch first. */
export interface SessionPosition {
  readonly batchId: number;
  readonly sourcePartition: number;
  readonly firstOffset: number;
}

/** What one commit of the Delta table did. */
export interface TableVersion {
  readonly version: number;
  /** Epoch milliseconds; null where its writer did not say. */
  readonly timestampMs: number | null;
  readonly operation: string | null;
  /** Who wrote it. */
  readonly engine: string | null;
  /** The epoch it holds; null for commits of others. */
  readonly epoch: number | null;
  readonly closedBy: string | null;
  /** Rows of the files added, as their statistics have it; null where one has none. */
  readonly rowsAdded: number | null;
  readonly filesAdded: number;
  readonly bytesAdded: number;
  readonly filesRemoved: number;
  /** Null where a removed file's size is not known. */
  readonly bytesRemoved: number | null;
  readonly deadLetters: number;
  /** The writer's own words about it: `operationParameters` and `operationMetrics`. */
  readonly details: Readonly<Record<string, string>>;
}

/** The Delta table at its newest version. */
export interface TableSummary {
  readonly location: string;
  readonly tableId: string;
  readonly version: number;
  /** Epoch milliseconds; null where the table does not say. */
  readonly createdMs: number | null;
  readonly files: number;
  readonly bytes: number;
  /** As the files' statistics have it; null where one has none. */
  readonly rows: number | null;
  /** The first and last `session_date` that has files; null where there are none. */
  readonly firstDate: string | null;
  readonly lastDate: string | null;
  readonly minReaderVersion: number;
  readonly minWriterVersion: number;
}
