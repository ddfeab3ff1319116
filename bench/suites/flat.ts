/** Whether an event costs the same however long the log is and however many sessions are open. */
import type { Suite } from "../suites.ts";
import { atMost, figure } from "../record.ts";
import { runJob } from "../processes.ts";
import { fill, type World } from "../world.ts";

/** The log's lengths, as parts of the longest: what an event costs is compared from each to the next. */
const LENGTHS = [1 / 20, 1 / 4, 1] as const;
/** How many times as many sessions are open at a time, and of how many events there is one. */
const MORE = 1_000;
const EVENTS_PER_OPEN = 20;
/** Few, so that a million open sessions don't take a log of many millions of events. */
const OPEN_EVENTS = 6;
/** So much event time lies between all events: nothing must time out, nor be late. */
const STEP_MS = 0.02;
const GROWTH_MAX = 1.1;

/**
 * Over one log that grows: microseconds an event of each length beyond the one before, which leaves out what a start and
 * compiling cost.
 */
async function byLength(world: World, events: number): Promise<number[]> {
  let env = await world.newPipeline();
  const all = { records: 0, sessions: 0 };
  const jobs: { readonly records: number; readonly cpu: number }[] = [];
  for (const [i, part] of LENGTHS.entries()) {
    if (i > 0) env = await world.again(env);
    const sent = await fill(env, events * part - all.records, { stepMs: STEP_MS, seed: i + 1 });
    all.records += sent.records;
    all.sessions += sent.sessions;
    jobs.push({ records: all.records, cpu: (await runJob(env, all)).cpuSeconds });
  }
  return jobs.slice(1).map(({ records, cpu }, i) =>
    1e6 * (cpu - jobs[i]!.cpu) / (records - jobs[i]!.records)
  );
}

/** Over logs of the same sessions, of which few or many go on at a time: microseconds an event. */
async function byOpen(world: World, sessions: number, readers: number): Promise<number> {
  const env = await world.newPipeline();
  const options = { eventsPerSession: OPEN_EVENTS, sessions, readers, stepMs: STEP_MS };
  const sent = await fill(env, sessions * OPEN_EVENTS, options);
  return 1e6 * (await runJob(env, sent)).cpuSeconds / sent.records;
}

/** See the file's comment. */
export const flat: Suite = {
  name: "flat",
  about:
    `The job's CPU time for an event as the log grows to 20 times its length, and with ${MORE} times as many ` +
    "sessions open at a time",
  async run(world, { events }) {
    const most = Math.max(MORE, Math.round(events / EVENTS_PER_OPEN));
    const few = Math.round(most / MORE);
    const [early, late] = await byLength(world, events) as [number, number];
    const [closed, open] = [await byOpen(world, most, few), await byOpen(world, most, most)];
    const count = (value: number) => Math.round(value).toLocaleString("en-US");
    const [first, second, third] = LENGTHS.map((part) => count(events * part));
    const target = atMost(GROWTH_MAX);
    return {
      figures: [
        figure(`an event from ${first} to ${second}`, "µs", early),
        figure(`an event from ${second} to ${third}`, "µs", late),
        figure("growth with the log", "times", late / early, { target }),
        figure(`an event, ${count(few)} open sessions of ${OPEN_EVENTS}`, "µs", closed),
        figure(`an event, ${count(most)} open sessions of ${OPEN_EVENTS}`, "µs", open),
        figure("growth with the open sessions", "times", open / closed, { target }),
      ],
      plots: [],
      faults: [],
    };
  },
};
