/** What Deno lets this process do, checked where a refusal would otherwise be a riddle. */
import type { Config } from "../schema/config.ts";
import { EXIT, UserError } from "../schema/errors.ts";

/**
 * Checks that the process may reach the ClickHouse server that the settings name.
 *
 * @throws {UserError} where its permissions leave that host out
 */
export function requireReachableClickHouse({ clickhouseUrl }: Config): void {
  if (clickhouseUrl === null) return;
  const { hostname, host, port, protocol } = new URL(clickhouseUrl);
  const address = port === "" ? `${hostname}:${protocol === "https:" ? 443 : 80}` : host;
  if (Deno.permissions.querySync({ name: "net", host: address }).state === "granted") return;
  throw new UserError(
    `CLICKHOUSE_URL names ${address}, and this task may reach this machine only: ` +
      `start it as \`deno task sessionary dev\` (or run, or query), which may reach any host.`,
    EXIT.usage,
  );
}
