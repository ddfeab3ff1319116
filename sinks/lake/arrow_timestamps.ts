/**
 * Times as one type. Other engines write a Delta `timestamp` in units of their own (Spark as INT96, which is read as
 * nanoseconds without a zone); all of them mean UTC, because a table with times without a zone needs a newer protocol.
 */
import {
  type Data,
  DataType,
  Field,
  List,
  makeData,
  Map_,
  RecordBatch,
  Schema,
  Struct,
  Table,
  TimestampMicrosecond,
  TimeUnit,
} from "apache-arrow";

const MICROS = new TimestampMicrosecond("UTC");

/** The type with every time in it as microseconds, UTC; the very same object where nothing changes. */
function withMicros(type: DataType): DataType {
  if (DataType.isTimestamp(type)) {
    return type.unit === TimeUnit.MICROSECOND && type.timezone === MICROS.timezone ? type : MICROS;
  }
  if (!DataType.isList(type) && !DataType.isStruct(type) && !DataType.isMap(type)) return type;
  const children = (type.children as readonly Field[]).map(fieldWithMicros);
  if (children.every((child, i) => child === type.children[i])) return type;
  if (DataType.isList(type)) return new List(children[0]!);
  return DataType.isStruct(type)
    ? new Struct(children)
    : new Map_(children[0] as Field<Struct>, type.keysSorted);
}

function fieldWithMicros(field: Field): Field {
  const type = withMicros(field.type);
  return type === field.type ? field : new Field(field.name, type, field.nullable, field.metadata);
}

/** A value of the unit in microseconds, rounded down. */
function toMicros(value: bigint, unit: TimeUnit): bigint {
  if (unit === TimeUnit.SECOND) return value * 1_000_000n;
  if (unit === TimeUnit.MILLISECOND) return value * 1_000n;
  if (unit === TimeUnit.MICROSECOND) return value;
  return value / 1_000n - (value % 1_000n < 0n ? 1n : 0n);
}

function dataWithMicros<T extends DataType>(data: Data, type: T): Data<T>;
function dataWithMicros(data: Data, type: DataType): Data {
  if (type === data.type) return data;
  const { offset, length, nullCount, nullBitmap } = data;
  if (DataType.isTimestamp(data.type)) {
    const { unit } = data.type;
    const values = (data.values as BigInt64Array).map((value) => toMicros(value, unit));
    return makeData({ type: MICROS, offset, length, nullCount, nullBitmap, data: values });
  }
  const children = data.children.map((child, i) => dataWithMicros(child, type.children[i]!.type));
  return data.clone(type, offset, length, nullCount, undefined, children);
}

/** The table with every time, however deep, as microseconds in UTC. */
export function timesAsMicros(table: Table): Table {
  const fields = table.schema.fields.map(fieldWithMicros);
  if (fields.every((field, i) => field === table.schema.fields[i])) return table;
  const schema = new Schema(fields, table.schema.metadata);
  const type = new Struct(fields);
  return new Table(
    schema,
    table.batches.map((batch) => new RecordBatch(schema, dataWithMicros(batch.data, type))),
  );
}
