/** kill −9 with many open sessions: how long a restart takes to its first new event. */
import type { Suite } from "../suites.ts";
import { figure } from "../record.ts";
import { Running, startProducing } from "../processes.ts";
import { median } from "../stats.ts";
import { systemClock } from "../../actors/clock.ts";
import { fill } from "../world.ts";

const OPEN = 100_000;
const OPEN_EVENTS = 3;
const RATE = "5000";
const KILLS = 3;
/** Time between two kills: the last checkpoint lies up to five epochs back. */
const LIFE_MS = 7_000;

/** See the file's comment. */
export const recovery: Suite = {
  name: "recovery",
  about:
    `kill −9 with ${OPEN} sessions open and ${RATE} events/s arriving; epochs of 1 s, so that checkpoints are there`,
  async run(world) {
    const env = { ...await world.newPipeline(), EPOCH_INTERVAL: "1s" };
    const options = { sessions: OPEN, eventsPerSession: OPEN_EVENTS, open: true };
    const sent = await fill(env, OPEN * OPEN_EVENTS, options);
    let program = await Running.start(env);
    await program.untilConsumed(sent.records);
    const producer = startProducing(env, ["--rate", RATE, "--seed", "2"]);
    const recoveries: number[] = [];
    let open = 0;
    try {
      for (let kill = 0; kill < KILLS; kill++) {
        await systemClock.sleep(LIFE_MS);
        open = (await program.metrics()).sum("sessionary_open_sessions");
        await program.kill();
        program = await Running.start(env);
        recoveries.push(await program.firstEventMs() / 1_000);
      }
    } finally {
      producer.kill("SIGTERM");
      await producer.status;
      await program.drain();
    }
    if (open < OPEN) throw new Error(`${OPEN} sessions must be open when it is killed: ${open} were.`);
    return {
      figures: [
        figure("restart to the first new event", "s", median(recoveries), { samples: recoveries }),
        figure("sessions that were open", "sessions", open),
      ],
      plots: [{
        title: "Restart after kill −9, to the first new event",
        kind: "bars",
        x: { title: "Kill", unit: "" },
        y: { title: "Time", unit: "s" },
        xs: recoveries.map((_, i) => i + 1),
        labels: recoveries.map((_, i) => String(i + 1)),
        series: [{ name: "recovery", ys: recoveries }],
      }],
      faults: [],
    };
  },
};
