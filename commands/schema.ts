/** `sessionary schema`: the three contracts, as other programs read them. */
import { assertNever } from "../schema/errors.ts";
import { UserEventSchema } from "../schema/event_contract.ts";
import { SESSION_SCHEMA_STRING } from "../sinks/lake/delta_schema.ts";
import { clickhouseSchema } from "../sinks/warehouse/migrations.ts";
import type { CommandContext } from "./context.ts";

/** What `sessionary schema` prints. */
export type SchemaName = "event" | "delta" | "clickhouse";

/** Prints the JSON Schema of events, the Delta table's schema, or ClickHouse's DDL. */
export function showSchema(name: SchemaName, context: CommandContext): void {
  switch (name) {
    case "event":
      return context.print(JSON.stringify(UserEventSchema, null, 2));
    case "delta":
      return context.print(JSON.stringify(JSON.parse(SESSION_SCHEMA_STRING), null, 2));
    case "clickhouse":
      return context.print(clickhouseSchema().trimEnd());
    default:
      return assertNever(name);
  }
}
