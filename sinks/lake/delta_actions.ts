/** The actions of a Delta log (protocol: "Actions") and their text: one JSON object a line. */
import type { Erasure } from "../../schema/erasure.ts";
import { messageOf, SinkError } from "../../schema/errors.ts";
import type { EpochRecord } from "../../schema/epoch.ts";

type StringMap = Readonly<Record<string, string>>;
/** A partition value is null where the partition column is. */
type PartitionValues = Readonly<Record<string, string | null>>;

export interface Protocol {
  readonly minReaderVersion: number;
  readonly minWriterVersion: number;
  readonly readerFeatures?: readonly string[];
  readonly writerFeatures?: readonly string[];
}

export interface MetaData {
  readonly id: string;
  readonly name?: string;
  readonly description?: string;
  readonly format: { readonly provider: string; readonly options: StringMap };
  readonly schemaString: string;
  readonly partitionColumns: readonly string[];
  /** Epoch milliseconds. */
  readonly createdTime?: number;
  readonly configuration: StringMap;
}

export interface Txn {
  readonly appId: string;
  readonly version: number;
  /** Epoch milliseconds. */
  readonly lastUpdated?: number;
}

export interface AddFile {
  /** As the log has it: URL-encoded, relative to the table's root. */
  readonly path: string;
  readonly partitionValues: PartitionValues;
  readonly size: number;
  /** Epoch milliseconds. */
  readonly modificationTime: number;
  readonly dataChange: boolean;
  /** JSON text. */
  readonly stats?: string;
  readonly tags?: StringMap;
}

export interface RemoveFile {
  readonly path: string;
  /** Epoch milliseconds; absent counts as long ago. */
  readonly deletionTimestamp?: number;
  readonly dataChange: boolean;
  readonly extendedFileMetadata?: boolean;
  readonly partitionValues?: PartitionValues;
  readonly size?: number;
  readonly tags?: StringMap;
}

/** A file of change data: where a version has any, they say all that it changed. It is no part of the table's state. */
export interface CdcFile {
  /** As {@linkcode AddFile.path}. */
  readonly path: string;
  readonly partitionValues: PartitionValues;
  readonly size: number;
  readonly dataChange: false;
}

/** A commit's provenance. Other writers write what they like: only ours is known in detail. */
export interface CommitInfo {
  /** Epoch milliseconds. */
  readonly timestamp?: number;
  readonly operation?: string;
  readonly operationParameters?: Readonly<Record<string, unknown>>;
  readonly operationMetrics?: StringMap;
  readonly engineInfo?: string;
  readonly isBlindAppend?: boolean;
  /** The commit's own UUID, by which its writer recognizes it after a lost response. */
  readonly txnId?: string;
  readonly sessionary?: EpochRecord;
  /** The pipeline's highest epoch up to and including this commit. */
  readonly sessionaryHighestEpoch?: number;
  /** What the commit took out of the table for ever. */
  readonly sessionaryErasure?: Erasure;
  /** Of a commit by which dates leave the table because of their age. */
  readonly sessionaryRetired?: RetiredDates;
}

/** What left the table by its age. */
export interface RetiredDates {
  /** All of the table's dates before this one were old enough. */
  readonly horizon: string;
  /** Those that left, ascending. */
  readonly dates: readonly string[];
  readonly partitions: readonly {
    readonly partition: number;
    readonly rows: number;
    readonly events: number;
  }[];
}

/** An action: an object with exactly one of these. Kinds that readers need not know are left out. */
export type DeltaAction =
  | { readonly commitInfo: CommitInfo }
  | { readonly protocol: Protocol }
  | { readonly metaData: MetaData }
  | { readonly txn: Txn }
  | { readonly add: AddFile }
  | { readonly remove: RemoveFile }
  | { readonly cdc: CdcFile };

const KNOWN = ["commitInfo", "protocol", "metaData", "txn", "add", "remove", "cdc"] as const;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** A commit's bytes. */
export function serializeActions(actions: readonly DeltaAction[]): Uint8Array {
  return encoder.encode(actions.map((action) => `${JSON.stringify(action)}\n`).join(""));
}

/**
 * A commit's actions. Actions of unknown kinds are skipped, as the protocol asks.
 *
 * @param origin the commit's file, for sentences
 * @throws {SinkError} where the bytes are not lines of JSON objects
 */
export function parseActions(bytes: Uint8Array, origin: string): DeltaAction[] {
  const actions: DeltaAction[] = [];
  let number = 0;
  try {
    for (const line of decoder.decode(bytes).split("\n")) {
      number++;
      if (line.trim() === "") continue;
      const action: unknown = JSON.parse(line);
      if (typeof action !== "object" || action === null) throw new Error("an action must be a JSON object");
      if (KNOWN.some((kind) => (action as Record<string, unknown>)[kind] != null)) {
        actions.push(action as DeltaAction);
      }
    }
  } catch (error) {
    const message = `Cannot read line ${number} of the Delta commit '${origin}': ${messageOf(error)}. ` +
      "The file is damaged: restore it from a backup.";
    throw new SinkError(message, false, { cause: error });
  }
  return actions;
}

/** The `session_date` that a data file is of: the table is partitioned by it alone. */
export function dateOfFile({ partitionValues }: AddFile): string {
  return Object.values(partitionValues)[0] ?? "";
}

/** A file's removal. `dataChange`: whether its rows go with it. `timestampMs`: epoch milliseconds. */
export function removeOf(file: AddFile, timestampMs: number, dataChange: boolean): RemoveFile {
  const { path, partitionValues, size, tags } = file;
  return {
    path,
    deletionTimestamp: timestampMs,
    dataChange,
    extendedFileMetadata: true,
    partitionValues,
    size,
    ...(tags === undefined ? {} : { tags }),
  };
}

/** The commit's `commitInfo`; empty where it has none. */
export function commitInfoOf(actions: readonly DeltaAction[]): CommitInfo {
  for (const action of actions) if ("commitInfo" in action) return action.commitInfo;
  return {};
}

/** A file's path as `add.path` has it (RFC 2396): every segment percent-encoded, but for `=`. */
export function encodeDataPath(path: string): string {
  return path.split("/").map((segment) => encodeURIComponent(segment).replaceAll("%3D", "=")).join("/");
}

/**
 * The path below the table's root that an action's `path` names.
 *
 * @throws {SinkError} where it is absolute or malformed: such a file is not in this table's folder
 */
export function decodeDataPath(path: string): string {
  try {
    if (/^([a-z][a-z0-9+.-]*:|\/)/i.test(path)) throw new Error("it is absolute");
    return decodeURIComponent(path);
  } catch (error) {
    const message = `Cannot use the file '${path}' of the Delta table: ${messageOf(error)}; paths must be ` +
      "relative to the table's root. Was the table cloned by another program?";
    throw new SinkError(message, false, { cause: error });
  }
}
