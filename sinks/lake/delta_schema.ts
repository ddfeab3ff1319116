/** The Delta schema of the session table (protocol: "Schema Serialization Format"), from the one table of columns. */
import type { ColumnKind } from "../../schema/column_batch.ts";
import { assertNever } from "../../schema/errors.ts";
import { SESSION_COLUMNS } from "../../schema/session.ts";
import type { ColumnSpec } from "./arrow.ts";

/** The partition column: the UTC date of `session_start`, kept in the log and left out of the files. */
export const PARTITION_COLUMN = "session_date";

export type DeltaType =
  | string
  | { readonly type: "struct"; readonly fields: readonly DeltaField[] }
  | { readonly type: "array"; readonly elementType: DeltaType; readonly containsNull: boolean }
  | {
    readonly type: "map";
    readonly keyType: DeltaType;
    readonly valueType: DeltaType;
    readonly valueContainsNull: boolean;
  };

export interface DeltaField {
  readonly name: string;
  readonly type: DeltaType;
  readonly nullable: boolean;
  readonly metadata: Readonly<Record<string, unknown>>;
}

export interface DeltaSchema {
  readonly type: "struct";
  readonly fields: readonly DeltaField[];
}

function field(name: string, type: DeltaType, nullable: boolean): DeltaField {
  return { name, type, nullable, metadata: {} };
}

// Nothing below an array may be NOT NULL: Spark refuses such a table.
const PAGE_EVENT: DeltaType = {
  type: "struct",
  fields: [
    field("timestamp", "timestamp", true),
    field("event_type", "string", true),
    field("page_url", "string", true),
    field("article_id", "string", true),
  ],
};

function deltaType(kind: ColumnKind): DeltaType {
  switch (kind) {
    case "utf8":
      return "string";
    case "binary":
      return "binary";
    case "int32":
      return "integer";
    case "int64":
      return "long";
    case "timestamp":
      return "timestamp";
    case "list_utf8":
      return { type: "array", elementType: "string", containsNull: true };
    case "list_page_event":
      return { type: "array", elementType: PAGE_EVENT, containsNull: true };
    default:
      return assertNever(kind);
  }
}

/**
 * By this key in a column's metadata the table remembers that the column is this program's, and whether it was declared to
 * allow null: an older version, which does not know the column, then knows whose it is. Tables made by early versions lack
 * it.
 */
const DECLARED_NULLABLE = "sessionary.nullable";

/** Whether some version of this program has declared the column. */
export function isOwnField({ metadata }: DeltaField): boolean {
  return DECLARED_NULLABLE in metadata;
}

/** The Delta schema of columns, with the partition column last. */
export function deltaSchema(columns: readonly ColumnSpec[]): DeltaSchema {
  const fields = columns.map(({ name, kind, nullable }) => ({
    ...field(name, deltaType(kind), nullable),
    metadata: { [DECLARED_NULLABLE]: nullable },
  }));
  return { type: "struct", fields: [...fields, field(PARTITION_COLUMN, "date", false)] };
}

/** The session table's schema, as this program declares it. */
export const OUR_SCHEMA: DeltaSchema = deltaSchema(SESSION_COLUMNS);

/** The session table's `schemaString`. */
export const SESSION_SCHEMA_STRING: string = JSON.stringify(OUR_SCHEMA);

/** The type as text, and as compared between two schemas: an inner field's nullability and metadata don't change the bytes. */
export function shape(type: DeltaType): string {
  if (typeof type === "string") return type;
  switch (type.type) {
    case "struct":
      return `struct<${type.fields.map(({ name, type }) => `${name}:${shape(type)}`).join(",")}>`;
    case "array":
      return `array<${shape(type.elementType)}>`;
    case "map":
      return `map<${shape(type.keyType)},${shape(type.valueType)}>`;
    default:
      return assertNever(type);
  }
}

/**
 * Why rows of `ours` cannot be appended to a table of schema `theirs`, as the end of a sentence; null where they
 * can: every column of ours is there with its type, and what is there besides may be null. A column that allows null
 * although ours does not is fine, unless it was declared so: some engines widen whole schemas.
 */
export function appendFlaw(ours: DeltaSchema, theirs: DeltaSchema): string | null {
  const own = new Map(ours.fields.map((field) => [field.name, field]));
  const foreign = theirs.fields.filter(({ name }) => !own.has(name));
  const foreignByCase = new Map(foreign.map(({ name }) => [name.toLowerCase(), name]));
  const found = new Map(theirs.fields.map((field) => [field.name, field]));
  for (const { name, type, nullable } of ours.fields) {
    const other = found.get(name);
    const alike = foreignByCase.get(name.toLowerCase());
    if (alike !== undefined) return `has the column '${alike}', which differs from '${name}' in case only`;
    if (other === undefined) {
      const rule = nullable ? "" : ", and one that is added must allow null";
      return `has no column '${name}' (${shape(type)})${rule}`;
    }
    if (shape(other.type) !== shape(type)) {
      return `has the column '${name}' as ${shape(other.type)}, not ${shape(type)}`;
    }
    if (nullable && !other.nullable) return `does not allow null in the column '${name}'`;
    if (!nullable && other.nullable && other.metadata[DECLARED_NULLABLE] === true) {
      return `may have null in the column '${name}', which must have a value now`;
    }
  }
  for (const { name, nullable, metadata } of theirs.fields) {
    if (!own.has(name) && !nullable) {
      return `needs a value in the column '${name}', which sessions don't have`;
    }
    for (const rule of ["delta.invariants", "delta.generationExpression"]) {
      if (rule in metadata) return `has a rule (${rule}) on the column '${name}', which is not supported`;
    }
  }
  return null;
}
