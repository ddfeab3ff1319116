/** What the tests of the embedded log share. */
import { type EmbeddedLog, type EmbeddedLogOptions, openEmbeddedLog } from "../../sources/embedded_log.ts";
import { partitionOfKey } from "../../sources/murmur2.ts";
import { keyAt, type ProducedRecord, type RecordBatch, type Source, valueAt } from "../../sources/source.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A directory that is there while `work` runs. */
export async function inTempDir(work: (directory: string) => Promise<void> | void): Promise<void> {
  const directory = await Deno.makeTempDir();
  try {
    await work(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** A log in a temporary directory; its clock stands at `clock.now`, and sleeping takes no time. */
export async function withLog(
  work: (log: EmbeddedLog, clock: { now: number }, path: string) => Promise<void>,
  options: Partial<EmbeddedLogOptions> = {},
): Promise<void> {
  await inTempDir(async (directory) => {
    const clock = { now: 1_700_000_000_000 };
    const path = `${directory}/events.db`;
    const log = openLog(path, { now: () => clock.now, ...options });
    try {
      await work(log, clock, path);
    } finally {
      log.close();
    }
  });
}

export function openLog(path: string, options: Partial<EmbeddedLogOptions> = {}): EmbeddedLog {
  return openEmbeddedLog({
    path,
    now: () => 1_700_000_000_000,
    sleep: () => Promise.resolve(),
    busyTimeoutMs: 20,
    ...options,
  });
}

export function record(key: string | null, value: string | null): ProducedRecord {
  return {
    key: key === null ? null : encoder.encode(key),
    value: value === null ? null : encoder.encode(value),
  };
}

/** A key that the partitioner sends to `partition`. */
export function keyFor(partition: number, partitions: number): string {
  for (let i = 0;; i++) {
    if (partitionOfKey(encoder.encode(`k${i}`), partitions) === partition) return `k${i}`;
  }
}

export function textsOf(batch: RecordBatch): [key: string | null, value: string | null][] {
  const text = (bytes: Uint8Array | null) => bytes === null ? null : decoder.decode(bytes);
  return Array.from({ length: batch.count }, (_, i) => [text(keyAt(batch, i)), text(valueAt(batch, i))]);
}

/** All records from the positions on, `partition:offset` → key and value, in polls of `maxBytes`. */
export async function readAll(
  source: Source,
  maxBytes = 1_000_000,
): Promise<Map<string, [key: string | null, value: string | null]>> {
  const read = new Map<string, [string | null, string | null]>();
  for (;;) {
    const { batches } = await source.poll(maxBytes, 0);
    if (batches.length === 0) return read;
    for (const batch of batches) {
      textsOf(batch).forEach((texts, i) => read.set(`${batch.partition}:${batch.offsets[i]}`, texts));
    }
  }
}

export async function seekAll(source: Source): Promise<void> {
  for (const { partition, start } of await source.ranges()) await source.seek(partition, start);
}
