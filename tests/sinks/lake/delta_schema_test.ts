import { assertEquals, assertMatch } from "@std/assert";
import { SESSION_COLUMNS } from "../../../schema/session.ts";
import { arrowSchema } from "../../../sinks/lake/arrow.ts";
import {
  appendFlaw,
  type DeltaField,
  type DeltaSchema,
  deltaSchema,
  SESSION_SCHEMA_STRING,
} from "../../../sinks/lake/delta_schema.ts";

const OURS = deltaSchema(SESSION_COLUMNS);

function changed(name: string, change: Partial<DeltaField>): DeltaSchema {
  return {
    ...OURS,
    fields: OURS.fields.map((field) => (field.name === name ? { ...field, ...change } : field)),
  };
}

Deno.test("the schemaString has every session column in order, and the partition column", () => {
  const { type, fields } = JSON.parse(SESSION_SCHEMA_STRING) as DeltaSchema;
  assertEquals(type, "struct");
  assertEquals(fields.map(({ name }) => name), [...SESSION_COLUMNS.map(({ name }) => name), "session_date"]);
  assertEquals(fields.at(-1), { name: "session_date", type: "date", nullable: false, metadata: {} });
  assertEquals(fields.find(({ name }) => name === "user_id")!.type, "long");
  assertEquals(fields.find(({ name }) => name === "session_start")!.type, "timestamp");
  assertEquals(fields.find(({ name }) => name === "total_events")!.type, "integer");
});

Deno.test("the Arrow fields have the names, order and nullability of the Delta fields", () => {
  assertEquals(
    arrowSchema(SESSION_COLUMNS).fields.map(({ name, nullable }) => [name, nullable]),
    OURS.fields.slice(0, -1).map(({ name, nullable }) => [name, nullable]),
  );
});

Deno.test("a table with more columns takes our rows where those may be null", () => {
  const added = { name: "extra", type: "string", nullable: true, metadata: {} };
  assertEquals(appendFlaw(OURS, OURS), null);
  assertEquals(appendFlaw(OURS, { ...OURS, fields: [...OURS.fields, added] }), null);
  const required = { ...OURS, fields: [...OURS.fields, { ...added, nullable: false }] };
  assertMatch(appendFlaw(OURS, required)!, /needs a value in the column 'extra'/);
});

Deno.test("a table whose columns differ does not take our rows, and the reason names the column", () => {
  const without = { ...OURS, fields: OURS.fields.filter(({ name }) => name !== "brand") };
  assertEquals(appendFlaw(OURS, without), "has no column 'brand' (string)");
  assertEquals(
    appendFlaw(OURS, changed("user_id", { type: "integer" })),
    "has the column 'user_id' as integer, not long",
  );
  assertEquals(
    appendFlaw(OURS, changed("brand", { nullable: false })),
    "does not allow null in the column 'brand'",
  );
  assertEquals(
    appendFlaw(
      OURS,
      changed("page_events", { type: { type: "array", elementType: "string", containsNull: true } }),
    ),
    "has the column 'page_events' as array<string>, not " +
      "array<struct<timestamp:timestamp,event_type:string,page_url:string,article_id:string>>",
  );
  assertMatch(
    appendFlaw(OURS, changed("brand", { metadata: { "delta.invariants": "{}" } }))!,
    /delta\.invariants/,
  );
});
