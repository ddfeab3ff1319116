/** What the Delta log says of the table's past and present, for people. */
import type { TableSummary, TableVersion } from "../../schema/exploration.ts";
import { type CommitInfo, commitInfoOf, type DeltaAction } from "./delta_actions.ts";
import type { Commit } from "./delta_log.ts";
import { type DeltaSchema, type DeltaType, PARTITION_COLUMN } from "./delta_schema.ts";
import type { Snapshot } from "./delta_snapshot.ts";
import { recordsIn } from "./delta_stats.ts";

/** Characters of one detail at most: other writers put whole file lists there. */
const DETAIL_CHARACTERS_MAX = 200;
/** Details of one commit at most. */
const DETAILS_MAX = 20;

/** One column of the table, as its schema has it. */
export interface TableColumn {
  readonly name: string;
  /** As the Delta schema has it: a name, or an object for nested types. */
  readonly type: DeltaType;
  readonly nullable: boolean;
}

/** The table at a version. */
export interface TableDescription {
  readonly summary: TableSummary;
  /** What made the version; null where the log does not have its commit any more. */
  readonly commit: TableVersion | null;
  readonly columns: readonly TableColumn[];
  readonly partitionColumns: readonly string[];
  readonly properties: Readonly<Record<string, string>>;
}

/** The table as a snapshot has it, with its schema, and the commit that made the version. */
export function describeTable(
  snapshot: Snapshot,
  commit: Commit | null,
  location: string,
): TableDescription {
  const { schemaString, partitionColumns, configuration } = snapshot.metaData;
  const { fields } = JSON.parse(schemaString) as DeltaSchema;
  return {
    summary: describeSnapshot(snapshot, location),
    commit: commit === null ? null : describeCommit(commit),
    columns: fields.map(({ name, type, nullable }) => ({ name, type, nullable })),
    partitionColumns,
    properties: configuration,
  };
}

/** What a commit did to the table. */
export function describeCommit({ version, actions }: Commit): TableVersion {
  const info = commitInfoOf(actions);
  const adds = actions.flatMap((action) => "add" in action ? [action.add] : []);
  const removes = actions.flatMap((action) => "remove" in action ? [action.remove] : []);
  return {
    version,
    timestampMs: info.timestamp ?? null,
    operation: info.operation ?? operationOf(actions),
    engine: info.engineInfo ?? null,
    epoch: info.sessionary?.epoch ?? null,
    closedBy: info.sessionary?.closedBy ?? null,
    rowsAdded: sum(adds.filter(({ dataChange }) => dataChange).map(({ stats }) => recordsIn(stats))),
    filesAdded: adds.length,
    bytesAdded: adds.reduce((total, { size }) => total + size, 0),
    filesRemoved: removes.length,
    bytesRemoved: sum(removes.map(({ size }) => size ?? null)),
    deadLetters: Object.values(info.sessionary?.deadLetters ?? {}).reduce((total, count) => total + count, 0),
    details: detailsOf(info),
  };
}

/** The table as a snapshot has it. */
export function describeSnapshot(snapshot: Snapshot, location: string): TableSummary {
  const files = [...snapshot.files.values()];
  const dates = files.flatMap(({ partitionValues }) => partitionValues[PARTITION_COLUMN] ?? []).sort();
  return {
    location,
    tableId: snapshot.metaData.id,
    version: snapshot.version,
    createdMs: snapshot.metaData.createdTime ?? null,
    files: files.length,
    bytes: files.reduce((total, { size }) => total + size, 0),
    rows: sum(files.map(({ stats }) => recordsIn(stats))),
    firstDate: dates[0] ?? null,
    lastDate: dates.at(-1) ?? null,
    minReaderVersion: snapshot.protocol.minReaderVersion,
    minWriterVersion: snapshot.protocol.minWriterVersion,
  };
}

/** Null where a part is not known. */
function sum(parts: readonly (number | null)[]): number | null {
  return parts.reduce(
    (total, part) => total === null || part === null ? null : total + part,
    0 as number | null,
  );
}

function operationOf(actions: readonly DeltaAction[]): string | null {
  return actions.some((action) => "metaData" in action) ? "METADATA" : null;
}

function detailsOf({ operationParameters = {}, operationMetrics = {} }: CommitInfo): Record<string, string> {
  const entries = [...Object.entries(operationParameters), ...Object.entries(operationMetrics)];
  return Object.fromEntries(
    entries.slice(0, DETAILS_MAX).map(([name, value]) => {
      const text = typeof value === "string" ? value : JSON.stringify(value) ?? "";
      return [name.slice(0, DETAIL_CHARACTERS_MAX), text.slice(0, DETAIL_CHARACTERS_MAX).toWellFormed()];
    }),
  );
}
