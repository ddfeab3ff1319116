/** Bytes of a session in both sinks, start-up time, and memory at full rate with many open sessions. */
import type { Suite } from "../suites.ts";
import { atMost, figure } from "../record.ts";
import { runJob, Running } from "../processes.ts";
import { median } from "../stats.ts";
import { systemClock } from "../../actors/clock.ts";
import { openLake } from "../../sinks/lake/open.ts";
import { SimulatedFeed } from "../../sources/simulated_feed.ts";
import { Simulator, virtualTimeline } from "../../sources/simulator.ts";
import { OPEN_EVENTS, openSessionBytes } from "../stage_list.ts";
import { warehouseBytes } from "../warehouse_bytes.ts";
import { configOf, fill, send } from "../world.ts";

const EVENTS = 400_000;
const STARTS = 3;
const OPEN = 100_000;
/** So much event time lies between all events: the open sessions must not time out, nor what follows them be late. */
const STEP_MS = 0.02;

/** See the file's comment. */
export const footprint: Suite = {
  name: "footprint",
  about:
    `${EVENTS} simulated events with their real cardinalities in both sinks; starts; and ${OPEN} open sessions`,
  async run(world, options) {
    const env = await world.newPipeline();
    const config = configOf(env);
    const simulator = new Simulator({ seed: 1, ...virtualTimeline(EVENTS, systemClock.now()) });
    const { records } = await send(env, new SimulatedFeed(simulator, { events: EVENTS }));
    const { summary } = await runJob(env, { records, sessions: null });
    const { lake } = await openLake(config, { now: systemClock.now, notice: () => {} });
    const { bytes } = await lake.summary();
    const inClickHouse = await warehouseBytes(config);
    const starts: number[] = [];
    for (let start = 0; start < STARTS; start++) {
      const fresh = await world.newPipeline();
      await fill(fresh, 1_000);
      const program = await Running.start(fresh);
      starts.push(await program.firstEventMs() / 1_000);
      await program.drain();
    }
    const full = await world.newPipeline();
    const open = { sessions: OPEN, eventsPerSession: OPEN_EVENTS, open: true, seed: 2, stepMs: STEP_MS };
    await fill(full, OPEN * OPEN_EVENTS, open);
    const closed = await fill(full, options.events, { stepMs: STEP_MS });
    const job = await runJob(full, closed, { closeOpen: false });
    return {
      figures: [
        figure("a session in Delta", "bytes", bytes / summary.sessions, { target: atMost(500) }),
        figure("a session in ClickHouse", "bytes", inClickHouse / summary.sessions, { target: atMost(300) }),
        figure("start to the first event", "s", median(starts), { samples: starts, target: atMost(1.5) }),
        figure(`an open session of ${OPEN_EVENTS} events, of ${OPEN}`, "bytes", openSessionBytes(OPEN), {
          target: atMost(600),
        }),
        figure(`RSS at full rate with ${OPEN} open sessions`, "MiB", job.rssPeakBytes / 2 ** 20, {
          target: atMost(900),
        }),
      ],
      plots: [],
      faults: [],
    };
  },
};
