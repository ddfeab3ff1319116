/** The command line of the bench. Pure. */
import { Argument, Command, CommanderError, InvalidArgumentError } from "commander";
import type { BenchOptions } from "./world.ts";

/** What was asked for. */
export type Request =
  | { readonly kind: "compare"; readonly before: string; readonly after: string }
  | {
    readonly kind: "run";
    /** Empty: the default set. */
    readonly suites: readonly string[];
    readonly options: BenchOptions;
    readonly services: boolean;
    readonly json: string | null;
    readonly html: string | null;
  };

function number(least: number, whole: boolean): (written: string) => number {
  return (written) => {
    const value = Number(written);
    if (written.trim() !== "" && value >= least && (!whole || Number.isInteger(value))) return value;
    throw new InvalidArgumentError(`It must be ${whole ? "an integer" : "a number"} of at least ${least}.`);
  };
}

/**
 * Reads the arguments.
 *
 * @param suites the names that there are
 * @throws {CommanderError} for a wrong argument, and for `--help` after it was printed; its message says which
 */
export function parseRequest(args: readonly string[], suites: readonly string[]): Request {
  let request: Request | null = null;
  const program = new Command("bench").exitOverride().description("Measures the program on this machine.");
  program.command("run", { isDefault: true })
    .addArgument(
      new Argument("[suites...]", "what to measure; all but flat and endurance by default").choices([
        ...suites,
      ]),
    )
    .option("--events <n>", "events of one run", number(1_000, true), 1_000_000)
    .option("--hours <h>", "how long endurance takes", number(0.001, false), 1)
    .option("--rate <n>", "events a second of endurance", number(1, false), 10_000)
    .option("--services", "over a Kafka, a MinIO and a ClickHouse of its own", false)
    .option("--json <file>", "where to write the run; bench/results/<time>.json by default")
    .option("--html <file>", "where to write the report; beside the JSON by default")
    .action((names: string[], { services, json = null, html = null, events, hours, rate }) => {
      request = { kind: "run", suites: names, options: { events, hours, rate }, services, json, html };
    });
  program.command("compare <before> <after>")
    .description("two runs' JSON files side by side")
    .action((before: string, after: string) => {
      request = { kind: "compare", before, after };
    });
  program.parse([...args], { from: "user" });
  if (request === null) throw new CommanderError(2, "bench.nothing", "Nothing was asked for.");
  return request;
}
