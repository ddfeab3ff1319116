/** What the page's API needs of the sinks, as a seam: `commands/open_explorer.ts` fills it. */
import type {
  AnalyticsResult,
  Rows,
  SessionFilter,
  SessionPosition,
  TableSummary,
  TableVersion,
  TimeRange,
} from "../schema/exploration.ts";

/** Read-only. A sink that can't be asked rejects with a sentence. */
export interface Explorer {
  readonly analyticsNames: readonly string[];
  /** Null where there is none of that name; `stamp` changes when the answer may. */
  analytics(
    name: string,
    range: TimeRange,
    limit: number,
    stamp: string,
  ): Promise<AnalyticsResult | null>;
  /** The newest first; of those before `before`, where it is given. */
  finishedSessions(filter: SessionFilter, limit: number, before: SessionPosition | null): Promise<Rows>;
  /** The Delta table at its newest version. */
  summary(): Promise<TableSummary>;
  /** Versions below `before`, the newest first. */
  history(limit: number, before: number | null): Promise<readonly TableVersion[]>;
  /** The newest first, after the first `skip` ones. */
  deadLetters(limit: number, skip: number): Promise<Rows>;
}
