/** The harness's side of the process that produces. */
import type { CrashFeedCounts } from "./crash_feed.ts";
import type { ProducerOptions } from "./producer_main.ts";

/** A process of `producer_main.ts`. */
export class ProducerProcess {
  readonly #process: Deno.ChildProcess;
  readonly #lines: ReadableStreamDefaultReader<string>;
  #rest = "";

  constructor(options: ProducerOptions) {
    const main = new URL("./producer_main.ts", import.meta.url).pathname;
    this.#process = new Deno.Command(Deno.execPath(), {
      args: ["run", "-q", "--no-prompt", "-P=services", main, JSON.stringify(options)],
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#lines = this.#process.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** Resolves when the sessions that stay open are in the log. */
  async opened(): Promise<CrashFeedCounts> {
    return await this.#line();
  }

  /** Stops it in order; what it has produced, whose truth is now whole. */
  async stop(): Promise<CrashFeedCounts> {
    this.#process.kill("SIGTERM");
    const counts = await this.#line();
    const { code } = await this.#process.status;
    if (code !== 0) throw new Error(`The producer ended with ${code}.`);
    return counts;
  }

  /** Ends it, if it has not ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.#process.status;
    await this.#lines.cancel();
  }

  async #line(): Promise<CrashFeedCounts> {
    while (!this.#rest.includes("\n")) {
      const { value, done } = await this.#lines.read();
      if (done) throw new Error("The producer ended by itself: its own words are above.");
      this.#rest += value;
    }
    const [line, ...rest] = this.#rest.split("\n");
    this.#rest = rest.join("\n");
    return JSON.parse(line!);
  }
}
