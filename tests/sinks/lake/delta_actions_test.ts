import { assertEquals, assertThrows } from "@std/assert";
import { SinkError } from "../../../schema/errors.ts";
import {
  commitInfoOf,
  decodeDataPath,
  type DeltaAction,
  encodeDataPath,
  parseActions,
  serializeActions,
} from "../../../sinks/lake/delta_actions.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("actions are one JSON object a line, and are read back as they were written", () => {
  const actions: DeltaAction[] = [
    { commitInfo: { timestamp: 1, operation: "WRITE", txnId: "u" } },
    { txn: { appId: "web/clicks/0", version: 5, lastUpdated: 7 } },
    { remove: { path: "x\ny", dataChange: true } },
  ];
  const written = serializeActions(actions);
  assertEquals(new TextDecoder().decode(written).split("\n").length, 4);
  assertEquals(parseActions(written, "0.json"), actions);
  assertEquals(commitInfoOf(actions).txnId, "u");
  assertEquals(commitInfoOf([]), {});
});

Deno.test("actions of unknown kinds, unknown fields, null fields and empty lines are no error", () => {
  const text = '{"future":{"a":1}}\n\n{"txn":{"appId":"a","version":1,"new":2},"add":null}\n{"add":null}\n';
  assertEquals(parseActions(bytes(text), "0.json").length, 1);
});

Deno.test("a torn commit is a sentence with its file and line", () => {
  assertThrows(
    () => parseActions(bytes('{"txn":{"appId":"a","version":1}}\n{"ad'), "7.json"),
    SinkError,
    "line 2",
  );
  assertThrows(() => parseActions(bytes("null\n"), "7.json"), SinkError, "'7.json'");
});

Deno.test("paths are percent-encoded in the log, but for = and /", () => {
  const path = "session_date=2024-01-01/batch_1-ü %#?.parquet";
  assertEquals(encodeDataPath(path), "session_date=2024-01-01/batch_1-%C3%BC%20%25%23%3F.parquet");
  assertEquals(decodeDataPath(encodeDataPath(path)), path);
});

Deno.test("a path that is absolute or malformed is refused", () => {
  for (const path of ["s3://bucket/x.parquet", "/data/x.parquet", "file:/x", "100%.parquet"]) {
    assertThrows(() => decodeDataPath(path), SinkError, path);
  }
});
