/** A fast share of the simulation; `deno task test:sim` runs the rest. */
import { assertEquals } from "@std/assert";
import { MUTATIONS } from "./mutations.ts";
import { copyProgram } from "./program.ts";
import { runSeeds } from "./runner.ts";

const RUNS = 100;

Deno.test("simulated runs with crashes, lost answers and rebalances end with every session once in both sinks", async () => {
  const { failed, runs } = await runSeeds({ seed: 1, runs: RUNS, threads: 2 });
  assertEquals(failed.map(({ seed, failures }) => ({ seed, failures })), []);
  assertEquals(runs, RUNS);
});

Deno.test("a seed gives the same run each time, down to every message", async () => {
  const run = async () => (await runSeeds({ seed: 7, runs: 2, threads: 1, trace: true })).traced;
  assertEquals(await run(), await run());
});

Deno.test("every mutation still fits the program's text", async () => {
  for (const mutation of MUTATIONS) await (await copyProgram(mutation)).remove();
});
