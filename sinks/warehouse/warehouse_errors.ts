/** What a failure of ClickHouse means for the program: a sentence, and whether to try again. */
import { messageOf, SinkError } from "../../schema/errors.ts";

/** A failed statement's code in ClickHouse's ErrorCodes.cpp, with why the same call may succeed later. */
const RETRYABLE_CODES: ReadonlyMap<string, string> = new Map([
  ["159", "TIMEOUT_EXCEEDED: the server was slow"],
  ["198", "DNS_ERROR: a name server was away"],
  ["202", "TOO_MANY_SIMULTANEOUS_QUERIES: the server is busy"],
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
  ["319", "UNKNOWN_STATUS_OF_INSERT: it may have landed; its token makes a repeat harmless"],
  ["394", "QUERY_WAS_CANCELLED: an operator or a limit stopped it"],
  ["999", "KEEPER_EXCEPTION: the keeper was away"],
]);

/** Node's codes for a server that is away, restarting or behind a broken line. */
const RETRYABLE_SYSTEM_CODES: ReadonlySet<string> = new Set([
  "EAI_AGAIN",
  "ECONNABORTED",
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EPIPE",
  "ETIMEDOUT",
]);

/** The client's own words where no code comes with the failure. */
const RETRYABLE_MESSAGES = /^Timeout error|socket hang up|^\s*HTTP 50[234]|Bad Gateway|Service Unavailable/i;

/** The code of a failure: ClickHouse's number, or the system's name; "" where it has none. */
export function failureCode(error: unknown): string {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const code = (cause as { code?: unknown }).code;
    if (typeof code === "string" && code !== "") return code;
  }
  return "";
}

/** Whether the same call may succeed later without anyone doing anything. */
export function isRetryable(error: unknown): boolean {
  if (error instanceof SinkError) return error.retryable;
  const code = failureCode(error);
  return RETRYABLE_CODES.has(code) || RETRYABLE_SYSTEM_CODES.has(code) ||
    RETRYABLE_MESSAGES.test(messageOf(error));
}

/**
 * The failure of `action` ("insert version 7") as a sentence.
 *
 * @param location where the warehouse is, for the sentence; never with a password
 */
export function warehouseError(action: string, location: string, error: unknown): SinkError {
  if (error instanceof SinkError) return error;
  const retryable = isRetryable(error);
  const next = retryable ? "It is tried again." : "It is not tried again: the cause must be mended.";
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
