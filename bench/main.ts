/**
 * `deno task bench [SUITE…]`: measures the program on this machine, each figure beside its target and its ceiling; prints
 * tables, and writes a JSON file and an HTML report. `deno task bench compare A.json B.json` puts two runs side by side.
 */
import { CommanderError } from "commander";
import { formatTable } from "../commands/terminal.ts";
import { systemClock } from "../actors/clock.ts";
import { compareRuns, comparisonRows } from "./compare.ts";
import { embeddedClickHouseVersion, surroundings } from "./machine.ts";
import { parseRequest, type Request } from "./options.ts";
import type { Run, SuiteResult } from "./record.ts";
import { readPlotLibrary, renderHtml } from "./report_html.ts";
import { formatSuite, formatSurroundings } from "./report_text.ts";
import { DEFAULT_SUITES, runSuite, SUITES } from "./suites.ts";
import { EmbeddedWorld, type World } from "./world.ts";

const RESULTS = decodeURIComponent(new URL("./results", import.meta.url).pathname);
const [FAILED, WRONG_USE] = [1, 2];

async function readRun(path: string): Promise<Run> {
  const run: Run = JSON.parse(await Deno.readTextFile(path));
  if (run.format !== 1) {
    throw new Error(`${path} must be a run of this program: its format is ${run.format}.`);
  }
  return run;
}

async function compare(before: string, after: string): Promise<void> {
  const runs = await Promise.all([readRun(before), readRun(after)]);
  for (const { surroundings } of runs) console.log(formatSurroundings(surroundings));
  const columns = ["suite", "figure", "unit", "before", "after", "after ÷ before", ""];
  console.log(formatTable({ columns, rows: comparisonRows(compareRuns(...runs)) }));
}

/** Runs the suites over the world, and writes what came out. Returns whether nothing went wrong. */
async function measure(
  request: Extract<Request, { kind: "run" }>,
  world: World,
  folder: string,
): Promise<boolean> {
  const chosen = request.suites.length === 0
    ? DEFAULT_SUITES
    : SUITES.filter(({ name }) => request.suites.includes(name));
  const { events, hours, rate } = request.options;
  const settings = { events: String(events), hours: String(hours), rate: String(rate), over: world.over };
  const clickhouse = await embeddedClickHouseVersion(`${folder}/version`);
  const where = await surroundings(settings, { clickhouse });
  console.log(`${formatSurroundings(where)}\n`);
  const results: SuiteResult[] = [];
  for (const suite of chosen) {
    const started = systemClock.monotonic();
    const result = await runSuite(suite, world, request.options);
    console.log(formatSuite(result));
    console.error(`${suite.name} took ${Math.round((systemClock.monotonic() - started) / 1_000)} s\n`);
    results.push(result);
  }
  const run: Run = { format: 1, surroundings: where, suites: results };
  await Deno.mkdir(RESULTS, { recursive: true });
  const json = request.json ?? `${RESULTS}/${where.startedAt.replaceAll(":", "-")}.json`;
  const html = request.html ?? json.replace(/(\.json)?$/, ".html");
  await Deno.writeTextFile(json, `${JSON.stringify(run, null, 2)}\n`);
  await Deno.writeTextFile(html, renderHtml(run, await readPlotLibrary()));
  console.log(`${json}\n${html}`);
  return results.every(({ faults }) => faults.length === 0);
}

/** Services need permissions to run what they are built and run with: Java, Go, Python. */
async function againWithServices(): Promise<number> {
  if ((await Deno.permissions.query({ name: "net" })).state === "granted") return -1;
  const config = decodeURIComponent(new URL("../deno.json", import.meta.url).pathname);
  const script = decodeURIComponent(new URL(import.meta.url).pathname);
  const args = ["run", "-q", "--no-prompt", `--config=${config}`, "-P=services", script, ...Deno.args];
  return (await new Deno.Command(Deno.execPath(), { args }).spawn().status).code;
}

async function main(): Promise<number> {
  const request = parseRequest(Deno.args, SUITES.map(({ name }) => name));
  if (request.kind === "compare") {
    await compare(request.before, request.after);
    return 0;
  }
  if (request.services) {
    const code = await againWithServices();
    if (code >= 0) return code;
  }
  const folder = await Deno.makeTempDir({ prefix: "sessionary-bench-" });
  try {
    if (!request.services) return await measure(request, new EmbeddedWorld(folder), folder) ? 0 : FAILED;
    const { ServicesWorld } = await import("./services_world.ts");
    await using world = await ServicesWorld.start(folder);
    return await measure(request, world, folder) ? 0 : FAILED;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

try {
  Deno.exit(await main());
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  Deno.exit(error.exitCode === 0 ? 0 : WRONG_USE);
}
