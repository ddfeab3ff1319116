import { assertEquals } from "@std/assert";
import {
  Field,
  Int32,
  List,
  Struct,
  Table,
  TimestampMicrosecond,
  TimestampMillisecond,
  TimestampNanosecond,
  vectorFromArray,
} from "apache-arrow";
import { decodeParquet, encodeParquet } from "../../../sinks/lake/parquet.ts";

const MICROS = "Timestamp<MICROSECOND, UTC>";

Deno.test("times of other units and without a zone are read as microseconds in UTC, nulls kept, also inside lists", () => {
  const event = new Struct([
    new Field("at", new TimestampNanosecond(), true),
    new Field("n", new Int32(), true),
  ]);
  const times = [Date.UTC(2024, 0, 1), null, Date.UTC(1990, 0, 1)];
  const table = new Table({
    nanos: vectorFromArray(times, new TimestampNanosecond()),
    millis: vectorFromArray(times, new TimestampMillisecond("UTC")),
    micros: vectorFromArray(times, new TimestampMicrosecond("UTC")),
    events: vectorFromArray(
      [[{ at: times[0], n: 1 }, { at: null, n: 2 }], [], [{ at: times[2], n: 3 }]],
      new List(new Field("element", event, true)),
    ),
    n: vectorFromArray([1, 2, 3], new Int32()),
  });
  const read = decodeParquet(encodeParquet(table), "test");
  assertEquals(read.schema.fields.map(({ name, type }) => [name, String(type)]), [
    ["nanos", MICROS],
    ["millis", MICROS],
    ["micros", MICROS],
    ["events", `List<Struct<{at:${MICROS}, n:Int32}>>`],
    ["n", "Int32"],
  ]);
  for (const name of ["nanos", "millis", "micros"]) assertEquals([...read.getChild(name)!], times, name);
  const events = [...read.getChild("events")!].map((list) => [...list].map((item) => [item.at, item.n]));
  assertEquals(events, [[[times[0], 1], [null, 2]], [], [[times[2], 3]]]);
  assertEquals(decodeParquet(encodeParquet(read), "test").schema.toString(), read.schema.toString());
});

Deno.test("a time before 1970 is rounded down", () => {
  const values = BigInt64Array.of(-1n, -1_000n, 1_999n);
  const nanos = vectorFromArray([0, 0, 0], new TimestampNanosecond());
  (nanos.data[0]!.values as BigInt64Array).set(values);
  const read = decodeParquet(encodeParquet(new Table({ nanos })), "test");
  assertEquals([...read.getChild("nanos")!.data[0]!.values as BigInt64Array], [-1n, -1n, 1n]);
});
