/**
 * `deno task bench:pipeline [EVENTS]`: the whole job over the embedded log, written first, against a bare read of the same
 * log: on the wall, and in CPU time, all threads together. The output is checked before a figure is printed.
 */
import { cpuUsage } from "node:process";
import { systemClock } from "../actors/clock.ts";
import { startPipeline } from "../actors/supervisor.ts";
import { resolveConfig } from "../schema/config.ts";
import { produceEvents, readEvents } from "./embedded.ts";

const EVENTS_DEFAULT = 1_000_000;
interface Cost {
  readonly seconds: number;
  readonly cpuSeconds: number;
}

async function cost(work: () => Promise<unknown>): Promise<Cost> {
  const [start, cpu] = [systemClock.monotonic(), cpuUsage()];
  await work();
  const { user, system } = cpuUsage(cpu);
  return { seconds: (systemClock.monotonic() - start) / 1_000, cpuSeconds: (user + system) / 1e6 };
}

const events = Number(Deno.args[0] ?? EVENTS_DEFAULT);
if (!Number.isInteger(events) || events < 1) {
  throw new Error(`EVENTS must be a positive integer: found '${Deno.args[0]}'.`);
}
const dataDir = await Deno.makeTempDir({ prefix: "sessionary-bench-" });
try {
  const { config } = resolveConfig({ flags: {}, env: { DATA_DIR: dataDir } });
  await produceEvents(config, events);
  const read = await cost(() => readEvents(config, () => {}));
  const job = await cost(async () => {
    const pipeline = await startPipeline({ config, untilEnd: true, closeOpen: true });
    const summary = await pipeline.finished;
    if (summary.events === events && summary.deadLetters === 0) return;
    throw new Error(`The job must land ${events} events without a dead letter: ${JSON.stringify(summary)}`);
  });
  const line = (name: string, text: string) => console.log(`${name.padEnd(40)}${text.padStart(24)}`);
  const rate = ({ seconds }: Cost) => `${Math.round(events / seconds).toLocaleString("en-US")} events/s`;
  const perEvent = (seconds: number) => `${(seconds * 1e6 / events).toFixed(2)} µs per event`;
  line("read it, throw it away", rate(read));
  line("the job, start to drain", rate(job));
  line("the job's rate of the bare read's", (read.seconds / job.seconds).toFixed(2));
  line("CPU: read it", perEvent(read.cpuSeconds));
  line("CPU: the job", perEvent(job.cpuSeconds));
} finally {
  await Deno.remove(dataDir, { recursive: true });
}
