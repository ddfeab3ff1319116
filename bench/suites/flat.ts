/** Whether an event costs the same however long the log is and however many sessions are open. */
import type { Suite } from "../suites.ts";
import { atMost, figure } from "../record.ts";
import { runJob } from "../processes.ts";
import { type Env, fill, type World } from "../world.ts";

/** How many times as long the longer log is. */
const LONGER = 20;
/** How many times as many sessions are open at a time. */
const MORE = 1_000;
/** Few, so that a million open sessions don't take a log of many millions of events. */
const OPEN_EVENTS = 6;
/** So much event time lies between all events: nothing must time out, nor be late. */
const STEP_MS = 0.02;
const GROWTH_MAX = 1.1;

interface Sent {
  readonly records: number;
  readonly sessions: number;
}

/** Microseconds of CPU an event, the start of the process included. */
async function cost(env: Env, sent: Sent): Promise<number> {
  return 1e6 * (await runJob(env, sent)).cpuSeconds / sent.records;
}

/** Over one log that grows. */
async function byLength(world: World, events: number): Promise<readonly [number, number]> {
  const env = await world.newPipeline();
  const first = await fill(env, events / LONGER, { stepMs: STEP_MS });
  const short = await cost(env, first);
  const again = await world.again(env);
  const rest = await fill(again, events - first.records, { stepMs: STEP_MS, seed: 2 });
  const all = { records: first.records + rest.records, sessions: first.sessions + rest.sessions };
  return [short, await cost(again, all)];
}

/** Over logs of the same sessions, of which few or many go on at a time. */
async function byOpen(world: World, sessions: number, readers: number): Promise<number> {
  const env = await world.newPipeline();
  const options = { eventsPerSession: OPEN_EVENTS, sessions, readers, stepMs: STEP_MS };
  return await cost(env, await fill(env, sessions * OPEN_EVENTS, options));
}

/** See the file's comment. */
export const flat: Suite = {
  name: "flat",
  about:
    `The job's CPU time for an event, start included, over a log ${LONGER} times as long, and with ${MORE} times as ` +
    "many sessions open at a time",
  async run(world, { events }) {
    const most = Math.max(MORE, Math.round(events / LONGER));
    const few = Math.round(most / MORE);
    const [short, long] = await byLength(world, events);
    const [closed, open] = [await byOpen(world, most, few), await byOpen(world, most, most)];
    const count = (value: number) => Math.round(value).toLocaleString("en-US");
    const target = atMost(GROWTH_MAX);
    return {
      figures: [
        figure(`an event of ${count(events / LONGER)}`, "µs", short),
        figure(`an event of ${count(events)}`, "µs", long),
        figure("growth with the log", "times", long / short, { target }),
        figure(`an event, ${count(few)} open sessions of ${OPEN_EVENTS}`, "µs", closed),
        figure(`an event, ${count(most)} open sessions of ${OPEN_EVENTS}`, "µs", open),
        figure("growth with the open sessions", "times", open / closed, { target }),
      ],
      plots: [],
      faults: [],
    };
  },
};
