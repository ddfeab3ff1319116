/** Filling the embedded log, and reading it: what the pipeline is measured against. */
import { systemClock } from "../actors/clock.ts";
import type { Config } from "../schema/config.ts";
import { openProducer, openSource } from "../sources/open.ts";
import { produce } from "../sources/produce.ts";
import { SimulatedFeed } from "../sources/simulated_feed.ts";
import { Simulator, virtualTimeline } from "../sources/simulator.ts";
import type { RecordBatch } from "../sources/source.ts";

const POLL_BYTES = 4 * 1024 * 1024;

/** Writes simulated events into the topic, as fast as it goes; returns how many. */
export async function produceEvents(config: Config, events: number): Promise<number> {
  const { timeline, readers } = virtualTimeline(events, systemClock.now());
  const feed = new SimulatedFeed(new Simulator({ seed: 1, timeline, readers }), { events });
  const producer = await openProducer(config, systemClock);
  const { records } = await produce({
    feed,
    producer,
    rate: "max",
    now: () => systemClock.monotonic(),
    sleep: (ms, signal) => systemClock.sleep(ms, signal),
  });
  await producer.close();
  return records;
}

/** Reads the whole topic and hands each batch over; returns how many records there were. */
export async function readEvents(config: Config, take: (batch: RecordBatch) => void): Promise<number> {
  const source = await openSource(config, systemClock);
  const ranges = await source.ranges();
  for (const { partition, start } of ranges) await source.seek(partition, start);
  let records = 0;
  for (;;) {
    const { batches, atEnd } = await source.poll(POLL_BYTES, 0);
    for (const batch of batches) {
      records += batch.count;
      take(batch);
    }
    if (batches.length === 0 && atEnd.length === ranges.length) break;
  }
  await source.close();
  return records;
}
