/** What the tests of revisions look at in a table, its log and its changes. */
import { assertEquals } from "@std/assert";
import { cellAt, type ColumnBatch } from "../../../schema/column_batch.ts";
import { SESSION_COLUMNS, sessionColumnIndex } from "../../../schema/session.ts";
import { fromArrow } from "../../../sinks/lake/arrow.ts";
import { type DeltaAction, serializeActions } from "../../../sinks/lake/delta_actions.ts";
import type { DeltaLake } from "../../../sinks/lake/lake.ts";
import { decodeParquet } from "../../../sinks/lake/parquet.ts";
import type { ObjectStore, VersionPayload } from "../../../sinks/sink.ts";

/** `partition:first_offset revision brand date` of each row. */
export function shown(rows: ColumnBatch): string[] {
  const names = ["source_partition", "first_offset", "revision", "brand", "session_start"];
  const columns = names.map((name) => rows.columns[sessionColumnIndex(name)]!);
  return Array.from({ length: rows.rows }, (_, row) => {
    const [partition, offset, revision, brand, start] = columns.map((column) => cellAt(column, row));
    return `${partition}:${offset} r${revision} ${brand} ${
      new Date(start as number).toISOString().slice(0, 10)
    }`;
  });
}

/** The rows of a payload, each with its sign. */
export function signedRows({ parquet, signed }: VersionPayload): string[] {
  const sign = { name: "sign", kind: "int32", nullable: false } as const;
  const columns = signed ? [...SESSION_COLUMNS, sign] : SESSION_COLUMNS;
  const rows = fromArrow(columns, decodeParquet(parquet, "payload"), "payload");
  return shown(rows).map((text, row) =>
    `${signed && cellAt(rows.columns[SESSION_COLUMNS.length]!, row) === -1 ? "-" : "+"} ${text}`
  );
}

export async function actionsOf(
  store: ObjectStore,
  version: number,
): Promise<Record<string, Record<string, unknown>>[]> {
  const bytes = await store.get(`sessions/_delta_log/${String(version).padStart(20, "0")}.json`);
  return new TextDecoder().decode(bytes!).trim().split("\n").map((line) => JSON.parse(line));
}

export async function payloadOf(lake: DeltaLake, version: number): Promise<VersionPayload | null> {
  const [change] = await lake.changes([version]);
  return await lake.encodeVersion(change!.files);
}

/** Another program's commit. */
export async function commitAs(
  store: ObjectStore,
  version: number,
  actions: readonly DeltaAction[],
): Promise<void> {
  const key = `sessions/_delta_log/${String(version).padStart(20, "0")}.json`;
  assertEquals(await store.putIfAbsent(key, serializeActions(actions)), "created");
}
