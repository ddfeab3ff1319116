/** How long the sinks take for epochs of 10,000 sessions. */
import type { Suite } from "../suites.ts";
import { atMost, figure } from "../record.ts";
import { Running } from "../processes.ts";
import { systemClock } from "../../actors/clock.ts";
import { FixedFeed } from "../fixed_feed.ts";
import { send } from "../world.ts";

const SESSIONS_PER_EPOCH = 10_000;
/** Short ones: the sessions are what counts here. */
const EVENTS_PER_SESSION = 5;
const EPOCH_SECONDS = 2;
const EPOCHS = 20;
const RATE = SESSIONS_PER_EPOCH * EVENTS_PER_SESSION / EPOCH_SECONDS;

/** See the file's comment. */
export const sinks: Suite = {
  name: "sinks",
  about:
    `${EPOCHS} epochs of ${EPOCH_SECONDS} s with ${SESSIONS_PER_EPOCH} sessions each: the stages of their landing`,
  async run(world) {
    const env = { ...await world.newPipeline(), EPOCH_INTERVAL: `${EPOCH_SECONDS}s` };
    const program = await Running.start(env);
    try {
      const feed = new FixedFeed({
        sessions: SESSIONS_PER_EPOCH * EPOCHS,
        eventsPerSession: EVENTS_PER_SESSION,
        seed: 1,
        endMs: systemClock.now(),
      });
      const { records } = await send(env, feed, RATE);
      await program.untilConsumed(records);
      const metrics = await program.metrics();
      const epochs = metrics.stageCount("commit");
      const landing = (q: number) => metrics.stageSeconds("upload", q) + metrics.stageSeconds("commit", q);
      return {
        figures: [
          figure("sessions of an epoch", "sessions", SESSIONS_PER_EPOCH * EPOCHS / epochs),
          figure("upload and commit, P50", "s", landing(0.5), { target: atMost(0.5) }),
          figure("upload and commit, P99", "s", landing(0.99), { target: atMost(2) }),
          figure("insert into ClickHouse, P50", "s", metrics.stageSeconds("insert", 0.5), {
            target: atMost(0.3),
          }),
          figure("insert into ClickHouse, P99", "s", metrics.stageSeconds("insert", 0.99), {
            target: atMost(2),
          }),
        ],
        plots: [],
        faults: [],
      };
    } finally {
      await program.drain();
    }
  },
};
