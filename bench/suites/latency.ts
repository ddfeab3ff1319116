/** From an event in the log to a row that ClickHouse answers with, at epochs of 10 s and of 1 s. */
import type { Suite } from "../suites.ts";
import { atMost, type Figure, figure } from "../record.ts";
import { produceByProgram, Running } from "../processes.ts";

const QUANTILES = [0.5, 0.95, 0.99];
const RATE = 50_000;
const LATENCY = "sessionary_end_to_end_latency_seconds";
const CASES = [
  { interval: "10s", seconds: 35, target: 11.5 },
  { interval: "1s", seconds: 15, target: 2.5 },
] as const;

/** See the file's comment. */
export const latency: Suite = {
  name: "latency",
  about:
    `From a session's closing event in the log to its row in ClickHouse, at ${RATE} events/s if the producer can`,
  async run(world) {
    const figures: Figure[] = [];
    const series: { name: string; ys: number[] }[] = [];
    const bounds: number[] = [];
    for (const { interval, seconds, target } of CASES) {
      const env = { ...await world.newPipeline(), EPOCH_INTERVAL: interval };
      const program = await Running.start(env);
      try {
        const events = seconds * RATE;
        await produceByProgram(env, ["--rate", String(RATE), "--events", String(events), "--seed", "1"]);
        await program.untilConsumed(events);
        const metrics = await program.metrics();
        for (const q of QUANTILES) {
          const value = metrics.quantile(LATENCY, q);
          figures.push(
            figure(`P${q * 100} at epochs of ${interval}`, "s", value, {
              target: q === 0.99 ? atMost(target) : null,
            }),
          );
        }
        for (const stage of ["seal", "upload", "commit", "insert"]) {
          const value = metrics.stageSeconds(stage, 0.99);
          figures.push(figure(`${stage}, P99 at epochs of ${interval}`, "s", value));
        }
        const buckets = metrics.buckets(LATENCY).filter(([bound]) => bound <= 20).sort(([a], [b]) => a - b);
        const all = metrics.sum(`${LATENCY}_count`);
        bounds.splice(0, Infinity, ...buckets.map(([bound]) => bound));
        series.push({ name: `epochs of ${interval}`, ys: buckets.map(([, count]) => 100 * count / all) });
      } finally {
        await program.drain();
      }
    }
    return {
      figures,
      plots: [{
        title: "Sessions that can be queried, by the time since their last event",
        kind: "lines",
        x: { title: "Time", unit: "s" },
        y: { title: "Sessions", unit: "%" },
        xs: bounds,
        labels: null,
        series,
      }],
      faults: [],
    };
  },
};
