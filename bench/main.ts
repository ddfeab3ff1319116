/**
 * `deno task bench [EVENTS]`: how fast the embedded pipeline is on this machine, each figure beside the ceiling of its kind,
 * measured in the same run. The output is checked before a figure is printed.
 */
import { systemClock } from "../actors/clock.ts";
import { startPipeline } from "../actors/supervisor.ts";
import { type Config, resolveConfig } from "../schema/config.ts";
import { parseEvent } from "../schema/user_event.ts";
import { type RecordBatch, valueAt } from "../sources/source.ts";
import { produceEvents, readEvents } from "./embedded.ts";

const EVENTS_DEFAULT = 200_000;

interface Measurement {
  readonly stage: string;
  readonly events: number;
  readonly seconds: number;
}

async function timed(stage: string, work: () => Promise<number>): Promise<Measurement> {
  const start = systemClock.monotonic();
  const events = await work();
  return { stage, events, seconds: (systemClock.monotonic() - start) / 1000 };
}

function parseBatch(batch: RecordBatch): void {
  for (let i = 0; i < batch.count; i++) parseEvent(valueAt(batch, i));
}

async function runPipeline(config: Config, events: number): Promise<number> {
  const pipeline = await startPipeline({ config, untilEnd: true, closeOpen: true });
  const summary = await pipeline.finished;
  if (summary.events !== events || summary.deadLetters !== 0) {
    throw new Error(
      `The pipeline must land ${events} events without a dead letter: ${JSON.stringify(summary)}`,
    );
  }
  return summary.events;
}

function print(measurements: readonly Measurement[]): void {
  const ceiling = measurements[1]!;
  const rate = ({ events, seconds }: Measurement) => events / seconds;
  console.log(`${"stage".padEnd(40)}${"events/s".padStart(12)}${"of reading".padStart(12)}`);
  for (const measurement of measurements) {
    const share = `${(100 * rate(measurement) / rate(ceiling)).toFixed(1)} %`;
    const perSecond = Math.round(rate(measurement)).toLocaleString("en-US");
    console.log(`${measurement.stage.padEnd(40)}${perSecond.padStart(12)}${share.padStart(12)}`);
  }
}

const events = Number(Deno.args[0] ?? EVENTS_DEFAULT);
if (!Number.isInteger(events) || events < 1) {
  throw new Error(`EVENTS must be a positive integer: found '${Deno.args[0]}'.`);
}
const dataDir = await Deno.makeTempDir({ prefix: "sessionary-bench-" });
try {
  const { config } = resolveConfig({ flags: {}, env: { DATA_DIR: dataDir } });
  print([
    await timed("produce into the embedded log", () => produceEvents(config, events)),
    await timed("read it, throw it away", () => readEvents(config, () => {})),
    await timed("read, parse and validate, one thread", () => readEvents(config, parseBatch)),
    await timed("the whole pipeline, start to drain", () => runPipeline(config, events)),
  ]);
} finally {
  await Deno.remove(dataDir, { recursive: true });
}
