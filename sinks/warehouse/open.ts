/** The ClickHouse that the configuration names: a server by its URL, or the embedded one by its worker's port. */
import { type Config, dataPaths } from "../../schema/config.ts";
import { invariant, messageOf, SinkError } from "../../schema/errors.ts";
import { chdbAccess, type ClickHouseAccess, httpAccess } from "./clickhouse_access.ts";

/**
 * Opens the access. Nothing is asked of ClickHouse yet.
 *
 * @throws {SinkError} where the file that `CLICKHOUSE_TLS_CA` names can't be read
 * @param port of the embedded ClickHouse's worker; null where `CLICKHOUSE_URL` is set
 */
export function openAccess(config: Config, port: MessagePort | null): ClickHouseAccess {
  const { clickhouseUrl: url, clickhouseUser: user, clickhouseDatabase: database } = config;
  if (url !== null) {
    const password = config.clickhousePassword ?? "";
    const [requestTimeoutMs, tlsCa] = [config.clickhouseTimeoutMs, readAuthorities(config.clickhouseTlsCa)];
    const { clickhouseCluster: cluster } = config;
    return httpAccess({ url, user, password, database, cluster, requestTimeoutMs, tlsCa });
  }
  invariant(port !== null, "the embedded ClickHouse is reached through a port");
  return chdbAccess({ port, folder: dataPaths(config.dataDir).warehouse, database });
}

function readAuthorities(path: string | null): string | null {
  if (path === null) return null;
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    throw new SinkError(
      `CLICKHOUSE_TLS_CA must be a PEM file that can be read: '${path}' can't (${
        messageOf(error)
      }). Name another, ` +
        `or unset it to trust the well-known authorities.`,
      false,
      { cause: error },
    );
  }
}
