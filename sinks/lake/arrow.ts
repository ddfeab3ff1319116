/**
 * Column batches as Arrow tables and back, by handing over buffers: Arrow's builders would cost a microsecond for
 * each string. Lists have a child named `element`, as the Delta protocol and Spark name it in Parquet.
 */
import {
  Binary,
  type Data,
  DataType,
  Field,
  Int32,
  Int64,
  List,
  makeData,
  RecordBatch,
  Schema,
  Struct,
  Table,
  TimestampMicrosecond,
  Utf8,
} from "apache-arrow";
import type {
  Column,
  ColumnBatch,
  ColumnKind,
  PageEventColumns,
  VarBytes,
} from "../../schema/column_batch.ts";
import { assertNever, invariant, SinkError } from "../../schema/errors.ts";
import { nullColumn, takeRows } from "../../schema/take_rows.ts";

/** A column of a Parquet file. */
export interface ColumnSpec {
  readonly name: string;
  readonly kind: ColumnKind;
  readonly nullable: boolean;
}

const TIMESTAMP = new TimestampMicrosecond("UTC");

// Delta has no NOT NULL inside arrays (Spark refuses such a schema), so everything below a list is nullable.
const PAGE_EVENT = new Struct([
  new Field("timestamp", TIMESTAMP, true),
  new Field("event_type", new Utf8(), true),
  new Field("page_url", new Utf8(), true),
  new Field("article_id", new Utf8(), true),
]);

function arrowType(kind: ColumnKind): DataType {
  switch (kind) {
    case "utf8":
      return new Utf8();
    case "binary":
      return new Binary();
    case "int32":
      return new Int32();
    case "int64":
      return new Int64();
    case "timestamp":
      return TIMESTAMP;
    case "list_utf8":
      return new List(new Field("element", new Utf8(), true));
    case "list_page_event":
      return new List(new Field("element", PAGE_EVENT, true));
    default:
      return assertNever(kind);
  }
}

/** The Arrow schema of columns, in their order. */
export function arrowSchema(specs: readonly ColumnSpec[]): Schema {
  return new Schema(specs.map(({ name, kind, nullable }) => new Field(name, arrowType(kind), nullable)));
}

interface Validity {
  readonly nullCount: number;
  readonly nullBitmap: Uint8Array | null;
}

const ALL_VALID: Validity = { nullCount: 0, nullBitmap: null };

/** One byte per row as one bit per row, least significant first. */
function validityOf(valid: Uint8Array): Validity {
  let nullCount = 0;
  for (let i = 0; i < valid.length; i++) if (valid[i] === 0) nullCount++;
  if (nullCount === 0) return ALL_VALID;
  const nullBitmap = new Uint8Array(Math.ceil(valid.length / 8));
  for (let i = 0; i < valid.length; i++) if (valid[i] !== 0) nullBitmap[i >> 3]! |= 1 << (i & 7);
  return { nullCount, nullBitmap };
}

function textData(values: VarBytes, validity: Validity): Data {
  const length = values.offsets.length - 1;
  return makeData({
    type: new Utf8(),
    length,
    ...validity,
    valueOffsets: values.offsets,
    data: values.bytes,
  });
}

function pageEventData(items: PageEventColumns): Data {
  const length = items.timestamp.length;
  return makeData({
    type: PAGE_EVENT,
    length,
    ...ALL_VALID,
    children: [
      makeData({ type: TIMESTAMP, length, ...ALL_VALID, data: items.timestamp }),
      textData(items.event_type, ALL_VALID),
      textData(items.page_url, ALL_VALID),
      textData(items.article_id, validityOf(items.article_id_valid)),
    ],
  });
}

function columnData(column: Column, rows: number): Data {
  const type = arrowType(column.kind);
  switch (column.kind) {
    case "list_utf8":
    case "list_page_event": {
      const child = column.kind === "list_utf8"
        ? textData(column.items, ALL_VALID)
        : pageEventData(column.items);
      return makeData({ type: type as List, length: rows, ...ALL_VALID, valueOffsets: column.ends, child });
    }
    case "utf8":
      return textData(column.values, validityOf(column.valid));
    case "binary": {
      const { offsets: valueOffsets, bytes: data } = column.values;
      return makeData({
        type: type as Binary,
        length: rows,
        ...validityOf(column.valid),
        valueOffsets,
        data,
      });
    }
    case "int32":
      return makeData({
        type: type as Int32,
        length: rows,
        ...validityOf(column.valid),
        data: column.values,
      });
    case "int64":
    case "timestamp":
      return makeData({
        type: type as Int64,
        length: rows,
        ...validityOf(column.valid),
        data: column.values,
      });
    default:
      return assertNever(column);
  }
}

/** The batch as an Arrow table that shares its buffers. `specs` describes the batch's columns, in order. */
export function toArrow(specs: readonly ColumnSpec[], batch: ColumnBatch): Table {
  invariant(
    specs.length === batch.columns.length,
    `${specs.length} columns declared, ${batch.columns.length} given`,
  );
  const schema = arrowSchema(specs);
  const children = batch.columns.map((column, i) => {
    const { name, kind, nullable } = specs[i]!;
    invariant(column.kind === kind, `the column '${name}' is of kind ${kind}: ${column.kind}`);
    const data = columnData(column, batch.rows);
    invariant(nullable || data.nullCount === 0, `the column '${name}' has a value in every row`);
    return data;
  });
  const type = new Struct(schema.fields);
  return new Table(schema, [
    new RecordBatch(schema, makeData({ type, length: batch.rows, ...ALL_VALID, children })),
  ]);
}

/** One bit per row, from `offset`, as one byte per row; Arrow leaves the bitmap out where nothing is null. */
function validBytes(data: Data): Uint8Array {
  const valid = new Uint8Array(data.length).fill(1);
  if (data.nullCount > 0) {
    for (let i = 0; i < data.length; i++) {
      const bit = data.offset + i;
      valid[i] = (data.nullBitmap[bit >> 3]! >> (bit & 7)) & 1;
    }
  }
  return valid;
}

/** Offsets from 0, whatever slice of its buffers `data` is. */
function offsetsOf(data: Data): Int32Array {
  const offsets = (data.valueOffsets as Int32Array).subarray(0, data.length + 1);
  const first = offsets[0] ?? 0;
  if (offsets.length === 0) return new Int32Array(1);
  return first === 0 ? offsets.slice() : offsets.map((offset) => offset - first);
}

function varBytesOf(data: Data): VarBytes {
  const raw = data.valueOffsets as Int32Array;
  return {
    offsets: offsetsOf(data),
    bytes: (data.values as Uint8Array).slice(raw[0] ?? 0, raw[data.length] ?? 0),
  };
}

/** The part of a list's child that its rows refer to. */
function itemsOf(data: Data): Data {
  const raw = data.valueOffsets as Int32Array;
  const start = raw[0] ?? 0;
  return data.children[0]!.slice(start, (raw[data.length] ?? start) - start);
}

function pageEventsOf(items: Data): PageEventColumns {
  const [timestamp, eventType, pageUrl, articleId] = items.children;
  return {
    timestamp: (timestamp!.values as BigInt64Array).slice(0, items.length),
    event_type: varBytesOf(eventType!),
    page_url: varBytesOf(pageUrl!),
    article_id: varBytesOf(articleId!),
    article_id_valid: validBytes(articleId!),
  };
}

/** The values, 0 where there is none: what a reader leaves in a null's place is arbitrary. */
function scalarsOf<T extends Int32Array | BigInt64Array>(values: T, valid: Uint8Array, zero: T[number]): T {
  const scalars = values.slice(0, valid.length) as T;
  for (let i = 0; i < valid.length; i++) if (valid[i] === 0) scalars[i] = zero;
  return scalars;
}

function columnOf(kind: ColumnKind, data: Data): Column {
  switch (kind) {
    case "utf8":
    case "binary":
      return { kind, valid: validBytes(data), values: varBytesOf(data) };
    case "int32": {
      const valid = validBytes(data);
      return { kind, valid, values: scalarsOf(data.values as Int32Array, valid, 0) };
    }
    case "int64":
    case "timestamp": {
      const valid = validBytes(data);
      return { kind, valid, values: scalarsOf(data.values as BigInt64Array, valid, 0n) };
    }
    case "list_utf8":
      return { kind, ends: offsetsOf(data), items: varBytesOf(itemsOf(data)) };
    case "list_page_event":
      return { kind, ends: offsetsOf(data), items: pageEventsOf(itemsOf(data)) };
    default:
      return assertNever(kind);
  }
}

/** Whether values of `found` can be taken as `expected`: names and nullability of inner fields aside. */
function sameType(expected: DataType, found: DataType): boolean {
  if (DataType.isList(expected)) {
    return DataType.isList(found) && sameType(expected.valueType, found.valueType);
  }
  if (DataType.isStruct(expected)) {
    return DataType.isStruct(found) && expected.children.length === found.children.length &&
      expected.children.every((field, i) => {
        const other = found.children[i]!;
        return field.name === other.name && sameType(field.type, other.type);
      });
  }
  return expected.toString() === found.toString();
}

/**
 * An Arrow table as a column batch: the columns of `specs` by name, in their order. A nullable column that the
 * table lacks is null in every row (Delta files written before a column was added).
 *
 * @param origin the file, for sentences
 * @throws {SinkError} where a column is missing or has another type
 */
export function fromArrow(specs: readonly ColumnSpec[], table: Table, origin: string): ColumnBatch {
  const indices = specs.map(({ name, kind, nullable }) => {
    const index = table.schema.fields.findIndex((field) => field.name === name);
    const found = table.schema.fields[index]?.type;
    const expected = arrowType(kind);
    const usable = found === undefined ? nullable : sameType(expected, found);
    if (!usable) {
      const message = `Cannot read '${origin}': the column '${name}' must be ${expected}, ` +
        `${found === undefined ? "and there is none" : `found ${found}`}. Was it written by another program?`;
      throw new SinkError(message, false);
    }
    return index;
  });
  const batches = table.batches.filter(({ numRows }) => numRows > 0).map((batch): ColumnBatch => ({
    rows: batch.numRows,
    columns: specs.map(({ kind }, i) =>
      indices[i]! < 0 ? nullColumn(kind, batch.numRows) : columnOf(kind, batch.data.children[indices[i]!]!)
    ),
  }));
  if (batches.length === 1) return batches[0]!;
  return takeRows(specs.map(({ kind }) => kind), batches);
}
