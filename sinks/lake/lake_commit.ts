/** What a commit of the pipeline says to the Delta log, and when it may say it (fencing). Pure. */
import type { EpochRecord } from "../../schema/epoch.ts";
import { SinkError } from "../../schema/errors.ts";
import { VERSIONS_PER_DELTA_CHECKPOINT } from "../../schema/limits.ts";
import type {
  ChangedFile,
  LakeCommit,
  PartitionAdvance,
  PartitionPosition,
  StagedFile,
  VersionChanges,
} from "../sink.ts";
import type { Rewrite } from "./copy_on_write.ts";
import {
  type AddFile,
  type CdcFile,
  commitInfoOf,
  decodeDataPath,
  type DeltaAction,
  encodeDataPath,
  type MetaData,
  removeOf,
  type Txn,
} from "./delta_actions.ts";
import type { Commit } from "./delta_log.ts";
import {
  appendFlaw,
  type DeltaSchema,
  OUR_SCHEMA,
  PARTITION_COLUMN,
  SESSION_SCHEMA_STRING,
} from "./delta_schema.ts";
import { type Snapshot, SUPPORTED_PROTOCOL } from "./delta_snapshot.ts";
import { recordsIn } from "./delta_stats.ts";

/** Whose commits these are: one pipeline on one topic. */
export interface Owner {
  readonly pipeline: string;
  readonly topic: string;
  /** As `commitInfo.engineInfo` has it. */
  readonly engineInfo: string;
}

/** The `txn` that holds a partition's next offset. */
function offsetAppId({ pipeline, topic }: Owner, partition: number): string {
  return `${pipeline}/${topic}/${partition}`;
}

/** The `txn` that holds the number of a partition's last barrier. */
function barrierAppId(owner: Owner, partition: number): string {
  return `${offsetAppId(owner, partition)}/barrier`;
}

/**
 * The `txn` that holds how many events of committed sessions the table's rows lack, because a restore or their age took them
 * away: they stay in the ledger. Other than a place in the log it may go down, when they come back.
 */
function retiredAppId(owner: Owner, partition: number): string {
  return `${offsetAppId(owner, partition)}/retired`;
}

/** Events by partition that are in the owner's ledger and in no row. */
export function retiredIn(snapshot: Snapshot, owner: Owner): Map<number, number> {
  const retired = new Map<number, number>();
  for (const { appId, version } of snapshot.txns.values()) {
    const partition = Number(appId.split("/").at(-2));
    if (Number.isInteger(partition) && appId === retiredAppId(owner, partition)) {
      retired.set(partition, version);
    }
  }
  return retired;
}

/** The `txn`s that say so after `gone` more of them went, by partition; less than none is none. */
export function retiringTxns(
  snapshot: Snapshot,
  owner: Owner,
  gone: ReadonlyMap<number, number>,
  timestampMs: number,
): Txn[] {
  const before = retiredIn(snapshot, owner);
  return [...gone].flatMap(([partition, events]): Txn[] => {
    const had = before.get(partition) ?? 0;
    const has = Math.max(0, had + events);
    if (has === had) return [];
    return [{ appId: retiredAppId(owner, partition), version: has, lastUpdated: timestampMs }];
  });
}

/** What an epoch's commit retires: what its barriers erased, less what its revisions bring back. */
export function retirementOf(
  erased: ReadonlyMap<number, number> = new Map(),
  rewrite: Rewrite | null,
): Map<number, number> {
  const gone = new Map(erased);
  for (const [partition, events] of rewrite?.recovered ?? []) {
    gone.set(partition, (gone.get(partition) ?? 0) - events);
  }
  return gone;
}

/** The places of the owner's partitions, ascending. */
export function positionsIn(snapshot: Snapshot, owner: Owner): PartitionPosition[] {
  const prefix = `${owner.pipeline}/${owner.topic}/`;
  const positions: PartitionPosition[] = [];
  for (const { appId, version } of snapshot.txns.values()) {
    if (!appId.startsWith(prefix) || !/^\d+$/.test(appId.slice(prefix.length))) continue;
    const partition = Number(appId.slice(prefix.length));
    const barrier = snapshot.txns.get(barrierAppId(owner, partition));
    positions.push({ partition, nextOffset: version, barrierNumber: barrier?.version ?? 0 });
  }
  return positions.sort((a, b) => a.partition - b.partition);
}

/**
 * The partitions whose place in the log is not the one that the commit starts from: someone else moved them on.
 * The first barrier of a partition may start at any offset.
 */
export function fencedPartitions(
  snapshot: Snapshot,
  owner: Owner,
  advances: readonly PartitionAdvance[],
): number[] {
  return advances.filter(({ partition, from, barrierNumber }) => {
    const offset = snapshot.txns.get(offsetAppId(owner, partition));
    const barrier = snapshot.txns.get(barrierAppId(owner, partition));
    const offsetHolds = offset === undefined ? barrierNumber === 1 : offset.version === from;
    return !offsetHolds || (barrier?.version ?? 0) !== barrierNumber - 1;
  }).map(({ partition }) => partition);
}

/**
 * Throws unless files of ours may be appended to a table with this `metaData`: asked again after every conflict,
 * because another writer may have changed it.
 */
export function assertAppendable(metaData: MetaData, location: string): void {
  const flaw = metaDataFlaw(metaData);
  if (flaw === null) return;
  const message = `Cannot append sessions to the Delta table '${location}': it ${flaw}. ` +
    "Run the version of the program that fits it, use another table, or bring this one back to the schema that " +
    "`sessionary schema delta` prints: a column can be added to that, with null allowed, and nothing else changed.";
  throw new SinkError(message, false);
}

function metaDataFlaw({ format, partitionColumns, configuration, schemaString }: MetaData): string | null {
  if (format.provider !== "parquet") return `has files of the format '${format.provider}', not parquet`;
  if (partitionColumns.length !== 1 || partitionColumns[0] !== PARTITION_COLUMN) {
    return `is partitioned by [${partitionColumns.join(", ")}], not by [${PARTITION_COLUMN}]`;
  }
  const constraint = Object.keys(configuration).find((key) => key.startsWith("delta.constraints."));
  if (constraint !== undefined) return `has the CHECK constraint '${constraint}', which is not supported`;
  return appendFlaw(OUR_SCHEMA, JSON.parse(schemaString) as DeltaSchema);
}

/** The actions of version 0: an empty session table. `now`: epoch milliseconds. */
export function createTableActions(tableId: string, now: number, engineInfo: string): DeltaAction[] {
  const metaData: MetaData = {
    id: tableId,
    format: { provider: "parquet", options: {} },
    schemaString: SESSION_SCHEMA_STRING,
    partitionColumns: [PARTITION_COLUMN],
    createdTime: now,
    configuration: {
      "delta.enableChangeDataFeed": "true",
      "delta.checkpointInterval": String(VERSIONS_PER_DELTA_CHECKPOINT),
    },
  };
  const operationParameters = { mode: "ErrorIfExists", partitionBy: JSON.stringify([PARTITION_COLUMN]) };
  const operation = "CREATE TABLE";
  return [
    { commitInfo: { timestamp: now, operation, operationParameters, engineInfo, isBlindAppend: true } },
    { protocol: SUPPORTED_PROTOCOL },
    { metaData },
  ];
}

/**
 * The actions of an epoch's commit.
 *
 * @param rewrite what its revisions do to the table's files; null where it has none
 * @param retired of {@linkcode retiringTxns}, for the rows that its revisions bring back
 * @param highestEpoch of the pipeline, this epoch included
 */
export function epochActions(
  owner: Owner,
  { files, advances, record, timestampMs }: LakeCommit,
  rewrite: Rewrite | null,
  retired: readonly Txn[],
  txnId: string,
  highestEpoch: number,
): DeltaAction[] {
  const added = [...files, ...rewrite?.added ?? []];
  const sum = (of: (file: StagedFile) => number) =>
    String(added.reduce((total, file) => total + of(file), 0));
  const commitInfo = {
    timestamp: timestampMs,
    operation: "STREAMING UPDATE",
    operationParameters: {
      outputMode: rewrite === null ? "Append" : "Update",
      queryId: `${owner.pipeline}/${owner.topic}`,
      epochId: String(record.epoch),
    },
    operationMetrics: {
      numAddedFiles: String(added.length),
      numRemovedFiles: String(rewrite?.removed.length ?? 0),
      numOutputRows: sum((file) => file.rows),
      numOutputBytes: sum((file) => file.size),
      ...(rewrite === null ? {} : {
        numUpdatedRows: String(rewrite.updatedRows),
        numCopiedRows: String(rewrite.copiedRows),
        numAddedChangeFiles: String(rewrite.changes.length),
      }),
    },
    engineInfo: owner.engineInfo,
    isBlindAppend: rewrite === null,
    txnId,
    sessionary: record,
    sessionaryHighestEpoch: highestEpoch,
  };
  const removes = (rewrite?.removed ?? []).map((file) => removeOf(file, timestampMs, true));
  const changes = (rewrite?.changes ?? []).map(({ path, sessionDate, size }): CdcFile => ({
    path: encodeDataPath(path),
    partitionValues: { [PARTITION_COLUMN]: sessionDate },
    size,
    dataChange: false,
  }));
  const adds = added.map((file) => addOf(file, true));
  const txns = advances.flatMap(({ partition, to, barrierNumber }) => [
    { appId: offsetAppId(owner, partition), version: to, lastUpdated: timestampMs },
    { appId: barrierAppId(owner, partition), version: barrierNumber, lastUpdated: timestampMs },
  ]);
  return [
    { commitInfo },
    ...[...txns, ...retired].map((txn) => ({ txn })),
    ...removes.map((remove) => ({ remove })),
    ...adds.map((add) => ({ add })),
    ...changes.map((cdc) => ({ cdc })),
  ];
}

/** The action that brings an uploaded file into the table. `dataChange`: whether its rows are new. */
export function addOf(file: StagedFile, dataChange: boolean): AddFile {
  return {
    path: encodeDataPath(file.path),
    partitionValues: { [PARTITION_COLUMN]: file.sessionDate },
    size: file.size,
    modificationTime: file.modifiedAtMs,
    dataChange,
    stats: file.stats,
  };
}

/** The epoch that the owner's pipeline recorded in a commit; null in commits of others. */
export function ownRecord(owner: Owner, commit: Commit): EpochRecord | null {
  const record = commitInfoOf(commit.actions).sessionary;
  const isOwn = record?.pipeline === owner.pipeline && record.topic === owner.topic;
  return isOwn ? record : null;
}

/** What the warehouse is to make of a commit: its {@linkcode filesOf}, or the dates that left because of their age. */
export function changesOf(commit: Commit): VersionChanges {
  const { version, actions } = commit;
  const retired = commitInfoOf(actions).sessionaryRetired;
  return retired === undefined
    ? { version, files: filesOf(commit) }
    : { version, files: [], retired: retired.dates };
}

/** What a commit changed: its change data where it has any, else the files that came and went. */
export function filesOf({ actions }: Commit): readonly ChangedFile[] {
  const changes: ChangedFile[] = [];
  const files: ChangedFile[] = [];
  for (const action of actions) {
    if ("cdc" in action) changes.push({ kind: "cdc", path: decodeDataPath(action.cdc.path), rows: null });
    else if ("add" in action && action.add.dataChange) {
      const { path, stats } = action.add;
      files.push({ kind: "add", path: decodeDataPath(path), rows: recordsIn(stats) });
    } else if ("remove" in action && action.remove.dataChange) {
      files.push({ kind: "remove", path: decodeDataPath(action.remove.path), rows: null });
    }
  }
  return changes.length > 0 ? changes : files;
}
