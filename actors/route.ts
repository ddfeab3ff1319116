/** Splitting a batch of records by shard: bytes are copied once, never parsed. PURE. */
import { KEY_IS_NULL, keyAt, type RecordBatch, VALUE_IS_NULL, valueAt } from "../sources/source.ts";
import { shardOf } from "./shard.ts";

/**
 * The records `start` ≤ i < `end` of a batch, by the shard of their key, each part in the batch's order.
 *
 * @returns one entry per shard; null for a shard that gets none
 */
export function splitByShard(
  batch: RecordBatch,
  start: number,
  end: number,
  shards: number,
): readonly (RecordBatch | null)[] {
  const members: number[][] = Array.from({ length: shards }, () => []);
  for (let i = start; i < end; i++) members[shardOf(keyAt(batch, i), shards)]!.push(i);
  return members.map((indexes) => indexes.length === 0 ? null : pick(batch, indexes));
}

/** The records at `indexes`, as a batch of their own with buffers of their own. */
export function pick(batch: RecordBatch, indexes: readonly number[]): RecordBatch {
  const count = indexes.length;
  const picked = {
    partition: batch.partition,
    count,
    offsets: new Float64Array(count),
    timestamps: new Float64Array(count),
    nulls: new Uint8Array(count),
    ...join(indexes.map((i) => keyAt(batch, i)), "keys", "keyEnds"),
    ...join(indexes.map((i) => valueAt(batch, i)), "values", "valueEnds"),
    nextOffset: batch.offsets[indexes[count - 1]!]! + 1,
  };
  indexes.forEach((index, i) => {
    picked.offsets[i] = batch.offsets[index]!;
    picked.timestamps[i] = batch.timestamps[index]!;
    picked.nulls[i] = batch.nulls[index]! & (KEY_IS_NULL | VALUE_IS_NULL);
  });
  return picked;
}

/** Joins byte strings, null like empty, into one array with the end of each. */
function join<B extends string, E extends string>(
  parts: readonly (Uint8Array | null)[],
  bytesName: B,
  endsName: E,
): Record<B, Uint8Array> & Record<E, Uint32Array> {
  const ends = new Uint32Array(parts.length);
  let length = 0;
  parts.forEach((part, i) => ends[i] = length += part?.length ?? 0);
  const bytes = new Uint8Array(length);
  parts.forEach((part, i) => part !== null && bytes.set(part, ends[i]! - part.length));
  return { [bytesName]: bytes, [endsName]: ends } as Record<B, Uint8Array> & Record<E, Uint32Array>;
}
