/**
 * `deno task screenshots`: makes the README's pictures from the running program. With a folder as its argument it puts
 * every view there, wide and narrow, light and dark, with data, without, and with ClickHouse down, to be looked at.
 */
import { systemClock } from "../../actors/clock.ts";
import type { OpenSessions, Sessions } from "../../web/api_schema.ts";
import { hostileDeadLetters } from "../support/hostile_records.ts";
import { PageWorld, Program, until, Visit } from "../support/page_world.ts";
import { openBrowser } from "../support/chromium.ts";

const PICTURES = decodeURIComponent(new URL("../../web/pictures", import.meta.url).pathname);
const BYTES_MAX = 200 * 1024;
/** Long enough for the charts to have a shape. */
const RUN_MS = 75_000;

/** A picture of what stands behind the `#`. */
async function take(visit: Visit, hash: string, path: string, fullPage: boolean): Promise<void> {
  await visit.goTo(hash);
  await visit.page.waitForTimeout(2_500); // Charts and the first answers.
  await visit.page.screenshot({ path, fullPage, animations: "disabled" });
}

/** The views, those of single sessions by what the program has at present. */
async function viewsOf(world: { api<T>(path: string): Promise<T> }): Promise<Record<string, string>> {
  const { sessions: [open] } = await world.api<OpenSessions>("/api/open-sessions?limit=100");
  const { rows: [finished] } = await world.api<Sessions>("/api/sessions?limit=1");
  const session = (id: unknown) => `#/sessions/id/${encodeURIComponent(String(id))}`;
  return {
    flow: "#/flow",
    sessions: "#/sessions",
    ...(open === undefined ? {} : { open: session(open.sessionId) }),
    ...(finished === undefined ? {} : { finished: session(finished[0]) }),
    analytics: "#/analytics",
    table: "#/table",
  };
}

async function readmePictures(world: PageWorld): Promise<void> {
  await Deno.mkdir(PICTURES, { recursive: true });
  const shots: readonly (readonly [string, string, "light" | "dark", number])[] = [
    ["flow", "#/flow", "light", 900],
    ["flow-dark", "#/flow", "dark", 900],
    ["analytics", "#/analytics", "light", 900],
  ];
  for (const [name, hash, colorScheme, height] of shots) {
    await using visit = await world.visit({ colorScheme, viewport: { width: 1200, height } });
    const path = `${PICTURES}/${name}.png`;
    await take(visit, hash, path, false);
    const { size } = await Deno.stat(path);
    if (size > BYTES_MAX) {
      throw new Error(`A picture of the README is at most ${BYTES_MAX} bytes: ${path} has ${size}.`);
    }
    console.log(`${path}: ${size} bytes`);
  }
}

/** Every view in every look. */
async function allViews(
  folder: string,
  state: string,
  open: (options: Parameters<PageWorld["visit"]>[0]) => Promise<Visit>,
  views: Record<string, string>,
): Promise<void> {
  for (const colorScheme of ["light", "dark"] as const) {
    for (const width of [1440, 390]) {
      await using visit = await open({ colorScheme, viewport: { width, height: 900 } });
      for (const [name, hash] of Object.entries(views)) {
        await take(visit, hash, `${folder}/${name}-${state}-${colorScheme}-${width}.png`, true);
      }
      for (const fault of visit.faults) console.log(`${state}, ${colorScheme}, ${width}: ${fault}`);
    }
  }
}

async function emptyViews(folder: string): Promise<void> {
  const dataDir = await Deno.makeTempDir();
  const browser = await openBrowser();
  try {
    await using program = await Program.start(["run"], { DATA_DIR: dataDir });
    const views = { flow: "#/flow", sessions: "#/sessions", analytics: "#/analytics", table: "#/table" };
    const nobody = { ...views, nobody: "#/sessions/id/nobody" };
    await allViews(folder, "empty", (options) => Visit.open(browser, program.url, options), nobody);
  } finally {
    await browser.close();
    await Deno.remove(dataDir, { recursive: true });
  }
}

const [folder] = Deno.args;
await using world = await PageWorld.start({
  env: { EPOCH_INTERVAL: "3s" },
  args: ["--rate", "300"],
  records: hostileDeadLetters(),
});
await systemClock.sleep(RUN_MS);
if (folder === undefined) {
  await readmePictures(world);
} else {
  await Deno.mkdir(folder, { recursive: true });
  await allViews(folder, "data", (options) => world.visit(options), await viewsOf(world));
  const tables = { flow: "#/flow", sessions: "#/sessions" };
  world.proxy.setState("refuse");
  const down = async () =>
    (await world.api<{ sinks: { warehouse: { down: unknown } } }>("/api/status")).sinks.warehouse.down !==
      null;
  await until("ClickHouse to be down", down);
  await allViews(folder, "down", (options) => world.visit(options), tables);
  world.proxy.setState("up");
  await emptyViews(folder);
}
