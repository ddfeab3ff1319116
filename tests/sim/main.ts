/** `deno task sim --seed N --runs M`: simulates, and replays a seed with its trace. */
import { parseArgs } from "node:util";
import { runSeeds } from "./runner.ts";

const { values } = parseArgs({
  args: Deno.args,
  options: {
    seed: { type: "string", default: "1" },
    runs: { type: "string", default: "1000" },
    threads: { type: "string", default: String(navigator.hardwareConcurrency) },
    trace: { type: "boolean", default: false },
  },
});

const [seed, runs, threads] = [values.seed, values.runs, values.threads].map(Number) as [
  number,
  number,
  number,
];
for (const number of [seed, runs, threads]) {
  if (!Number.isSafeInteger(number) || number < 1) {
    console.error(
      "Usage: deno task sim [--seed N] [--runs M] [--threads T] [--trace], each number 1 or more.",
    );
    Deno.exit(2);
  }
}
const started = performance.now();
const summary = await runSeeds({
  seed,
  runs,
  threads,
  trace: values.trace,
  onProgress: (done) => {
    if (done % 1_000 < 25) console.error(`${done} of ${runs} runs`);
  },
});
for (const { trace } of summary.traced) console.log(trace.join("\n"));
for (const failed of summary.failed) {
  console.log(`Seed ${failed.seed}:\n${failed.failures.join("\n")}`);
  console.log(`To see what happened: deno task sim --seed ${failed.seed} --runs 1 --trace`);
}
const seconds = (performance.now() - started) / 1_000;
const { steps, records, commits, processes } = summary;
console.log(
  `${summary.runs} runs in ${
    seconds.toFixed(1)
  } s: ${processes} processes, ${records} records, ${commits} commits, ` +
    `${steps} steps; ${summary.failed.length} failed.`,
);
Deno.exit(summary.failed.length === 0 ? 0 : 1);
