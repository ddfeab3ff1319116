/** Delta checkpoints as Parquet (protocol: "Checkpoint Schema", V1): the actions of a snapshot, one in each row. */
import {
  Bool,
  DataType,
  Field,
  Int32,
  Int64,
  List,
  Map_,
  Schema,
  Struct,
  Table,
  Utf8,
  type Vector,
  vectorFromArray,
} from "apache-arrow";
import { SinkError } from "../../schema/errors.ts";
import type { DeltaAction } from "./delta_actions.ts";
import { decodeParquet, encodeParquet } from "./parquet.ts";

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

/** The Parquet bytes of a Delta checkpoint with these actions; `commitInfo` has no place in one. */
export function encodeCheckpoint(actions: readonly DeltaAction[]): Uint8Array {
  const vectors = Object.entries(COLUMNS).map(([kind, type]): [string, Vector] => {
    const values = actions.map((action) =>
      toArrowValue(type, (action as unknown as Readonly<Record<string, Json>>)[kind])
    );
    return [kind, vectorFromArray(values, type)];
  });
  const schema = new Schema(Object.entries(COLUMNS).map(([kind, type]) => new Field(kind, type, true)));
  return encodeParquet(new Table(schema, Object.fromEntries(vectors)));
}

/**
 * The actions in a Delta checkpoint, also one that another program wrote.
 *
 * @param origin the file, for sentences
 * @throws {SinkError} where the bytes are not a V1 checkpoint
 */
export function decodeCheckpoint(bytes: Uint8Array, origin: string): DeltaAction[] {
  const table = decodeParquet(bytes, origin);
  const actions: DeltaAction[] = [];
  for (const kind of Object.keys(COLUMNS)) {
    const column = table.getChild(kind);
    if (column === null) continue;
    for (let row = 0; row < table.numRows; row++) {
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
