/** The check, before anything is read, that a topic is keyed by session id. */
import { SourceError } from "../schema/errors.ts";
import { parseEvent } from "../schema/user_event.ts";
import { keyAt, type PartitionRange, type Source, valueAt } from "../sources/source.ts";
import { sameBytes } from "./sessionizer.ts";

/** The newest records of each partition that are looked at. */
const SAMPLE_PER_PARTITION = 100;
const SAMPLE_BYTES = 1024 * 1024;
/** Fewer usable events than this prove nothing. */
const SAMPLE_MIN = 10;
/** A broker answers after a while; what the log holds itself is there at once. */
const SAMPLE_WAIT_MS = 5_000;

/**
 * Reads the newest records of each partition. Positions are changed and reading is paused: seek and resume afterwards.
 *
 * @throws {SourceError} where most usable events have a key that is not their session id
 */
export async function probeKeys(
  source: Pick<Source, "topic" | "seek" | "pause" | "poll">,
  ranges: readonly PartitionRange[],
): Promise<void> {
  let usable = 0;
  let mismatched = 0;
  for (const { partition, start, end } of ranges) {
    if (start === end) continue;
    await source.seek(partition, Math.max(start, end - SAMPLE_PER_PARTITION));
    const { batches } = await source.poll(SAMPLE_BYTES, SAMPLE_WAIT_MS);
    source.pause(partition);
    for (const batch of batches) {
      for (let i = 0; i < batch.count; i++) {
        const parsed = parseEvent(valueAt(batch, i));
        if ("rejected" in parsed) continue;
        usable++;
        const key = keyAt(batch, i);
        if (key === null || !sameBytes(key, new TextEncoder().encode(parsed.event.sessionId))) mismatched++;
      }
    }
  }
  if (usable >= SAMPLE_MIN && mismatched * 2 > usable) {
    throw new SourceError(
      `Cannot read topic '${source.topic}': a record's key must be its session_id, and of ${usable} events sampled ` +
        `${mismatched} have another key or none. Key the topic by session_id, or set KAFKA_KEY=trust if all events ` +
        `of a session have the same key.`,
    );
  }
}
