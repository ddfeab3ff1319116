/** Delta checkpoints as Parquet (protocol: "Checkpoint Schema", V1): the actions of a snapshot, one in each row. */
import {
  Bool,
  type Data,
  DataType,
  Field,
  Int32,
  Int64,
  List,
  makeData,
  Map_,
  RecordBatch,
  Schema,
  Struct,
  Table,
  Utf8,
  type Vector,
  vectorFromArray,
} from "apache-arrow";
import { SinkError } from "../../schema/errors.ts";
import type { DeltaAction, RemoveFile } from "./delta_actions.ts";
import { decodeParquet, decodePart, encodeParquet } from "./parquet.ts";

function struct(fields: Readonly<Record<string, DataType>>): Struct {
  return new Struct(Object.entries(fields).map(([name, type]) => new Field(name, type, true)));
}

function stringMap(): DataType {
  // `key_value` is the name that the Parquet format gives to a map's entries.
  const entry = new Struct<{ key: Utf8; value: Utf8 }>([
    new Field("key", new Utf8(), false),
    new Field("value", new Utf8(), true),
  ]);
  return new Map_(new Field("key_value", entry, false));
}

const STRINGS = new List(new Field("element", new Utf8(), true));

/** The columns, each a struct that is null but in the rows of its kind of action. */
const COLUMNS = {
  txn: struct({ appId: new Utf8(), version: new Int64(), lastUpdated: new Int64() }),
  add: struct({
    path: new Utf8(),
    partitionValues: stringMap(),
    size: new Int64(),
    modificationTime: new Int64(),
    dataChange: new Bool(),
    stats: new Utf8(),
    tags: stringMap(),
  }),
  remove: struct({
    path: new Utf8(),
    deletionTimestamp: new Int64(),
    dataChange: new Bool(),
    extendedFileMetadata: new Bool(),
    partitionValues: stringMap(),
    size: new Int64(),
  }),
  metaData: struct({
    id: new Utf8(),
    name: new Utf8(),
    description: new Utf8(),
    format: struct({ provider: new Utf8(), options: stringMap() }),
    schemaString: new Utf8(),
    partitionColumns: STRINGS,
    createdTime: new Int64(),
    configuration: stringMap(),
  }),
  protocol: struct({ minReaderVersion: new Int32(), minWriterVersion: new Int32() }),
} as const;

type Json = null | string | number | boolean | readonly Json[] | { readonly [key: string]: Json };

/** A JSON value as apache-arrow's builders take a value of `type`. */
function toArrowValue(type: DataType, value: Json | undefined): unknown {
  if (value === undefined || value === null) return null;
  if (DataType.isStruct(type)) {
    const object = value as { readonly [key: string]: Json };
    return Object.fromEntries(
      type.children.map((field) => [field.name, toArrowValue(field.type, object[field.name])]),
    );
  }
  if (DataType.isMap(type)) return new Map(Object.entries(value as { readonly [key: string]: Json }));
  if (DataType.isInt(type) && type.bitWidth === 64) return BigInt(value as number);
  return value;
}

/** The inverse of {@linkcode toArrowValue}; a struct's null fields are left out, as in a commit's JSON. */
function fromArrowValue(type: DataType, value: unknown): Json {
  if (value === null || value === undefined) return null;
  if (DataType.isStruct(type)) {
    const row = value as { readonly [key: string]: unknown };
    const entries = type.children.map((field) =>
      [field.name, fromArrowValue(field.type, row[field.name])] as const
    );
    return Object.fromEntries(entries.filter(([, item]) => item !== null));
  }
  if (DataType.isMap(type)) return Object.fromEntries(value as Iterable<[string, string | null]>);
  if (DataType.isList(type)) {
    return [...value as Iterable<unknown>].map((item) => fromArrowValue(type.valueType, item));
  }
  return typeof value === "bigint" ? Number(value) : value as Json;
}

const SCHEMA = new Schema(Object.entries(COLUMNS).map(([kind, type]) => new Field(kind, type, true)));

/** `length` nulls. */
function nullData(type: DataType, length: number): Data {
  const nullBitmap = new Uint8Array(Math.ceil(length / 8));
  const nulls = { length, nullCount: length, nullBitmap };
  if (DataType.isStruct(type)) {
    return makeData({ type, ...nulls, children: type.children.map((field) => nullData(field.type, length)) });
  }
  const valueOffsets = new Int32Array(length + 1);
  if (DataType.isMap(type)) {
    return makeData({ type, ...nulls, valueOffsets, child: nullData(type.children[0]!.type, 0) });
  }
  if (DataType.isList(type)) {
    return makeData({ type, ...nulls, valueOffsets, child: nullData(type.valueType, 0) });
  }
  if (DataType.isUtf8(type)) return makeData({ type, ...nulls, valueOffsets, data: new Uint8Array(0) });
  if (DataType.isBool(type)) return makeData({ type, ...nulls, data: new Uint8Array(Math.ceil(length / 8)) });
  const data = DataType.isInt(type) && type.bitWidth === 64
    ? new BigInt64Array(length)
    : new Int32Array(length);
  return makeData({ type, ...nulls, data } as Parameters<typeof makeData>[0]);
}

const encoder = new TextEncoder();
/** UTF-8 bytes that a character of a string (UTF-16) takes at most. */
const BYTES_PER_CHARACTER_MAX = 3;

/**
 * Tombstones as the column `remove`, with what VACUUM needs of them: they are by far the most actions of a table that
 * is optimized, so they are written without a builder's call for each value.
 */
function tombstoneData(tombstones: readonly RemoveFile[]): Data {
  const length = tombstones.length;
  const characters = tombstones.reduce((sum, { path }) => sum + path.length, 0);
  const bytes = new Uint8Array(characters * BYTES_PER_CHARACTER_MAX);
  const valueOffsets = new Int32Array(length + 1);
  const times = new BigInt64Array(length);
  for (const [i, { path, deletionTimestamp }] of tombstones.entries()) {
    valueOffsets[i + 1] = valueOffsets[i]! +
      encoder.encodeInto(path, bytes.subarray(valueOffsets[i])).written;
    times[i] = BigInt(deletionTimestamp ?? 0);
  }
  const given: Readonly<Record<string, (type: DataType) => Data>> = {
    path: (type) =>
      makeData({
        type: type as Utf8,
        length,
        nullCount: 0,
        valueOffsets,
        data: bytes.subarray(0, valueOffsets[length]),
      }),
    deletionTimestamp: (type) => makeData({ type: type as Int64, length, nullCount: 0, data: times }),
    dataChange: (type) =>
      makeData({ type: type as Bool, length, nullCount: 0, data: new Uint8Array(Math.ceil(length / 8)) }),
  };
  const children = COLUMNS.remove.children.map(({ name, type }) =>
    given[name]?.(type) ?? nullData(type, length)
  );
  return makeData({ type: COLUMNS.remove, length, nullCount: 0, children });
}

function batchOf(length: number, columns: readonly Data[]): RecordBatch {
  const type = new Struct(SCHEMA.fields);
  return new RecordBatch(SCHEMA, makeData({ type, length, nullCount: 0, children: [...columns] }));
}

/** A Delta checkpoint's bytes. */
export interface EncodedCheckpoint {
  readonly bytes: Uint8Array;
  /** Its first rows, which are all that is no tombstone. */
  readonly liveRows: number;
}

/** The Parquet bytes of a Delta checkpoint with these actions; `commitInfo` has no place in one. */
export function encodeCheckpoint(actions: readonly DeltaAction[]): EncodedCheckpoint {
  const tombstones = actions.flatMap((action) => "remove" in action ? [action.remove] : []);
  const live = actions.filter((action) => !("remove" in action));
  const vectors = Object.entries(COLUMNS).map(([kind, type]): Vector => {
    const values = live.map((action) =>
      toArrowValue(type, (action as unknown as Readonly<Record<string, Json>>)[kind])
    );
    return vectorFromArray(values, type);
  });
  const batches = [batchOf(live.length, vectors.map(({ data }) => data[0]!))];
  if (tombstones.length > 0) {
    const columns = Object.entries(COLUMNS).map(([kind, type]) =>
      kind === "remove" ? tombstoneData(tombstones) : nullData(type, tombstones.length)
    );
    batches.push(batchOf(tombstones.length, columns));
  }
  return { bytes: encodeParquet(new Table(SCHEMA, batches), { dictionary: false }), liveRows: live.length };
}

/**
 * The actions in a Delta checkpoint, also one that another program wrote.
 *
 * @param origin the file, for sentences
 * @param liveRows read only so many of the first rows, which are all but the tombstones
 * @throws {SinkError} where the bytes are not a V1 checkpoint
 */
export async function decodeCheckpoint(
  bytes: Uint8Array,
  origin: string,
  liveRows?: number,
): Promise<DeltaAction[]> {
  // A page of tombstones has more rows than what is wanted of the other columns.
  const columns = Object.keys(COLUMNS).filter((kind) => kind !== "remove");
  const table = liveRows === undefined
    ? decodeParquet(bytes, origin)
    : await decodePart(bytes, origin, { limit: liveRows, columns });
  const actions: DeltaAction[] = [];
  for (const kind of Object.keys(COLUMNS)) {
    const column = table.getChild(kind);
    if (column === null) continue;
    for (let row = 0; row < table.numRows; row++) {
      if (!column.isValid(row)) continue;
      const value = fromArrowValue(column.type, column.get(row));
      // Some writers give an absent action as a struct of nulls.
      if (value === null || Object.keys(value).length === 0) continue;
      actions.push({ [kind]: value } as unknown as DeltaAction);
    }
  }
  if (!actions.some((action) => "protocol" in action) || !actions.some((action) => "metaData" in action)) {
    const message =
      `Cannot use the Delta checkpoint '${origin}': it has no protocol or no metaData action. ` +
      "The file is damaged or incomplete.";
    throw new SinkError(message, false);
  }
  return actions;
}

/**
 * The tombstones that {@linkcode decodeCheckpoint} left unread, of a checkpoint of ours.
 *
 * @param origin the file, for sentences
 * @throws {SinkError} where the bytes are not Parquet
 */
export function decodeTombstones(bytes: Uint8Array, origin: string, liveRows: number): RemoveFile[] {
  const table = decodeParquet(bytes, origin, { offset: liveRows, columns: ["remove"] });
  if (table.numRows === 0) return [];
  const [paths, times] = ["path", "deletionTimestamp"].map((name) =>
    table.getChild("remove")!.getChild(name)!
  );
  return Array.from({ length: paths!.length }, (_, row) => ({
    path: paths!.get(row) as string,
    deletionTimestamp: Number(times!.get(row)),
    dataChange: false,
  }));
}
