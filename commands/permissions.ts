/** What Deno lets this process do, checked where a refusal would otherwise be a riddle. */
import type { Config } from "../schema/config.ts";
import { EXIT, UserError } from "../schema/errors.ts";

/**
 * Checks that the process may reach the servers that the settings name.
 *
 * @throws {UserError} where its permissions leave one of the hosts out
 */
export function requireReachableServers({ clickhouseUrl, s3Endpoint }: Config): void {
  requireReachable("CLICKHOUSE_URL", clickhouseUrl);
  requireReachable("S3_ENDPOINT", s3Endpoint);
}

function requireReachable(variable: string, url: string | null): void {
  if (url === null) return;
  const { hostname, host, port, protocol } = new URL(url);
  const address = port === "" ? `${hostname}:${protocol === "https:" ? 443 : 80}` : host;
  if (Deno.permissions.querySync({ name: "net", host: address }).state === "granted") return;
  throw new UserError(
    `${variable} names ${address}, and this task may reach this machine only: ` +
      `start it as \`deno task sessionary dev\` (or run, or query), which may reach any host.`,
    EXIT.usage,
  );
}
