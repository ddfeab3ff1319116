/** `sessionary table history`: what each version of the table did. */
import type { Config } from "../../schema/config.ts";
import type { TableVersion } from "../../schema/exploration.ts";
import { QUERY_ROWS_MAX } from "../../schema/settings.ts";
import type { CommandContext } from "../context.ts";
import { formatTable } from "../terminal.ts";
import { openTable } from "./open_table.ts";

const VERSIONS_DEFAULT = 20;

/** Prints the newest versions, as a table or as a JSON array. */
export async function showHistory(
  config: Config,
  { json, limit }: { readonly json: boolean; readonly limit: number | null },
  context: CommandContext,
): Promise<void> {
  const lake = await openTable(config, context);
  const versions = await lake.history(limit ?? (json ? QUERY_ROWS_MAX : VERSIONS_DEFAULT));
  if (json) return context.print(JSON.stringify(versions, null, 1));
  context.print(formatTable({
    columns: ["version", "time", "operation", "epoch", "rows", "files", "bytes", "gone", "by"],
    rows: versions.map(historyRow),
  }));
}

function historyRow(version: TableVersion): readonly unknown[] {
  const { timestampMs, operation, epoch, rowsAdded, filesAdded, bytesAdded, filesRemoved, engine } = version;
  const time = timestampMs === null ? null : new Date(timestampMs).toISOString();
  return [version.version, time, operation, epoch, rowsAdded, filesAdded, bytesAdded, filesRemoved, engine];
}
