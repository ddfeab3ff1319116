/** The first contact with a ClickHouse: is it there, does it let us in, has it our database. */
import { SinkError } from "../../schema/errors.ts";
import type { ClickHouseAccess } from "./clickhouse_access.ts";
import { failureCode, isLoginRefused, prospectOf, reason } from "./warehouse_errors.ts";

const UNKNOWN_DATABASE = "81";
const ACCESS_DENIED = "497";

/**
 * Creates the database where it is missing.
 *
 * @throws {SinkError} one sentence that names the setting to look at
 */
export async function openDatabase(access: ClickHouseAccess): Promise<void> {
  try {
    if (!await isMissing(access)) return;
    await access.createDatabase();
  } catch (error) {
    throw firstContactError(access, error);
  }
}

async function isMissing({ client }: ClickHouseAccess): Promise<boolean> {
  try {
    await client.command({ query: "SELECT 1" });
    return false;
  } catch (error) {
    if (failureCode(error) === UNKNOWN_DATABASE) return true;
    throw error;
  }
}

/**
 * Asks ClickHouse whether it is there.
 *
 * @throws {SinkError} where it does not answer
 */
export async function pingClickHouse(access: ClickHouseAccess): Promise<void> {
  try {
    await access.client.command({ query: "SELECT 1" });
  } catch (error) {
    throw firstContactError(access, error);
  }
}

/** The failure of the first request as a sentence for the person who set the settings. */
export function firstContactError(
  { location, database }: Pick<ClickHouseAccess, "location" | "database">,
  error: unknown,
): SinkError {
  const said = reason(error);
  const code = failureCode(error);
  const options = { cause: error };
  if (isLoginRefused(error) || /\b401\b|\b403\b/.test(said)) {
    return new SinkError(
      `ClickHouse at ${location} refused the login: check CLICKHOUSE_USER and CLICKHOUSE_PASSWORD.`,
      false,
      options,
    );
  }
  if (code === ACCESS_DENIED) {
    return new SinkError(
      `ClickHouse at ${location} doesn't let CLICKHOUSE_USER use or create the database '${database}' ` +
        `(CLICKHOUSE_DATABASE): ${said}.`,
      false,
      options,
    );
  }
  if (/certificate|CERT_/i.test(`${code} ${said}`)) {
    return new SinkError(
      `ClickHouse at ${location} has a certificate that isn't trusted: ${said}; name its authority in ` +
        `CLICKHOUSE_TLS_CA, or check CLICKHOUSE_URL.`,
      false,
      options,
    );
  }
  return new SinkError(
    `ClickHouse can't be reached at ${location}: ${said}; check CLICKHOUSE_URL and that the server runs.`,
    prospectOf(error).retryable,
    options,
  );
}
