/** Instances of the program that share a topic, a table and a database on real services, and what must come of it. */
import { systemClock } from "../../../actors/clock.ts";
import { runDeltaRs } from "../harness/delta_rs.ts";
import { runProgram } from "../harness/program.ts";
import type { PipelineEnv, Stack } from "../harness/stack.ts";
import type { CrashFeedCounts, Disorder } from "./crash_feed.ts";
import { Instance } from "./instance.ts";
import { ProducerProcess } from "./producer.ts";

const COMPARE = new URL("../../oracle/compare_truth.py", import.meta.url).pathname;
export const PARTITIONS = 8;
/** How long the instances may take to begin, with whatever is to be kept open. */
const BEGIN_MS = 240_000;
const LOOK_MS = 200;

/** What is in the sinks at the end, and what is wrong with it. */
export interface Outcome {
  readonly produced: CrashFeedCounts;
  /** Sessions in the Delta table. */
  readonly rows: number;
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

/** One pipeline on the services, its producer and its instances. */
export class World implements AsyncDisposable {
  readonly instances: readonly Instance[];
  readonly env: PipelineEnv;
  readonly #truthPath: string;
  readonly #producer: ProducerProcess;

  /** @param overrides of the instances' variables, by their number */
  constructor(
    private readonly stack: Stack,
    folder: string,
    private readonly options: WorldOptions,
    overrides: readonly PipelineEnv[] = [],
  ) {
    const { instances, seed, rate, open, disorder } = options;
    const truthPath = `${folder}/truth.json`;
    this.#truthPath = truthPath;
    const env = {
      ...stack.newPipeline(`${folder}/0`),
      EPOCH_INTERVAL: "1s",
      REVISION_INTERVAL: "5s",
      // What is to stay open does, however long this takes.
      SESSION_TIMEOUT: "6h",
      KAFKA_PARTITIONS: String(PARTITIONS),
    };
    this.env = env;
    this.instances = Array.from(
      { length: instances },
      (_, i) => new Instance(String(i), { ...env, DATA_DIR: `${folder}/${i}`, ...overrides[i] }),
    );
    this.#producer = new ProducerProcess({ env, seed, rate, open, disorder, truthPath });
  }

  /** Resolves when the sessions that stay open are in the log. */
  async opened(): Promise<CrashFeedCounts> {
    return await this.#producer.opened();
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
    const produced = await this.#producer.stop();
    say(`The producer stopped after ${produced.records} records; the instances drain.`);
    const running = this.instances.filter(({ isRunning }) => isRunning);
    for (const result of await Promise.allSettled(running.map((instance) => instance.drain()))) {
      if (result.status === "rejected") problems.push(String(result.reason));
    }
    await runProgram(["run", "--until-end", "--close-open"], this.env);
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

  /** delta-rs's rows against the truth. Whether what came late found its row committed is chance, so `revision` is left out. */
  async #compare(problems: string[]) {
    const args = [this.stack.tableUri(this.env), this.#truthPath, "revision"];
    const printed = await runDeltaRs(COMPARE, args, this.stack.minio.credentials)
      .catch((error: Error) => error.message);
    const [, lost = NaN, repeated = NaN, unknown = NaN, differing = NaN] =
      /^lost (\d+), repeated (\d+), unknown (\d+), differing (\d+)$/m.exec(printed)?.map(Number) ?? [];
    if (lost + repeated + unknown + differing !== 0) problems.push(printed);
    const rows = Number(/^(\d+) rows in the table/m.exec(printed)?.[1]);
    return { rows, lost, repeated, unknown, differing };
  }

  /** Ends what still runs, however this ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.instances.map((instance) => instance.kill()));
    await this.#producer[Symbol.asyncDispose]();
  }
}
