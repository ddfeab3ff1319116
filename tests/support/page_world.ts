/**
 * The program and a reader of its page: `dev` in a process of its own over a ClickHouse that can fall, and a browser
 * that notes everything a page must not do.
 */
import { assertEquals } from "@std/assert";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { systemClock } from "../../actors/clock.ts";
import { resolveConfig } from "../../schema/config.ts";
import { openProducer } from "../../sources/open.ts";
import type { ProducedRecord } from "../../sources/source.ts";
import { ClickHouseFront } from "../services/harness/clickhouse.ts";
import { HttpFaultProxy } from "../services/harness/fault_proxy.ts";
import { openBrowser } from "./chromium.ts";

const ROOT = decodeURIComponent(new URL("../..", import.meta.url).pathname);
const PATIENCE_MS = 60_000;
const POLL_MS = 50;

/** What the program runs with, besides the world's own. */
export interface WorldOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
  /** In the log before the program starts. */
  readonly records?: readonly ProducedRecord[];
}

/** Waits until `ask` gives something that is not null or false. */
export async function until<T>(what: string, ask: () => Promise<T | null | false>): Promise<T> {
  const start = systemClock.monotonic();
  for (;;) {
    const answer = await ask();
    if (answer !== null && answer !== false) return answer;
    if (systemClock.monotonic() - start > PATIENCE_MS) {
      throw new Error(`Waited ${PATIENCE_MS} ms for ${what}.`);
    }
    await systemClock.sleep(POLL_MS);
  }
}

/** Puts records into the embedded log of `dataDir`. */
async function fill(dataDir: string, records: readonly ProducedRecord[]): Promise<void> {
  const { config } = resolveConfig({ flags: {}, env: { DATA_DIR: dataDir } });
  const producer = await openProducer(config, systemClock);
  try {
    await producer.send(records);
  } finally {
    await producer.close();
  }
}

/** A running program. */
export class Program implements AsyncDisposable {
  private constructor(
    private readonly process: Deno.ChildProcess,
    private readonly output: Promise<string>,
    readonly url: string,
  ) {}

  /** Starts `main.ts args`, and waits until it says where its page is. */
  static async start(args: readonly string[], env: Readonly<Record<string, string>>): Promise<Program> {
    const process = new Deno.Command(Deno.execPath(), {
      args: ["run", "-q", "--no-prompt", `--config=${ROOT}deno.json`, "-P=dev", `${ROOT}main.ts`, ...args],
      env: { HTTP_PORT: "0", ...env },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const problems = new Response(process.stderr).text();
    const found = Promise.withResolvers<string>();
    const output = (async () => {
      let text = "";
      for await (const chunk of process.stdout.pipeThrough(new TextDecoderStream())) {
        text += chunk;
        const url = /^ *Web +(http:\S+)/m.exec(text)?.[1];
        if (url !== undefined) found.resolve(url);
      }
      found.reject(new Error(`${args[0]} said nothing of its page: ${text}${await problems}`));
      return text;
    })();
    return new Program(process, output, await found.promise);
  }

  /** Ends it in order. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.process.kill("SIGTERM");
    await this.process.status;
    await this.output;
  }
}

/** A page, and what went wrong on it. */
export class Visit implements AsyncDisposable {
  /** Console errors, exceptions, dialogs, policy violations and requests to other hosts. */
  readonly faults: string[] = [];

  private constructor(readonly page: Page, private readonly url: string) {}

  /** Opens a page that has nothing in it yet. */
  static async open(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<Visit> {
    const context = await browser.newContext({
      locale: "en-GB",
      viewport: { width: 1440, height: 900 },
      ...options,
    });
    const page = await context.newPage();
    const visit = new Visit(page, url);
    const fault = (text: string) => void visit.faults.push(text);
    page.on("console", (message) => message.type() === "error" && fault(`console: ${message.text()}`));
    page.on("pageerror", (error) => fault(`exception: ${error.message}`));
    page.on("dialog", (dialog) => {
      fault(`dialog: ${dialog.message()}`);
      dialog.dismiss();
    });
    page.on(
      "request",
      (request) => request.url().startsWith(`${url}/`) || fault(`request: ${request.url()}`),
    );
    await page.exposeFunction("noteViolation", (text: string) => fault(`policy: ${text}`));
    await page.addInitScript(
      "document.addEventListener('securitypolicyviolation', (e) => noteViolation(e.violatedDirective + ' ' + e.blockedURI))",
    );
    return visit;
  }

  /** Goes to what stands behind the `#`, and waits until nothing of the view before it is left. */
  async goTo(hash: string): Promise<void> {
    await this.page.goto(`${this.url}/${hash}`);
    // Another route of the same page is drawn in the frame after the page has heard of it.
    await this.page.evaluate(
      "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))",
    );
  }

  /** The text of the element, once it is there. */
  async text(selector: string): Promise<string> {
    return await this.page.locator(selector).first().innerText();
  }

  /** Waits until the page's text has `text`. */
  async waitFor(text: string | RegExp): Promise<void> {
    await this.page.getByText(text).first().waitFor({ timeout: PATIENCE_MS });
  }

  assertFaultless(): void {
    assertEquals(this.faults, []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.page.context().close();
  }
}

/** All of it, for one file of tests. */
export class PageWorld implements AsyncDisposable {
  private constructor(
    readonly browser: Browser,
    readonly clickhouse: ClickHouseFront,
    readonly proxy: HttpFaultProxy,
    readonly program: Program,
    private readonly folder: string,
  ) {}

  /** Starts ClickHouse, the program over it, and a browser. */
  static async start({ env = {}, args = [], records = [] }: WorldOptions): Promise<PageWorld> {
    const folder = await Deno.makeTempDir({ prefix: "sessionary-page-" });
    const [browser, clickhouse] = await Promise.all([openBrowser(), ClickHouseFront.start()]);
    const { hostname, port } = new URL(clickhouse.url);
    const proxy = new HttpFaultProxy({ hostname, port: Number(port) });
    const dataDir = `${folder}/data`;
    await Deno.mkdir(dataDir);
    if (records.length > 0) await fill(dataDir, records);
    const { user, password } = clickhouse;
    const program = await Program.start(["dev", ...args], {
      DATA_DIR: dataDir,
      CLICKHOUSE_URL: proxy.url,
      CLICKHOUSE_USER: user,
      CLICKHOUSE_PASSWORD: password,
      ...env,
    });
    return new PageWorld(browser, clickhouse, proxy, program, folder);
  }

  /** A visit of the program's page. */
  visit(options: BrowserContextOptions = {}): Promise<Visit> {
    return Visit.open(this.browser, this.program.url, options);
  }

  /** An answer of the API. */
  async api<T>(path: string): Promise<T> {
    const response = await fetch(`${this.program.url}${path}`);
    const body = await response.json();
    assertEquals(response.status, 200, JSON.stringify(body));
    return body;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program[Symbol.asyncDispose]();
    await this.browser.close();
    await this.proxy[Symbol.asyncDispose]();
    await this.clickhouse[Symbol.asyncDispose]();
    await Deno.remove(this.folder, { recursive: true });
  }
}
