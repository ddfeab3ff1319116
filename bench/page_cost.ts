/**
 * `deno task bench:page [EVENTS] [ROUNDS]`: what three viewers of the page cost a pipeline at full speed. Each round runs
 * the program over the same events with viewers and without, in turns; a viewer asks what a view of the page asks, as often.
 * The machine's noise is in the wall clock, less so in the CPU time for each event: both are printed.
 */
import { systemClock } from "../actors/clock.ts";
import { type Config, resolveConfig } from "../schema/config.ts";
import { dataPaths } from "../schema/data_paths.ts";
import { openProducer } from "../sources/open.ts";
import { produce } from "../sources/produce.ts";
import { SimulatedFeed } from "../sources/simulated_feed.ts";
import { Simulator, virtualTimeline } from "../sources/simulator.ts";
import { ageToAskAgain } from "../web/page/loaded.ts";

const EVENTS_DEFAULT = 4_000_000;
const ROUNDS_DEFAULT = 6;
const ROOT = decodeURIComponent(new URL("..", import.meta.url).pathname);

const ANALYTICS = ["session_summary", "brand_analytics", "device_analytics", "geographic_analytics"]
  .concat("subscription_analytics", "page_analytics");

/** What each view asks when something was written; all of them follow the live stream. One viewer a view. */
const VIEWS: readonly (readonly string[])[] = [
  ["/api/sessions?limit=25"],
  ANALYTICS.map((name) => `/api/analytics/${name}?limit=10`),
  ["/api/table", "/api/table/versions?limit=20", "/api/dead-letters?limit=20"],
];

interface Outcome {
  readonly eventsPerSecond: number;
  /** Of the whole process, microseconds. */
  readonly cpuPerEvent: number;
  /** What the viewers got. */
  readonly answers: number;
}

async function fill(config: Config, events: number): Promise<void> {
  const { timeline, readers } = virtualTimeline(events, systemClock.now());
  const producer = await openProducer(config, systemClock);
  const feed = new SimulatedFeed(new Simulator({ seed: 1, timeline, readers }), { events });
  const { monotonic: now, sleep } = systemClock;
  await produce({ feed, producer, rate: "max", now, sleep });
  await producer.close();
}

/** What a view asks again and again; times in milliseconds. */
interface Question {
  readonly path: string;
  stamp: string;
  askedAt: number;
  took: number;
  waiting: boolean;
}

function questionOf(path: string): Question {
  return { path, stamp: "", askedAt: -Infinity, took: 0, waiting: false };
}

/** Does what an open page does until `signal` aborts; answers are read to their end. */
async function view(
  url: string,
  paths: readonly string[],
  signal: AbortSignal,
  got: () => void,
): Promise<void> {
  const followed = paths.map(questionOf);
  const open = questionOf("/api/open-sessions?limit=20");
  const ask = async (question: Question) => {
    question.waiting = true;
    question.askedAt = systemClock.monotonic();
    const response = await fetch(`${url}${question.path}`, { signal });
    await response.body?.pipeTo(new WritableStream());
    question.took = systemClock.monotonic() - question.askedAt;
    question.waiting = false;
    if (response.ok) got();
  };
  const live = await fetch(`${url}/api/live`, { signal });
  let written = "";
  for await (const text of live.body!.pipeThrough(new TextDecoderStream())) {
    got();
    written = /"deltaVersion":\d+,"lagVersions":\d+/.exec(text)?.[0] ?? written;
    const old = (question: Question, ageMs: number) =>
      !question.waiting && systemClock.monotonic() - question.askedAt >= ageMs;
    const due = followed.filter((question) =>
      question.stamp !== written && old(question, ageToAskAgain(question.took))
    );
    for (const question of due) question.stamp = written;
    // Only the view of sessions asks for open ones, every two seconds.
    if (paths === VIEWS[0] && old(open, 2_000)) due.push(open);
    // Ended by the signal, or by the program.
    for (const question of due) ask(question).catch(() => {});
  }
}

/** The address of the program that holds the folder, once it says so. */
async function addressOf(dataDir: string): Promise<string> {
  for (;;) {
    const holder = await Deno.readTextFile(`${dataDir}/run.json`).then(JSON.parse, () => null);
    if (holder?.url) return holder.url;
    await systemClock.sleep(20);
  }
}

/** Runs the program over what the folder's log holds, from an empty table, until all of it is committed. */
async function run(dataDir: string, events: number, viewers: number): Promise<Outcome> {
  const { lake, warehouse } = dataPaths(dataDir);
  for (const path of [lake, warehouse]) await Deno.remove(path, { recursive: true }).catch(() => {});
  const program = new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "--no-prompt", `--config=${ROOT}deno.json`, "-P=dev", `${ROOT}main.ts`, "run"],
    env: { DATA_DIR: dataDir, HTTP_PORT: "0", LOG_FORMAT: "json" },
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const url = await addressOf(dataDir);
  const stopped = new AbortController();
  let answers = 0;
  // Ended by the signal, or by the program.
  const viewing = VIEWS.slice(0, viewers).map((paths) =>
    view(url, paths, stopped.signal, () => answers++).catch(() => {})
  );
  const epochs = program.stdout.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLines());
  let [first, last, before, seen] = [0, 0, 0, 0];
  for await (const line of epochs.values({ preventCancel: true })) {
    seen += JSON.parse(line).events;
    last = systemClock.monotonic();
    // The first epoch has the start in it.
    if (first === 0) [first, before] = [last, seen];
    if (seen >= events) break;
  }
  const metrics = await (await fetch(`${url}/metrics`)).text();
  const cpuSeconds = Number(/^process_cpu_seconds_total ([\d.e+-]+)$/m.exec(metrics)![1]);
  stopped.abort();
  await Promise.all(viewing);
  program.kill("SIGTERM");
  await epochs.pipeTo(new WritableStream());
  await program.status;
  return {
    eventsPerSecond: 1000 * (seen - before) / (last - first),
    cpuPerEvent: 1e6 * cpuSeconds / events,
    answers,
  };
}

/** Text as whole lines. */
class TextLines extends TransformStream<string, string> {
  constructor() {
    let rest = "";
    super({
      transform(chunk, controller) {
        const lines = (rest + chunk).split("\n");
        rest = lines.pop()!;
        for (const line of lines) controller.enqueue(line);
      },
    });
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[Math.floor((sorted.length - 1) / 2)]! + sorted[Math.ceil((sorted.length - 1) / 2)]!) / 2;
}

function wholeNumber(name: string, written: string | undefined, fallback: number): number {
  const value = Number(written ?? fallback);
  if (Number.isInteger(value) && value >= 1) return value;
  throw new Error(`${name} must be a positive integer: found '${written}'.`);
}

const events = wholeNumber("EVENTS", Deno.args[0], EVENTS_DEFAULT);
const rounds = wholeNumber("ROUNDS", Deno.args[1], ROUNDS_DEFAULT);
const dataDir = await Deno.makeTempDir({ prefix: "sessionary-bench-" });
try {
  await fill(resolveConfig({ flags: {}, env: { DATA_DIR: dataDir } }).config, events);
  const ratios: { readonly rate: number; readonly cpu: number }[] = [];
  for (let round = 1; round <= rounds; round++) {
    // In turns, so that what the machine does beside it falls on both alike.
    const order = round % 2 === 0 ? [VIEWS.length, 0] : [0, VIEWS.length];
    const outcomes = new Map<number, Outcome>();
    for (const viewers of order) outcomes.set(viewers, await run(dataDir, events, viewers));
    const [without, seen] = [outcomes.get(0)!, outcomes.get(VIEWS.length)!];
    ratios.push({
      rate: seen.eventsPerSecond / without.eventsPerSecond,
      cpu: seen.cpuPerEvent / without.cpuPerEvent,
    });
    console.log(
      `round ${round}: ${Math.round(without.eventsPerSecond)} events/s and ${
        without.cpuPerEvent.toFixed(2)
      } µs CPU an ` +
        `event; with ${VIEWS.length} viewers ${Math.round(seen.eventsPerSecond)} and ${
          seen.cpuPerEvent.toFixed(2)
        } ` +
        `(${seen.answers} answers)`,
    );
  }
  const percent = (ratio: number) => `${((ratio - 1) * 100).toFixed(1)} %`;
  console.log(
    `median of ${rounds}: rate ${percent(median(ratios.map(({ rate }) => rate)))}, ` +
      `CPU an event ${percent(median(ratios.map(({ cpu }) => cpu)))}`,
  );
} finally {
  await Deno.remove(dataDir, { recursive: true });
}
