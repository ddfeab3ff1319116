/** 1, 2 and 4 producers at a time, 1, 2 and 4 session actors over what each wrote; and, over Kafka, 1 and 2 instances. */
import type { Suite } from "../suites.ts";
import { type Figure, figure } from "../record.ts";
import { produceByProgram, runJob, Running, until } from "../processes.ts";
import { systemClock } from "../../actors/clock.ts";
import type { Env, World } from "../world.ts";
import { fill } from "../world.ts";

const COUNTS = [1, 2, 4] as const;
const INSTANCES = [1, 2] as const;
/** The part of all events that each of the nine cells has. */
const CELL = 0.3;
/** Short epochs tell more closely when all is committed. */
const EPOCH_INTERVAL = "1s";

/** Lets so many processes of the program's produce at a time; events a second, of all together, starts included. */
async function producersRate(env: Env, producers: number, events: number): Promise<number> {
  const started = systemClock.monotonic();
  const each = String(events / producers);
  await Promise.all(
    Array.from(
      { length: producers },
      (_, seed) => produceByProgram(env, ["--events", each, "--rate", "max", "--seed", String(seed + 1)]),
    ),
  );
  return 1_000 * events / (systemClock.monotonic() - started);
}

/** Events a second of so many instances in one group, from the first event that one of them processed to the last commit. */
async function instancesRate(world: World, env: Env, instances: number, records: number): Promise<number> {
  const shared = await world.again(env);
  const running = await Promise.all(
    Array.from(
      { length: instances },
      (_, i) => Running.start({ ...shared, EPOCH_INTERVAL, DATA_DIR: `${shared.DATA_DIR}-${i}` }),
    ),
  );
  try {
    const committed = async () => {
      const all = await Promise.all(running.map((program) => program.metrics()));
      return all.reduce((sum, metrics) => sum + metrics.sum("sessionary_events_total"), 0);
    };
    const begun = Math.min(
      ...await Promise.all(
        running.map(async (program) => program.startedAt + await program.firstEventMs()),
      ),
    );
    await until("all instances' commits", async () => await committed() >= records ? true : null);
    return 1_000 * records / (systemClock.now() - begun);
  } finally {
    for (const program of running) await program.drain();
  }
}

/** See the file's comment. */
export const scale: Suite = {
  name: "scale",
  about:
    "1, 2, 4 processes that produce at a time, and the job with 1, 2, 4 session actors over what each wrote; over " +
    "Kafka also 1 and 2 instances of the program that share a topic",
  async run(world, options) {
    const events = Math.floor(CELL * options.events / 4) * 4;
    const figures: Figure[] = [];
    const produced: number[] = [];
    const rates = new Map<number, number[]>(COUNTS.map((actors) => [actors, []]));
    for (const producers of COUNTS) {
      let env = await world.newPipeline();
      produced.push(await producersRate(env, producers, events));
      for (const actors of COUNTS) {
        const job = await runJob({ ...env, SESSION_ACTORS: String(actors) }, {
          records: events,
          sessions: null,
        });
        rates.get(actors)!.push(events / job.seconds);
        env = await world.again(env);
      }
    }
    produced.forEach((rate, i) =>
      figures.push(figure(`${COUNTS[i]} producers, starts included`, "events/s", rate))
    );
    COUNTS.forEach((producers, i) => {
      const best = {
        name: "the best of these",
        value: Math.max(...COUNTS.map((actors) => rates.get(actors)![i]!)),
      };
      for (const actors of COUNTS) {
        const target = actors === 4 ? { at: "least", value: 0.9, of: "ratio" } as const : null;
        const name = `job, ${producers} producers × ${actors} session actors`;
        figures.push(figure(name, "events/s", rates.get(actors)![i]!, { ceiling: best, target }));
      }
    });
    if (world.services) {
      const env = await world.newPipeline();
      const { records } = await fill(env, options.events);
      for (const instances of INSTANCES) {
        const rate = await instancesRate(world, env, instances, records);
        figures.push(figure(`${instances} instances`, "events/s", rate));
      }
    }
    return {
      figures,
      plots: [{
        title: "Rate of the job by session actors, over logs of 1, 2 and 4 producers",
        kind: "bars",
        x: { title: "Producers", unit: "" },
        y: { title: "Events", unit: "1/s" },
        xs: COUNTS.map((_, i) => i),
        labels: COUNTS.map(String),
        series: [
          { name: "produced", ys: produced },
          ...COUNTS.map((actors) => ({ name: `${actors} session actors`, ys: rates.get(actors)! })),
        ],
      }],
      faults: [],
    };
  },
};
