/**
 * `deno task latency [SECONDS] [RATE]`: from a session's closing event to a row that ClickHouse answers with, at epochs of
 * 10 s, over the embedded parts and over real services. It prints quantiles, and the mean of each stage of an epoch.
 */
import { systemClock } from "../../actors/clock.ts";
import { STAGES } from "../../schema/pipeline_stats.ts";
import { Exposition, type ParsedHistogram } from "../support/exposition.ts";
import { startProgram } from "./harness/program.ts";
import { until } from "./harness/pipeline_run.ts";
import { Stack } from "./harness/stack.ts";

const SECONDS = Number(Deno.args[0] ?? 120);
const RATE = Number(Deno.args[1] ?? 5_000);
/** The last sessions' epoch, and its insert. */
const AFTERMATH_MS = 25_000;
const QUANTILES = [0.5, 0.95, 0.99];

/** The address of the web server of the program that holds `dataDir`. */
async function webAddress(dataDir: string): Promise<string> {
  let url: string | null = null;
  await until("the program's web server", async () => {
    url = await Deno.readTextFile(`${dataDir}/run.json`).then((text) => JSON.parse(text).url, () => null);
    return url !== null;
  });
  return url!;
}

/** By linear interpolation in its bucket, as Prometheus does. */
function quantile({ buckets, count }: ParsedHistogram, q: number): number {
  const rank = q * count;
  let [lower, below] = [0, 0];
  for (const [bound, cumulative] of [...buckets].sort(([a], [b]) => a - b)) {
    if (cumulative >= rank) {
      return bound === Infinity ? lower : lower + (bound - lower) * (rank - below) / (cumulative - below);
    }
    [lower, below] = [bound, cumulative];
  }
  return lower;
}

/** Runs the program and a producer beside it, and prints what its metrics say at the end. */
async function measure(name: string, env: Readonly<Record<string, string>>): Promise<void> {
  const pipeline = startProgram(["run"], env, { output: "null" });
  try {
    const url = await webAddress(env.DATA_DIR!);
    const amount = ["--rate", String(RATE), "--events", String(SECONDS * RATE), "--seed", "1"];
    const produced = await startProgram(["produce", ...amount], env, { output: "null" }).status;
    if (!produced.success) throw new Error(`produce ended with ${produced.code}.`);
    await systemClock.sleep(AFTERMATH_MS);
    const metrics = new Exposition(await (await fetch(`${url}/metrics`)).text());
    const latency = metrics.histogram("sessionary_end_to_end_latency_seconds")!;
    const quantiles = QUANTILES.map((q) => `P${q * 100} ${quantile(latency, q).toFixed(1)} s`).join(", ");
    console.log(`${name}: ${quantiles} (${latency.count} sessions, load ${Deno.loadavg()[0]!.toFixed(1)})`);
    const stages = STAGES.map((stage) => {
      const { sum, count } = metrics.histogram("sessionary_stage_duration_seconds", { stage })!;
      return `${stage} ${count === 0 ? "-" : `${Math.round(1_000 * sum / count)} ms`}`;
    });
    console.log(`  on average: ${stages.join(", ")}`);
  } finally {
    pipeline.kill("SIGTERM");
    await pipeline.status;
  }
}

const folder = await Deno.makeTempDir();
try {
  await measure("embedded", { DATA_DIR: `${folder}/embedded`, HTTP_PORT: "0" });
  await using stack = await Stack.start();
  await measure("Kafka, MinIO, ClickHouse over HTTP", stack.newPipeline(`${folder}/services`));
} finally {
  await Deno.remove(folder, { recursive: true });
}
