/** What a failure of ClickHouse means for the program: a sentence, and whether to try again. */
import { messageOf, SinkError } from "../../schema/errors.ts";

/** A failed statement's code in ClickHouse's ErrorCodes.cpp, with why the same statement may succeed later. */
const PASSING_CODES: ReadonlyMap<string, string> = new Map([
  ["3", "UNEXPECTED_END_OF_FILE: the request was cut off on its way"],
  ["33", "CANNOT_READ_ALL_DATA: the request was cut off on its way"],
  ["159", "TIMEOUT_EXCEEDED: the server was slow"],
  ["160", "TOO_SLOW: the server was slow"],
  ["173", "CANNOT_ALLOCATE_MEMORY: other queries hold the memory"],
  ["198", "DNS_ERROR: a name server was away"],
  ["201", "QUOTA_EXCEEDED: the quota's interval ends"],
  ["202", "TOO_MANY_SIMULTANEOUS_QUERIES: the server is busy"],
  ["203", "NO_FREE_CONNECTION: the server is busy"],
  ["209", "SOCKET_TIMEOUT: the network was slow"],
  ["210", "NETWORK_ERROR: the network was away"],
  ["225", "NO_ZOOKEEPER: the replica has lost its keeper"],
  ["236", "ABORTED: the server is shutting down"],
  ["241", "MEMORY_LIMIT_EXCEEDED: other queries hold the memory"],
  ["242", "TABLE_IS_READ_ONLY: the replica has lost its keeper"],
  ["243", "NOT_ENOUGH_SPACE: merges or an operator free disk space"],
  ["252", "TOO_MANY_PARTS: merges must catch up first"],
  ["279", "ALL_CONNECTION_TRIES_FAILED: a shard was away"],
  ["285", "TOO_FEW_LIVE_REPLICAS: a replica was away"],
  ["319", "UNKNOWN_STATUS_OF_INSERT: it may have landed, and its token makes a repeat harmless"],
  ["394", "QUERY_WAS_CANCELLED: an operator or a limit stopped it"],
  ["425", "SYSTEM_ERROR: the server's machine was in trouble"],
  ["439", "CANNOT_SCHEDULE_TASK: the server is busy"],
  ["499", "S3_ERROR: the server's object store was away"],
  ["999", "KEEPER_EXCEPTION: the keeper was away"],
]);

const LOGIN = "check CLICKHOUSE_USER and CLICKHOUSE_PASSWORD";
const GRANTS = "give CLICKHOUSE_USER the right";
const PROFILE = "relax the settings profile of CLICKHOUSE_USER";
const SCHEMA =
  "the database is not as this program made it: restore it, or choose another CLICKHOUSE_DATABASE";
const STATEMENT = "this server does not take this program's statement: use a newer ClickHouse, or report it";
const ROWS = "a row does not fit its column: report it";

/** The codes of failures that stay until someone does something, with what. */
const LASTING_CODES: ReadonlyMap<string, string> = new Map([
  ["6", ROWS], // CANNOT_PARSE_TEXT
  ["16", SCHEMA], // NO_SUCH_COLUMN_IN_TABLE
  ["20", SCHEMA], // NUMBER_OF_COLUMNS_DOESNT_MATCH
  ["27", ROWS], // CANNOT_PARSE_INPUT_ASSERTION_FAILED
  ["36", STATEMENT], // BAD_ARGUMENTS
  ["43", STATEMENT], // ILLEGAL_TYPE_OF_ARGUMENT
  ["46", STATEMENT], // UNKNOWN_FUNCTION
  ["47", SCHEMA], // UNKNOWN_IDENTIFIER
  ["48", STATEMENT], // NOT_IMPLEMENTED
  ["50", STATEMENT], // UNKNOWN_TYPE
  ["53", SCHEMA], // TYPE_MISMATCH
  ["60", SCHEMA], // UNKNOWN_TABLE
  ["62", STATEMENT], // SYNTAX_ERROR
  ["70", ROWS], // CANNOT_CONVERT_TYPE
  ["73", STATEMENT], // UNKNOWN_FORMAT
  ["81", SCHEMA], // UNKNOWN_DATABASE
  ["115", STATEMENT], // UNKNOWN_SETTING
  ["117", ROWS], // INCORRECT_DATA
  ["164", PROFILE], // READONLY
  ["192", LOGIN], // UNKNOWN_USER
  ["193", LOGIN], // WRONG_PASSWORD
  ["194", LOGIN], // REQUIRED_PASSWORD
  ["195", "let this machine's address in"], // IP_ADDRESS_NOT_ALLOWED
  ["291", GRANTS], // DATABASE_ACCESS_DENIED
  ["321", ROWS], // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
  ["349", ROWS], // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
  ["407", ROWS], // DECIMAL_OVERFLOW
  ["452", PROFILE], // SETTING_CONSTRAINT_VIOLATION
  ["469", SCHEMA], // VIOLATED_CONSTRAINT
  ["471", STATEMENT], // INVALID_SETTING_VALUE
  ["472", PROFILE], // READONLY_SETTING
  ["497", GRANTS], // ACCESS_DENIED
  ["516", LOGIN], // AUTHENTICATION_FAILED
]);

/** Node's codes for a server that is away, restarting or behind a broken line, and for a full disk. */
const PASSING_SYSTEM_CODES: ReadonlySet<string> = new Set([
  "EAI_AGAIN",
  "ECONNABORTED",
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOSPC",
  "ENOTFOUND",
  "EPIPE",
  "ERR_STREAM_PREMATURE_CLOSE",
  "ETIMEDOUT",
]);

/** What to expect of a failure. */
interface Prospect {
  readonly retryable: boolean;
  /** Why it may pass, or what must be mended; "" where nobody knows more. */
  readonly because: string;
}

const REFUSED_CODES: ReadonlySet<string> = new Set(
  [...LASTING_CODES].filter(([, advice]) => advice === LOGIN).map(([code]) => code),
);

/** Whether a server did not let the user in. */
export function isLoginRefused(error: unknown): boolean {
  return REFUSED_CODES.has(failureCode(error));
}

/**
 * The one policy of what is tried again. A code of ClickHouse that neither list has is: it costs freshness only, while
 * a stop costs ingest too, and servers get new codes with every version. An answer without a code was not written by
 * ClickHouse but by something on the way to it, which may be restarting, whatever its HTTP status. An error of another
 * class is this program's own, and is not.
 */
export function prospectOf(error: unknown): Prospect {
  if (error instanceof SinkError) return { retryable: error.retryable, because: "" };
  const code = failureCode(error);
  const advice = LASTING_CODES.get(code);
  if (advice !== undefined) return { retryable: false, because: advice };
  if (/^\d+$/.test(code)) return { retryable: true, because: PASSING_CODES.get(code) ?? "" };
  if (code !== "") return { retryable: PASSING_SYSTEM_CODES.has(code), because: "" };
  return { retryable: error instanceof Error && error.constructor === Error, because: "" };
}

/** The code of a failure: ClickHouse's number, or the system's name; "" where it has none. */
export function failureCode(error: unknown): string {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const code = (cause as { code?: unknown }).code;
    if (typeof code === "string" && code !== "") return code;
  }
  return "";
}

/**
 * The failure of `action` ("insert version 7") as a sentence.
 *
 * @param location where the warehouse is, for the sentence; never with a password
 */
export function warehouseError(action: string, location: string, error: unknown): SinkError {
  if (error instanceof SinkError) return error;
  const { retryable, because } = prospectOf(error);
  const next = retryable
    ? `It is tried again${because && ` (${because})`}.`
    : `It is not tried again: ${because || "the cause must be mended"}.`;
  return new SinkError(
    `ClickHouse at ${location} could not ${action}: ${reason(error)}. ${next}`,
    retryable,
    {
      cause: error,
    },
  );
}

/** One line of what ClickHouse, or the network, said. */
export function reason(error: unknown): string {
  const code = failureCode(error);
  const text = messageOf(error).replaceAll(/\s+/g, " ").trim().replace(/[.:]+$/, "");
  const cut = text.length > 300 ? `${text.slice(0, 297)}...` : text;
  return code === "" || cut.includes(code) ? cut || "no reason given" : `${cut} (code ${code})`;
}
