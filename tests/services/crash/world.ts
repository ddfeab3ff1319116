/** Instances of the program that share a topic, a table and a database on real services, and what must come of it. */
import { systemClock } from "../../../actors/clock.ts";
import { resolveConfig } from "../../../schema/config.ts";
import { runDeltaRs } from "../harness/delta_rs.ts";
import { runProgram, runProgramWhole, startProgram } from "../harness/program.ts";
import type { PipelineEnv, Stack } from "../harness/stack.ts";
import { Instance } from "./instance.ts";
import { SteadyProducer } from "./steady_producer.ts";

const COMPARE = new URL("../../oracle/compare_truth.py", import.meta.url).pathname;
export const PARTITIONS = 8;
/** How long the instances may take to begin, with whatever is to be kept open. */
const BEGIN_MS = 240_000;
const LOOK_MS = 200;

/** Percent of the readers' events. */
export interface Disorder {
  /** Sent after their session's end. */
  readonly late: number;
  readonly duplicates: number;
  readonly outOfOrder: number;
}

/** What is in the sinks at the end, and what is wrong with it. */
export interface Outcome {
  /** Records that were acknowledged, and those of them that are no event. */
  readonly produced: { readonly records: number; readonly bad: number };
  /** Sessions in the Delta table. */
  readonly rows: number;
  /** Those of them that late events replaced, once or more often. */
  readonly revised: number;
  readonly lost: number;
  readonly repeated: number;
  readonly unknown: number;
  readonly differing: number;
  /** Records, by the ledger. */
  readonly consumed: number;
  readonly deadLetters: number;
  /** Sentences; empty where all is right. */
  readonly problems: readonly string[];
}

export interface WorldOptions {
  readonly instances: number;
  readonly seed: number;
  /** Events a second. */
  readonly rate: number;
  /** Sessions that are opened first and stay open. */
  readonly open: number;
  readonly disorder: Disorder;
}

/** One pipeline on the services, what produces for it, and its instances. */
export class World implements AsyncDisposable {
  private constructor(
    private readonly stack: Stack,
    private readonly options: WorldOptions,
    readonly env: PipelineEnv,
    readonly instances: readonly Instance[],
    private readonly steady: SteadyProducer,
    private readonly readers: Deno.ChildProcess,
    private readonly truthPaths: { readonly open: string; readonly readers: string },
  ) {}

  /**
   * Resolves when the sessions that stay open are in the log and the readers begin; the instances are still to be
   * started.
   *
   * @param overrides of the instances' variables, by their number
   */
  static async start(
    stack: Stack,
    folder: string,
    options: WorldOptions,
    overrides: readonly PipelineEnv[] = [],
  ): Promise<World> {
    const { instances, seed, rate, open, disorder: { late, duplicates, outOfOrder } } = options;
    const env = {
      ...stack.newPipeline(`${folder}/0`),
      EPOCH_INTERVAL: "1s",
      REVISION_INTERVAL: "5s",
      // What is to stay open does, however long this takes; and the readers may be stopped by an outage for minutes.
      SESSION_TIMEOUT: "6h",
      ALLOWED_LATENESS: "4m",
      KAFKA_PARTITIONS: String(PARTITIONS),
    };
    const truthPaths = { open: `${folder}/open.json`, readers: `${folder}/readers.json` };
    const { config } = resolveConfig({ flags: {}, env });
    // Another seed than the readers: they would draw the same session ids.
    const steady = await SteadyProducer.start(config, open, seed + 1, truthPaths.open);
    const flags = { rate, seed, late, duplicates, "out-of-order": outOfOrder, truth: truthPaths.readers };
    const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, String(value)]);
    const readers = startProgram(["produce", ...args], { ...env, DATA_DIR: `${folder}/readers` }, {
      output: "null",
      yields: true,
    });
    const started = Array.from(
      { length: instances },
      (_, i) => new Instance(String(i), { ...env, DATA_DIR: `${folder}/${i}`, ...overrides[i] }),
    );
    return new World(stack, options, env, started, steady, readers, truthPaths);
  }

  /** Waits until every instance has landed events, and what stays open is open. */
  async begun(): Promise<void> {
    let open = 0;
    await this.until("the instances' first epochs", async () => {
      const metrics = await Promise.all(this.instances.map((instance) => instance.metrics()));
      open = metrics.reduce((sum, one) => sum + (one.get("sessionary_open_sessions") ?? 0), 0);
      return open >= this.options.open && this.instances.every(({ life }) => life.landedMs !== null);
    });
  }

  /** Waits for a condition; throws with what the instances last said where it does not come. */
  async until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
    const started = systemClock.monotonic();
    while (!await condition()) {
      if (systemClock.monotonic() - started > BEGIN_MS) {
        const said = this.instances.map(({ name, life }) => `Instance ${name} said:\n${life?.said}`);
        throw new Error(`Waited ${BEGIN_MS} ms for ${what}.\n${said.join("\n")}`);
      }
      await systemClock.sleep(LOOK_MS);
    }
  }

  /** Stops the producer, drains the instances, closes what is open, and looks at what there is. */
  async finish(say: (text: string) => void = () => {}): Promise<Outcome> {
    const problems: string[] = [];
    const produced = await this.#stopProducers();
    say(`The producer stopped after ${produced.records} records; the instances drain.`);
    for (const result of await Promise.allSettled(this.instances.map((instance) => instance.drain()))) {
      if (result.status === "rejected") problems.push(String(result.reason));
    }
    const { printed, said } = await runProgramWhole(["run", "--until-end", "--close-open"], this.env);
    if (said !== "") say(`The last run said:\n${said}${printed}`);
    const { consumed, deadLetters } = await this.#verify(problems);
    if (consumed !== produced.records) {
      problems.push(`${consumed} records were consumed, ${produced.records} produced.`);
    }
    if (deadLetters !== produced.bad) {
      problems.push(`${deadLetters} dead letters, ${produced.bad} bad records.`);
    }
    const compared = await this.#compare(problems);
    return { produced, consumed, deadLetters, ...compared, problems };
  }

  async #stopProducers(): Promise<Outcome["produced"]> {
    this.readers.kill("SIGTERM");
    const [{ records, bad }, { code }] = await Promise.all([this.steady.stop(), this.readers.status]);
    if (code !== 0) throw new Error(`The readers' producer ended with ${code}.`);
    const truth = await Deno.open(this.truthPaths.readers);
    for await (const text of truth.readable.pipeThrough(new TextDecoderStream())) {
      // The counts are in the file's first line.
      return { records: records + Number(/"records": *(\d+)/.exec(text)![1]), bad };
    }
    throw new Error("The readers' truth is empty.");
  }

  /** `verify`, whose findings are problems; what the ledger has. */
  async #verify(problems: string[]): Promise<{ consumed: number; deadLetters: number }> {
    const printed = await runProgram(["verify", "--json"], this.env).catch((error: Error) => {
      problems.push(error.message);
      return null;
    });
    if (printed === null) return { consumed: NaN, deadLetters: NaN };
    const { ledger } = JSON.parse(printed) as {
      ledger: { partitions: { ledger: { consumed: number; deadLetters: number } }[] };
    };
    const sum = (name: "consumed" | "deadLetters") =>
      ledger.partitions.reduce((total, { ledger }) => total + ledger[name], 0);
    return { consumed: sum("consumed"), deadLetters: sum("deadLetters") };
  }

  /** What delta-rs finds in the table, against the truth. */
  async #compare(problems: string[]) {
    const { readers, open } = this.truthPaths;
    const args = [this.stack.tableUri(this.env), readers, open];
    const printed = await runDeltaRs(COMPARE, args, this.stack.minio.credentials)
      .catch((error: Error) => error.message);
    const [, lost = NaN, repeated = NaN, unknown = NaN, differing = NaN, revised = NaN] =
      /^lost (\d+), repeated (\d+), unknown (\d+), differing (\d+); (\d+) revised/m.exec(printed)?.map(
        Number,
      ) ?? [];
    if (lost + repeated + unknown + differing !== 0) problems.push(printed);
    const rows = Number(/^(\d+) rows in the table/m.exec(printed)?.[1]);
    return { rows, revised, lost, repeated, unknown, differing };
  }

  /** Ends what still runs, however this ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.instances.map((instance) => instance.kill()));
    try {
      this.readers.kill("SIGKILL");
    } catch {
      // It has stopped in order.
    }
    await this.readers.status;
    await this.steady.stop().catch(() => {}); // The broker may be gone.
  }
}
