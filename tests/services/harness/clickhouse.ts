/**
 * A ClickHouse over HTTP for the tests: the one that `CLICKHOUSE_URL` names, with `CLICKHOUSE_USER` and
 * `CLICKHOUSE_PASSWORD`, or else chDB behind the tests' own front (`clickhouse_front.ts`: the real engine, a thin wire).
 */
import { httpAccess, type HttpOptions } from "../../../sinks/warehouse/clickhouse_access.ts";
import type { FrontOptions, FrontReady } from "./clickhouse_front.ts";

const ROOT = decodeURIComponent(new URL("../../..", import.meta.url).pathname);
const FRONT = decodeURIComponent(new URL("./clickhouse_front.ts", import.meta.url).pathname);

/** Where a ClickHouse is, and who may use it. */
export interface ClickHouseServer extends AsyncDisposable {
  /** Without a slash at its end. */
  readonly url: string;
  readonly user: string;
  readonly password: string;
}

/** The server that the environment names, or a front. */
export async function openClickHouse(): Promise<ClickHouseServer> {
  const url = Deno.env.get("CLICKHOUSE_URL");
  if (!url) return await ClickHouseFront.start();
  return {
    url: url.replace(/\/+$/, ""),
    user: Deno.env.get("CLICKHOUSE_USER") || "default",
    password: Deno.env.get("CLICKHOUSE_PASSWORD") ?? "",
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** A name for a database that no test has used, on whatever server. */
export function newDatabase(): string {
  return `sessionary_test_${crypto.randomUUID().replaceAll("-", "_")}`;
}

/** How the warehouse reaches a database of the server. */
export function optionsOf({ url, user, password }: ClickHouseServer, database: string): HttpOptions {
  return { url, user, password, database, requestTimeoutMs: 60_000 };
}

/** Removes what a test has made; a database that was never made is no error. */
export async function dropDatabase(server: ClickHouseServer, database: string): Promise<void> {
  await using outside = httpAccess(optionsOf(server, "default")).client;
  await outside.command({ query: `DROP DATABASE IF EXISTS ${database} SYNC` });
}

/** chDB behind HTTP, in a process that the tests may stop, kill and start again on the same folder and port. */
export class ClickHouseFront implements ClickHouseServer {
  readonly user = "reader";
  readonly password = "correct horse: battery";
  #port = 0;
  #running: RunningFront | null = null;

  private constructor(private readonly root: string) {}

  /** Starts one on a folder of its own. */
  static async start(): Promise<ClickHouseFront> {
    const front = new ClickHouseFront(await Deno.makeTempDir({ prefix: "clickhouse-front-" }));
    try {
      await front.start();
    } catch (error) {
      await front[Symbol.asyncDispose]();
      throw error;
    }
    return front;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Starts it again after {@linkcode stop} or {@linkcode kill}. */
  async start(): Promise<void> {
    const options: FrontOptions = {
      folder: `${this.root}/data`,
      port: this.#port,
      user: this.user,
      password: this.password,
    };
    const running = new RunningFront();
    this.#running = running;
    const ready = await running.open(options);
    if ("failure" in ready) {
      await this.kill();
      throw new Error(
        `The tests' ClickHouse front did not start (${ready.failure}): mend that, or name a server in CLICKHOUSE_URL.`,
      );
    }
    this.#port = ready.port;
  }

  /** Ends it in order. */
  async stop(): Promise<void> {
    await this.#end("SIGTERM");
  }

  /** Ends it at once, whatever it does. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await Deno.remove(this.root, { recursive: true });
  }

  async #end(signal: Deno.Signal): Promise<void> {
    await this.#running?.end(signal);
    this.#running = null;
  }
}

/** The front's process. */
class RunningFront {
  readonly #process = new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "--no-prompt", `--config=${ROOT}deno.json`, "-P=test", FRONT],
    stdin: "piped",
    stdout: "piped",
    stderr: "null", // The engine's own log.
  }).spawn();
  /** Open as long as the front is to run: it ends with its input, also when the tests are killed. */
  readonly #input = this.#process.stdin.getWriter();
  readonly #output = this.#process.stdout.getReader();

  async open(options: FrontOptions): Promise<FrontReady> {
    await this.#input.write(new TextEncoder().encode(`${JSON.stringify(options)}\n`));
    const decoder = new TextDecoder();
    let text = "";
    while (!text.includes("\n")) {
      const { value, done } = await this.#output.read();
      if (done) return { failure: "it ended without a word" };
      text += decoder.decode(value, { stream: true });
    }
    return JSON.parse(text.split("\n", 1)[0]!);
  }

  async end(signal: Deno.Signal): Promise<void> {
    try {
      this.#process.kill(signal);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // It has ended by itself.
    }
    await this.#process.status;
    await this.#output.cancel();
    await this.#input.abort().catch(() => {}); // The pipe is broken: its reader is gone.
  }
}
