/** The ClickHouse that the configuration names: a server by its URL, or the embedded one by its worker's port. */
import type { Config } from "../../schema/config.ts";
import { dataPaths } from "../../schema/data_paths.ts";
import { invariant } from "../../schema/errors.ts";
import { readAuthorities } from "../http_pool.ts";
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
    const [requestTimeoutMs, tlsCa] = [
      config.clickhouseTimeoutMs,
      readAuthorities("CLICKHOUSE_TLS_CA", config.clickhouseTlsCa),
    ];
    const { clickhouseCluster: cluster } = config;
    return httpAccess({ url, user, password, database, cluster, requestTimeoutMs, tlsCa });
  }
  invariant(port !== null, "the embedded ClickHouse is reached through a port");
  return chdbAccess({ port, folder: dataPaths(config.dataDir).warehouse, database });
}
