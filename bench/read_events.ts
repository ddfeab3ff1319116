/** Reading the log by the program's own source, without a pipeline. */
import { systemClock } from "../actors/clock.ts";
import type { Config } from "../schema/config.ts";
import { openSource } from "../sources/open.ts";

const POLL_BYTES = 4 * 1024 * 1024;
/** A poll that does not wait would leave the thread no time to hear from a broker. */
const POLL_WAIT_MS = 100;

/**
 * Reads the whole topic and throws it away. The rate, in events a second, is from the first poll that brought records
 * on, so that joining a group is no part of it.
 */
export async function readEvents(
  config: Config,
): Promise<{ readonly records: number; readonly rate: number }> {
  const source = await openSource(config, systemClock);
  try {
    const ranges = await source.ranges();
    for (const { partition, start } of ranges) await source.seek(partition, start);
    let [records, begun] = [0, 0];
    for (;;) {
      if (records === 0) begun = systemClock.monotonic();
      const { batches, atEnd } = await source.poll(POLL_BYTES, POLL_WAIT_MS);
      records += batches.reduce((sum, { count }) => sum + count, 0);
      if (atEnd.length < ranges.length) continue;
      return { records, rate: 1_000 * records / (systemClock.monotonic() - begun) };
    }
  } finally {
    await source.close();
  }
}
