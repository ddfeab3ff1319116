/** 1, 2 and 4 producers at a time, then 1, 2 and 4 session actors over what they wrote. */
import type { Suite } from "../suites.ts";
import { type Figure, figure } from "../record.ts";
import { produceByProgram, runJob } from "../processes.ts";
import { systemClock } from "../../actors/clock.ts";
import type { Env } from "../world.ts";
import { fill } from "../world.ts";

const COUNTS = [1, 2, 4] as const;
/** Of one cell: it is measured nine times. */
const EVENTS_MAX = 400_000;

/** Lets so many processes of the program's produce at a time; events a second, of all together, starts included. */
async function producersRate(env: Env, producers: number, events: number): Promise<number> {
  const started = systemClock.monotonic();
  const each = String(Math.ceil(events / producers));
  await Promise.all(
    Array.from(
      { length: producers },
      (_, seed) => produceByProgram(env, ["--events", each, "--rate", "max", "--seed", String(seed + 1)]),
    ),
  );
  return 1_000 * events / (systemClock.monotonic() - started);
}

/** See the file's comment. */
export const scale: Suite = {
  name: "scale",
  about: "1, 2, 4 producing processes at a time; and the whole job with 1, 2, 4 session actors over one log",
  async run(world, options) {
    const events = Math.min(options.events, EVENTS_MAX);
    const figures: Figure[] = [];
    const produced: number[] = [];
    for (const producers of COUNTS) {
      const rate = await producersRate(await world.newPipeline(), producers, events);
      produced.push(rate);
      figures.push(figure(`${producers} producers, starts included`, "events/s", rate));
    }
    let env = await world.newPipeline();
    const sent = await fill(env, events);
    const rates: number[] = [];
    for (const actors of COUNTS) {
      const job = await runJob({ ...env, SESSION_ACTORS: String(actors) }, sent);
      rates.push(sent.records / job.seconds);
      env = await world.again(env);
    }
    const best = { name: "the best", value: Math.max(...rates) };
    COUNTS.forEach((actors, i) =>
      figures.push(figure(`job, ${actors} session actors`, "events/s", rates[i]!, {
        ceiling: best,
        target: actors === 4 ? { at: "least", value: 0.9, of: "ratio" } : null,
      }))
    );
    return {
      figures,
      plots: [{
        title: "Rate by producers, and by session actors",
        kind: "bars",
        x: { title: "Producers, or session actors", unit: "" },
        y: { title: "Events", unit: "1/s" },
        xs: COUNTS.map((_, i) => i),
        labels: COUNTS.map(String),
        series: [{ name: "producers", ys: produced }, { name: "session actors", ys: rates }],
      }],
      faults: [],
    };
  },
};
