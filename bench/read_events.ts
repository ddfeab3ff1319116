/** Reading the log by the program's own source, without a pipeline. */
import { systemClock } from "../actors/clock.ts";
import type { Config } from "../schema/config.ts";
import { openSource } from "../sources/open.ts";
import type { RecordBatch } from "../sources/source.ts";

const POLL_BYTES = 4 * 1024 * 1024;

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
