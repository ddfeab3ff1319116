/** `deno task crash`: kills instances of the program on real services, and proves that nothing is lost or repeated. */
import { Command, InvalidArgumentError } from "commander";
import { type CrashOptions, runCrash } from "./crash_run.ts";
import { formatReport } from "./report.ts";

function number(text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && value >= 0) return value;
  throw new InvalidArgumentError("It must be a number, 0 or more.");
}

interface Flags extends Omit<CrashOptions, "seconds" | "disorder"> {
  readonly minutes: number;
  readonly late: number;
  readonly duplicates: number;
  readonly outOfOrder: number;
}

const flags = new Command("crash").description("Kills instances of the program on real services.")
  .option("--kills <n>", "kill −9s of instances", number, 100)
  .option("--rate <n>", "events a second", number, 5_000)
  .option("--instances <n>", "instances that share the topic", number, 2)
  .option("--seed <n>", "seed of readers, victims and moments", number, 1)
  .option("--open <n>", "sessions that stay open all the time", number, 0)
  .option("--minutes <n>", "over which the kills are spread", number, 18)
  .option("--outages <n>", "kills of object store and broker, by turns", number, 4)
  .option("--late <percent>", "events that come after their session's end", number, 5)
  .option("--duplicates <percent>", "events that come twice", number, 5)
  .option("--out-of-order <percent>", "events with a time before that of an earlier one", number, 5)
  .parse(["deno", "crash", ...Deno.args]).opts<Flags>();

const { minutes, late, duplicates, outOfOrder, ...others } = flags;
const disorder = { late, duplicates, outOfOrder };
console.log(`crash ${JSON.stringify(flags)}`);
const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.addSignalListener(signal, () => stop.abort(new Error(`${signal}: stopped before the end.`)));
}
const options = { ...others, seconds: minutes * 60, disorder };
const report = await runCrash(options, (text) => console.log(text), stop.signal);
console.log(formatReport(report));
Deno.exit(report.problems.length > 0 ? 1 : 0); // A listener of signals would keep it alive.
