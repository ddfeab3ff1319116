/** `sessionary table show`: the table at a version. */
import type { Config } from "../../schema/config.ts";
import { shape } from "../../sinks/lake/delta_schema.ts";
import type { TableDescription } from "../../sinks/lake/table_history.ts";
import type { CommandContext } from "../context.ts";
import { formatTable } from "../terminal.ts";
import { openTable } from "./open_table.ts";
import { pickVersion, type VersionChoice } from "./pick_version.ts";

/** Prints what the table is at a version, by default the newest: as two tables, or as a JSON object. */
export async function showTable(
  config: Config,
  { json, ...choice }: VersionChoice & { readonly json: boolean },
  context: CommandContext,
): Promise<void> {
  const { past } = await openTable(config, context);
  const description = await past.describe(await pickVersion(past, choice) ?? undefined);
  if (json) return context.print(JSON.stringify(description, null, 1));
  context.print([factsTable(description), columnsTable(description)].join("\n\n"));
}

function factsTable({ summary, commit, properties }: TableDescription): string {
  const time = commit?.timestampMs ?? null;
  const facts: readonly (readonly [string, unknown])[] = [
    ["location", summary.location],
    ["table id", summary.tableId],
    ["version", String(summary.version)],
    ["made", time === null ? null : new Date(time).toISOString()],
    ["by", commit?.engine],
    ["operation", commit?.operation],
    ["rows", summary.rows === null ? "unknown: a file has no statistics" : String(summary.rows)],
    ["files", String(summary.files)],
    ["bytes", String(summary.bytes)],
    ["dates", summary.firstDate === null ? null : `${summary.firstDate} to ${summary.lastDate}`],
    ["protocol", `reader ${summary.minReaderVersion}, writer ${summary.minWriterVersion}`],
    ...Object.entries(properties),
  ];
  return formatTable({ columns: ["table", ""], rows: facts });
}

function columnsTable({ columns }: TableDescription): string {
  return formatTable({
    columns: ["column", "type", "null"],
    rows: columns.map(({ name, type, nullable }) => [name, shape(type), nullable ? "yes" : "no"]),
  });
}
