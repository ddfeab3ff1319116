/** The named queries: those of the warehouse, and the dead letters of the lake. */
import { Buffer } from "node:buffer";
import type { ClickHouseClient } from "@clickhouse/client";
import { getLogger } from "@logtape/logtape";
import { systemClock } from "../actors/clock.ts";
import { startEmbeddedWarehouse } from "../actors/supervisor.ts";
import { cellAt, type ColumnBatch } from "../schema/column_batch.ts";
import type { Config } from "../schema/config.ts";
import { dataPaths } from "../schema/data_paths.ts";
import { DEAD_LETTER_COLUMNS } from "../schema/epoch.ts";
import { openLake } from "../sinks/lake/open.ts";
import { createWarehouse } from "../sinks/warehouse/clickhouse_warehouse.ts";
import { openAccess } from "../sinks/warehouse/open.ts";
import { NAMED_QUERIES, runNamedQuery } from "../sinks/warehouse/queries.ts";
import type { QueryResult, QueryService } from "../web/query_service.ts";

/** The query that the lake answers. */
export const DEAD_LETTERS_QUERY = "dead-letters";

const DEAD_LETTERS = {
  name: DEAD_LETTERS_QUERY,
  description: "Events that could not be used, with the reason; newest first",
};

/** The queries over a warehouse that is open, and over the lake beside it. */
export function createQueryService(config: Config, client: ClickHouseClient): QueryService {
  const notice = (text: string) => getLogger(["sessionary", "lake"]).warn("{text}", { text });
  let opened: ReturnType<typeof openLake> | null = null;
  return {
    queries: [...NAMED_QUERIES.values(), DEAD_LETTERS].map(({ name, description }) => ({
      name,
      description,
    })),
    async run(name, { limit }) {
      if (name !== DEAD_LETTERS.name) return await runNamedQuery(client, name, { limit });
      const { lake } = await (opened ??= openLake(config, { now: systemClock.now, notice }));
      return deadLetterRows(await lake.readDeadLetters(limit));
    },
  };
}

/** The queries over data that no other process holds: starts the embedded ClickHouse, and stops it in the end. */
export async function openQueryService(config: Config): Promise<QueryService & AsyncDisposable> {
  const embedded = config.clickhouseUrl === null
    ? await startEmbeddedWarehouse(dataPaths(config.dataDir).warehouse)
    : null;
  const access = openAccess(config, embedded?.connect() ?? null);
  const warehouse = createWarehouse({ access });
  const close = async () => {
    await warehouse.close();
    await embedded?.close();
  };
  try {
    // Where nothing has run yet, the tables are made, and are empty.
    await warehouse.open();
  } catch (error) {
    await close();
    throw error;
  }
  return { ...createQueryService(config, access.client), [Symbol.asyncDispose]: close };
}

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Bytes as text where they are UTF-8, and always in base64. */
function bytesCells(bytes: Uint8Array | null): [text: string | null, base64: string | null] {
  if (bytes === null) return [null, null];
  const base64 = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
  try {
    return [strictUtf8.decode(bytes), base64];
  } catch {
    return [null, base64];
  }
}

/** Dead letters as cells of JSON: times in ISO 8601, keys and values as text and in base64. */
export function deadLetterRows(letters: ColumnBatch): QueryResult {
  const columns = DEAD_LETTER_COLUMNS.flatMap(({ name, kind }) =>
    kind === "binary" ? [`${name}_text`, `${name}_base64`] : [name]
  );
  const rows = Array.from(
    { length: letters.rows },
    (_, row) =>
      DEAD_LETTER_COLUMNS.flatMap(({ kind }, index) => {
        const cell = cellAt(letters.columns[index]!, row);
        if (kind === "binary") return bytesCells(cell as Uint8Array | null);
        return [kind === "timestamp" && cell !== null ? new Date(Number(cell)).toISOString() : cell];
      }),
  );
  return { columns, rows };
}
