/** Ten kills on real services; a hundred are `deno task crash`'s. */
import { assert, assertEquals } from "@std/assert";
import { runCrash } from "./crash/crash_run.ts";
import { formatReport } from "./crash/report.ts";

Deno.test("two instances that are killed ten times, and an object store that is killed under them, lose and repeat nothing", async () => {
  const report = await runCrash({
    kills: 10,
    seconds: 30,
    // The object store; a broker takes so long to start that hardly a kill would fall beside its outage.
    outages: 1,
    instances: 2,
    rate: 300,
    open: 500,
    seed: 5,
    disorder: { late: 5, duplicates: 5, outOfOrder: 5 },
  }, console.log);
  console.log(formatReport(report));
  const { lost, repeated, unknown, differing, problems, produced } = report;
  assertEquals({ lost, repeated, unknown, differing, problems }, {
    lost: 0,
    repeated: 0,
    unknown: 0,
    differing: 0,
    problems: [],
  });
  assertEquals([report.consumed, report.deadLetters], [produced.records, produced.bad]);
  // How many replays there was time to verify depends on the machine: `deno task crash` prints it.
  assert(report.rows > 500 && produced.bad > 0);
});
