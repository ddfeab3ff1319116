/** Ramps the rate until lag grows: where the limit is, what it is like beyond it, and whether it recovers. */
import type { Suite } from "../suites.ts";
import { figure } from "../record.ts";
import { Running, startProducing, until } from "../processes.ts";
import { fitLine, grows, quantile } from "../stats.ts";
import { systemClock } from "../../actors/clock.ts";
import { type Sample, watch } from "../watch.ts";

const FIRST_RATE = 12_500;
const STEPS_MAX = 8;
const STEP_MS = 10_000;
/** Samples at a step's begin that belong to the start of its producer. */
const SETTLE_S = 3;
/** Lag of a step that has kept up: what arrives in half a second. */
const LAG_SECONDS = 0.5;

interface Step {
  readonly asked: number;
  readonly reached: number;
  readonly keptUp: boolean;
}

function judge(asked: number, samples: readonly Sample[]): Step {
  const xs = samples.map(({ at }) => at);
  const reached = fitLine(xs, samples.map(({ events }) => events))?.slope ?? NaN;
  // The producer alone may be what can't go faster: that is no lag.
  const keptUp = !grows(xs, samples.map(({ lag }) => lag), reached * LAG_SECONDS);
  return { asked, reached, keptUp };
}

/** See the file's comment. */
export const stress: Suite = {
  name: "stress",
  about:
    "The producer's rate is doubled every 10 s until the log grows faster than it is read, or can be written; " +
    "then it stops, and what is left is read",
  async run(world) {
    const env = await world.newPipeline();
    const program = await Running.start(env);
    const samples: Sample[] = [];
    const watching = new AbortController();
    const watched = watch(program, watching.signal, (sample) => void samples.push(sample));
    const steps: Step[] = [];
    try {
      let rate = FIRST_RATE;
      for (let step = 0; step < STEPS_MAX; step++, rate *= 2) {
        const producer = startProducing(env, ["--rate", String(rate), "--seed", String(step + 1)]);
        const begun = samples.at(-1)?.at ?? 0;
        await systemClock.sleep(STEP_MS);
        producer.kill("SIGTERM");
        await producer.status;
        steps.push(judge(rate, samples.filter(({ at }) => at > begun + SETTLE_S)));
        const last = steps.at(-1)!;
        // More producers would only take the cores from what is measured.
        if (!last.keptUp || last.reached < rate * 0.7) break;
      }
      const stopped = systemClock.monotonic();
      await until("the lag to be gone", async () => (await program.metrics()).lag === 0 ? true : null);
      const recoverySeconds = (systemClock.monotonic() - stopped) / 1_000;
      watching.abort();
      await watched;
      const kept = steps.filter(({ keptUp }) => keptUp).map(({ reached }) => reached);
      const [xs, mebi] = [samples.map(({ at }) => at), 2 ** 20];
      const time = { title: "Time", unit: "s" };
      const line = (title: string, unit: string, ys: number[], name: string) =>
        ({
          title,
          kind: "lines",
          x: time,
          y: { title: name, unit },
          xs,
          labels: null,
          series: [{ name, ys }],
        }) as const;
      return {
        figures: [
          figure("highest rate without growing lag", "events/s", Math.max(0, ...kept)),
          figure("highest rate tried", "events/s", Math.max(...steps.map(({ reached }) => reached))),
          figure("lag at most", "events", Math.max(...samples.map(({ lag }) => lag))),
          figure("lag, P50", "events", quantile(samples.map(({ lag }) => lag), 0.5)),
          figure("from the last event to no lag", "s", recoverySeconds),
          figure("RSS at most", "MiB", Math.max(...samples.map(({ rssBytes }) => rssBytes)) / mebi),
        ],
        plots: [
          line("Lag as the rate is doubled", "events", samples.map(({ lag }) => lag), "Lag"),
          line("Memory as the rate is doubled", "MiB", samples.map(({ rssBytes }) => rssBytes / mebi), "RSS"),
        ],
        faults: [],
      };
    } finally {
      watching.abort();
      await watched;
      await program.drain();
    }
  },
};
