import { assert } from "@std/assert";
import { MUTATIONS } from "../mutations.ts";
import { runSeeds } from "../runner.ts";

/** Most are found within ten runs. */
const RUNS_MAX = 5_000;

for (const mutation of MUTATIONS) {
  Deno.test(`the simulation finds it when ${mutation.name}`, async () => {
    const threads = navigator.hardwareConcurrency;
    const { failed } = await runSeeds({ seed: 1, runs: RUNS_MAX, threads, mutation });
    assert(failed.length > 0, `${RUNS_MAX} runs went well although ${mutation.name}`);
  });
}
