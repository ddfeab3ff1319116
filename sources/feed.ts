/** The seam between `produce` and what it sends: the simulator, an NDJSON file, an access log. */
import type { ProducedRecord, RecordPosition } from "./source.ts";

/** Where the records of a production come from. Pulled one batch at a time. */
export interface RecordFeed {
  /**
   * The next records.
   *
   * @param maxRecords at most so many
   * @param maxBytes bound on the sum of their key and value bytes; one record larger than it still comes, alone
   * @returns none at the feed's end
   */
  next(maxRecords: number, maxBytes: number): Promise<readonly ProducedRecord[]>;
  /** Where the records of the last `next` landed, in their order: they are durable. */
  acknowledge(positions: readonly RecordPosition[]): Promise<void>;
  /** Ends the feed, also before its end; what it writes beside the records is complete afterwards. */
  finish(): Promise<void>;
  /** Gives up after a failure: closes what is open. */
  abandon(): Promise<void>;
}

/** The key and value bytes of a record to be produced. */
export function recordSize({ key, value }: ProducedRecord): number {
  return (key?.length ?? 0) + (value?.length ?? 0);
}
