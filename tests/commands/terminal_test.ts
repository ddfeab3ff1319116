import { assert, assertEquals, assertMatch } from "@std/assert";
import fc from "fast-check";
import type { EpochReport } from "../../actors/protocol.ts";
import {
  epochHeader,
  escapeControls,
  formatEpoch,
  formatSummary,
  formatTable,
} from "../../commands/terminal.ts";

const REPORT: EpochReport = {
  epoch: 12,
  version: 12,
  closedBy: "interval",
  sessions: 7,
  revisions: 0,
  events: 101,
  eventsPerSecond: 10.06,
  openSessions: 8,
  deadLetters: 0,
  commitMs: 16.4,
  insertMs: 91.6,
};

Deno.test("An epoch's line stands under its header, column by column", () => {
  assertEquals(
    [epochHeader(), formatEpoch(REPORT)],
    [
      " epoch  sessions   events/s      open    commit    insert  dead letters",
      "    12         7         10         8     16 ms     92 ms             0",
    ],
  );
});

Deno.test("An epoch's line says what is unusual: an insert that lags, another reason to close", () => {
  const line = formatEpoch({ ...REPORT, insertMs: null, closedBy: "drain", sessions: 1_234_567 });
  assertMatch(line, /1,234,567 .* later .* \(drain\)$/);
});

Deno.test("No text can move a terminal's cursor or turn its direction", () => {
  assertEquals(
    escapeControls("a\u001b[31mb\r\n\t\u009b\u202e\\é😀\ud800"),
    "a\\u001b[31mb\\r\\n\\t\\u009b\\u202e\\\\é😀\ufffd",
  );
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => {
    // deno-lint-ignore no-control-regex
    assert(!/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/.test(escapeControls(text)));
  }));
});

Deno.test("A table is aligned, numbers at the right, long cells cut, control characters escaped", () => {
  const table = formatTable({
    columns: ["name", "count", "list"],
    rows: [["a\nb", 7, ["x"]], ["é".repeat(70), "1234", null]],
  });
  const long = `${"é".repeat(59)}…`;
  assertEquals(table.split("\n"), [
    `name${" ".repeat(56)}  count  list`,
    `a\\nb${" ".repeat(56)}      7  ["x"]`,
    `${long}   1234`,
  ]);
});

Deno.test("A table without rows is its header", () => {
  assertEquals(formatTable({ columns: ["one", "two"], rows: [] }).split("\n")[0], "one  two");
});

Deno.test("The last line says what was done", () => {
  assertEquals(
    formatSummary({ epochs: 2, sessions: 1_500, events: 20_000, deadLetters: 0 }),
    "Stopped in order: 2 epochs, 1,500 sessions from 20,000 events, 0 dead letters.",
  );
});
