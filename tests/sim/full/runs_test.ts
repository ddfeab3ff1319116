import { assert, assertEquals } from "@std/assert";
import { runSeeds } from "../runner.ts";

const RUNS = 5_000;

Deno.test(`${RUNS} simulated runs end with every session once in both sinks`, async () => {
  const { failed, runs, processes } = await runSeeds({
    seed: 1_000_000,
    runs: RUNS,
    threads: navigator.hardwareConcurrency,
  });
  assertEquals(failed.map(({ seed, failures }) => ({ seed, failures })), []);
  assertEquals(runs, RUNS);
  assert(processes > 2 * RUNS, "most runs have a crash");
});
