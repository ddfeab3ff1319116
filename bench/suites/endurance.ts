/** Hours at one rate: whether memory, handles, latency or lag grow. */
import type { Suite } from "../suites.ts";
import { atMost, type Figure, figure } from "../record.ts";
import { Running, startProducing } from "../processes.ts";
import { fitLine, grows } from "../stats.ts";
import { systemClock } from "../../actors/clock.ts";
import type { Metrics } from "../processes.ts";
import { watch } from "../watch.ts";

const HOUR_MS = 3_600_000;
/** Samples of a run; each is of so much of it. */
const SAMPLES = 240;
const SAMPLE_MS_MIN = 1_000;
/** The first part, in which caches fill and code is compiled, is no trend. */
const WARM_UP = 0.25;
/** Of the process, MiB; over services it has no ClickHouse in it. */
const RSS_MAX = { embedded: 900, services: 300 } as const;
const LATENCY = "sessionary_end_to_end_latency_seconds";

/** What is watched, and what it may grow by over the run: less is no leak, however steady. */
const WATCHED = [
  { name: "RSS", unit: "MiB", tolerated: 50 },
  { name: "handles", unit: "files", tolerated: 10 },
  { name: "latency, P99", unit: "s", tolerated: 1 },
  { name: "lag", unit: "events", tolerated: 20_000 },
] as const;

/** See the file's comment. */
export const endurance: Suite = {
  name: "endurance",
  about:
    "One rate for hours; a slope counts where it is four standard errors from none, after the first quarter, and adds " +
    "more than 50 MiB, 10 handles, 1 s or 20,000 events to the run",
  async run(world, { hours, rate }) {
    const env = await world.newPipeline();
    const program = await Running.start(env);
    const producer = startProducing(env, ["--rate", String(rate), "--seed", "1"]);
    const xs: number[] = [];
    const series: number[][] = WATCHED.map(() => []);
    const watching = new AbortController();
    let before: Metrics | null = null;
    const every = Math.max(SAMPLE_MS_MIN, hours * HOUR_MS / SAMPLES);
    const watched = watch(program, watching.signal, async ({ at, lag, rssBytes, metrics }) => {
      const { handles } = await program.footprint().catch(() => ({ handles: NaN }));
      const p99 = metrics.quantile(LATENCY, 0.99, before);
      before = metrics;
      xs.push(at / 60);
      [rssBytes / 2 ** 20, handles, p99, lag].forEach((value, i) => series[i]!.push(value));
    }, every);
    let rows = 0;
    try {
      await systemClock.sleep(hours * HOUR_MS);
      watching.abort();
      await watched;
      rows = (await program.metrics()).sum("sessionary_sessions_total");
    } finally {
      watching.abort();
      producer.kill("SIGTERM");
      await producer.status;
      await program.drain();
    }
    const from = Math.floor(xs.length * WARM_UP);
    const faults: string[] = [];
    const figures: Figure[] = [figure("sessions committed", "sessions", rows)];
    WATCHED.forEach(({ name, unit, tolerated }, i) => {
      const kept = xs.map((x, at) => [x, series[i]![at]!] as const).slice(from)
        .filter(([, value]) => Number.isFinite(value));
      const [times, values] = [kept.map(([x]) => x), kept.map(([, value]) => value)];
      const slope = fitLine(times, values)?.slope ?? NaN;
      figures.push(figure(`${name}, at most`, unit, Math.max(...values)));
      figures.push(figure(`${name}, slope`, `${unit}/h`, slope * 60));
      if (grows(times, values, tolerated)) {
        faults.push(`${name} must not grow: it does, by ${(slope * 60).toFixed(1)} ${unit} an hour.`);
      }
    });
    if (rows === 0) faults.push("No session was committed: the run was too short, or nothing arrived.");
    const target = atMost(world.services ? RSS_MAX.services : RSS_MAX.embedded);
    return {
      figures: figures.map((one) => one.name === "RSS, at most" ? { ...one, target } : one),
      plots: WATCHED.map(({ name, unit }, i) => ({
        title: `${name} over time`,
        kind: "lines" as const,
        x: { title: "Time", unit: "min" },
        y: { title: name, unit },
        xs,
        labels: null,
        series: [{ name, ys: series[i]!.map((value) => Number.isFinite(value) ? value : null) }],
      })),
      faults,
    };
  },
};
