/** What the parts of the job could do alone: the walls that its rate stands before. */
import type { Suite } from "../suites.ts";
import { figure } from "../record.ts";
import { bareRead } from "../bare_read.ts";
import { readEvents } from "../read_events.ts";
import { systemClock } from "../../actors/clock.ts";
import { valueAt } from "../../sources/source.ts";
import { parquetStage, simulate } from "../stage_list.ts";
import { configOf, fill } from "../world.ts";

/** Enough for a figure; the same events each time. */
const EVENTS_MAX = 500_000;

function perSecond(count: number, work: () => void): number {
  const started = systemClock.monotonic();
  work();
  return 1_000 * count / (systemClock.monotonic() - started);
}

/** See the file's comment. */
export const ceiling: Suite = {
  name: "ceiling",
  about: "Each part alone, on one thread, its result thrown away",
  async run(world, options) {
    const events = Math.min(options.events, EVENTS_MAX);
    const env = await world.newPipeline();
    const sent = await fill(env, events);
    const bare = await bareRead(env, sent.records);
    // Over Kafka this is the program's own Fetch.
    const { rate: own } = await readEvents(configOf(env));
    const batches = simulate(Math.min(events, 200_000));
    const count = batches.reduce((sum, batch) => sum + batch.count, 0);
    const decoder = new TextDecoder();
    const parse = perSecond(count, () => {
      for (const batch of batches) {
        for (let i = 0; i < batch.count; i++) JSON.parse(decoder.decode(valueAt(batch, i)!));
      }
    });
    const parquet = parquetStage(batches);
    const rates = [
      [world.services ? "bare kafkajs consumer" : "bare read of the embedded log", "events/s", bare],
      ...(world.services ? [["the program's own Fetch", "events/s", own] as const] : []),
      ["UTF-8 and JSON.parse, one thread", "events/s", parse],
      ["Arrow to Parquet, one thread", "rows/s", perSecond(parquet.count, parquet.work)],
    ] as const;
    return {
      figures: rates.map(([name, unit, value]) => figure(name, unit, value)),
      plots: [{
        title: "Each part alone",
        kind: "bars",
        x: { title: "Part", unit: "" },
        y: { title: "Events, or rows", unit: "1/s" },
        xs: rates.map((_, i) => i),
        labels: rates.map(([name]) => name.split(",")[0]!),
        series: [{ name: "rate", ys: rates.map(([, , value]) => value) }],
      }],
      faults: [],
    };
  },
};
