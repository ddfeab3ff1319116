/** Which version of the table a person means. */
import { EXIT, UserError } from "../../schema/errors.ts";
import { parseRfc3339 } from "../../schema/rfc3339.ts";
import type { TablePast } from "../../sinks/lake/table_past.ts";

/** A version by its number or by a time, of which one may be given. */
export interface VersionChoice {
  readonly version: number | null;
  /** A date, which is its midnight in UTC, or a time as in RFC 3339. */
  readonly timestamp: string | null;
}

/**
 * The version; null where neither is given.
 *
 * @throws {UserError} where both are, the time does not exist, or the table had no version then
 */
export async function pickVersion(
  past: Pick<TablePast, "versionAt">,
  { version, timestamp }: VersionChoice,
): Promise<number | null> {
  if (version !== null && timestamp !== null) {
    throw new UserError("--version and --timestamp do not go together: leave one of them out.", EXIT.usage);
  }
  return timestamp === null ? version : await past.versionAt(timeOf(timestamp));
}

/** The version that `--as-of` names: by its number, else by a time. */
export async function pickAsOf(past: Pick<TablePast, "versionAt">, text: string): Promise<number> {
  return /^\d+$/.test(text) ? Number(text) : await past.versionAt(timeOf(text));
}

/** Epoch milliseconds. */
function timeOf(text: string): number {
  const time = parseRfc3339(text.length === 10 ? `${text}T00:00:00Z` : text);
  if (time !== null) return time;
  throw new UserError(
    `A time must be a date or a date and time that exist, such as 2024-05-01T12:00:00Z: found "${text}".`,
    EXIT.usage,
  );
}
