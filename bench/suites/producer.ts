/** The producer at a steady rate: how long a send takes to be acknowledged, and the memory of its process. */
import type { Suite } from "../suites.ts";
import { atMost, figure } from "../record.ts";
import { peakMemory, startProducing } from "../processes.ts";
import { quantile } from "../stats.ts";
import { systemClock } from "../../actors/clock.ts";
import { openProducer } from "../../sources/open.ts";
import { produce } from "../../sources/produce.ts";
import { SimulatedFeed } from "../../sources/simulated_feed.ts";
import { Simulator, virtualTimeline } from "../../sources/simulator.ts";
import { configOf, type Env } from "../world.ts";

const RATE = 10_000;
const EVENTS = 100_000;

/** The milliseconds that each send took, from the call to the acknowledgement. */
async function sendTimes(env: Env): Promise<number[]> {
  const { monotonic: now, sleep } = systemClock;
  const producer = await openProducer(configOf(env), systemClock);
  const times: number[] = [];
  try {
    const simulator = new Simulator({ seed: 1, ...virtualTimeline(EVENTS, systemClock.now()) });
    await produce({
      feed: new SimulatedFeed(simulator, { events: EVENTS }),
      producer: {
        topic: producer.topic,
        async send(records) {
          const started = now();
          const acknowledged = await producer.send(records);
          times.push(now() - started);
          return acknowledged;
        },
        close: () => producer.close(),
      },
      rate: RATE,
      now,
      sleep,
    });
  } finally {
    await producer.close();
  }
  return times;
}

/** The most memory that `sessionary produce` has had, bytes. Linux only. */
async function memoryOfProcess(env: Env): Promise<number> {
  const process = startProducing(env, ["--rate", String(RATE), "--events", String(EVENTS), "--seed", "2"]);
  let [ended, peak] = [false, NaN];
  const status = process.status.finally(() => ended = true);
  while (!ended) {
    await systemClock.sleep(200);
    const found = await peakMemory(process.pid);
    if (!Number.isNaN(found)) peak = found;
  }
  const { code } = await status;
  if (code !== 0) throw new Error(`sessionary produce ended with ${code}.`);
  return peak;
}

/** See the file's comment. */
export const producer: Suite = {
  name: "producer",
  about:
    `The producer at ${RATE} events/s: from a send to its acknowledgement, and the memory of its process`,
  async run(world) {
    const env = await world.newPipeline();
    const times = await sendTimes(env);
    const memory = await memoryOfProcess(env);
    return {
      figures: [
        figure("a send, P50", "ms", quantile(times, 0.5), { target: atMost(5) }),
        figure("a send, P99", "ms", quantile(times, 0.99), { target: atMost(20) }),
        figure("RSS of sessionary produce, peak", "MiB", memory / 2 ** 20, { target: atMost(200) }),
      ],
      plots: [],
      faults: [],
    };
  },
};
