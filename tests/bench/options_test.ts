import { assertEquals, assertThrows } from "@std/assert";
import { parseRequest } from "../../bench/options.ts";

const SUITES = ["baseline", "query"];

Deno.test("Without arguments the default set runs; suites, sizes and files can be chosen", () => {
  assertEquals(parseRequest([], SUITES), {
    kind: "run",
    suites: [],
    options: { events: 1_000_000, hours: 1, rate: 10_000 },
    services: false,
    json: null,
    html: null,
  });
  assertEquals(parseRequest(["query", "--events", "5000", "--services", "--json", "a.json"], SUITES), {
    kind: "run",
    suites: ["query"],
    options: { events: 5_000, hours: 1, rate: 10_000 },
    services: true,
    json: "a.json",
    html: null,
  });
});

Deno.test("Two runs are compared by their files", () => {
  assertEquals(parseRequest(["compare", "a.json", "b.json"], SUITES), {
    kind: "compare",
    before: "a.json",
    after: "b.json",
  });
});

Deno.test("A suite that is not there and a size that is none are refused", () => {
  assertThrows(() => parseRequest(["nothing"], SUITES), Error, "baseline, query");
  for (const wrong of ["0", "1.5", "many", ""]) {
    assertThrows(() => parseRequest(["--events", wrong], SUITES), Error, "integer of at least 1000");
  }
});
