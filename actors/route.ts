/** Splitting a batch of records by shard: bytes are copied once, never parsed. PURE. */
import { KEY_IS_NULL, type RecordBatch, VALUE_IS_NULL } from "../sources/source.ts";
import { routingHash, shardOf } from "./shard.ts";

/** Shorter keys are copied byte by byte: a call would take longer. */
const CALL_BYTES_MIN = 64;

/** A part that is being filled. */
interface Part {
  count: number;
  keyBytes: number;
  valueBytes: number;
  batch: RecordBatch | null;
}

/**
 * The records `start` ≤ i < `end` of a batch, by the shard of their key, each part in the batch's order and in buffers of
 * its own.
 *
 * @returns one entry per shard; null for a shard that gets none
 */
export function splitByShard(
  batch: RecordBatch,
  start: number,
  end: number,
  shards: number,
): readonly (RecordBatch | null)[] {
  const { keys, keyEnds, valueEnds, nulls } = batch;
  const parts = Array.from(
    { length: shards },
    (): Part => ({ count: 0, keyBytes: 0, valueBytes: 0, batch: null }),
  );
  const shardOfRecord = new Uint8Array(end - start);
  let keyStart = start === 0 ? 0 : keyEnds[start - 1]!;
  let valueStart = start === 0 ? 0 : valueEnds[start - 1]!;
  for (let i = start; i < end; i++) {
    const [keyEnd, valueEnd] = [keyEnds[i]!, valueEnds[i]!];
    const shard = nulls[i]! & KEY_IS_NULL
      ? shardOf(null, shards)
      : routingHash(keys, keyStart, keyEnd) % shards;
    shardOfRecord[i - start] = shard;
    const part = parts[shard]!;
    part.count++;
    part.keyBytes += keyEnd - keyStart;
    part.valueBytes += valueEnd - valueStart;
    keyStart = keyEnd;
    valueStart = valueEnd;
  }
  for (const part of parts) if (part.count > 0) part.batch = emptyBatch(batch, part);
  fill(batch, start, end, shardOfRecord, parts);
  return parts.map((part) => part.batch);
}

function emptyBatch({ partition }: RecordBatch, { count, keyBytes, valueBytes }: Part): RecordBatch {
  return {
    partition,
    count,
    offsets: new Float64Array(count),
    timestamps: new Float64Array(count),
    keys: new Uint8Array(keyBytes),
    keyEnds: new Uint32Array(count),
    values: new Uint8Array(valueBytes),
    valueEnds: new Uint32Array(count),
    nulls: new Uint8Array(count),
    nextOffset: 0,
  };
}

/** Copies each record behind those that its part has; the parts' counts count up again. */
function fill(
  from: RecordBatch,
  start: number,
  end: number,
  shardOfRecord: Uint8Array,
  parts: readonly Part[],
): void {
  const { keys, keyEnds, values, valueEnds, offsets, timestamps, nulls } = from;
  for (const part of parts) part.count = part.keyBytes = part.valueBytes = 0;
  let keyStart = start === 0 ? 0 : keyEnds[start - 1]!;
  let valueStart = start === 0 ? 0 : valueEnds[start - 1]!;
  for (let i = start; i < end; i++) {
    const part = parts[shardOfRecord[i - start]!]!;
    const to = part.batch as RecordBatch & { nextOffset: number };
    const [keyEnd, valueEnd] = [keyEnds[i]!, valueEnds[i]!];
    if (keyEnd - keyStart < CALL_BYTES_MIN) {
      for (let at = keyStart, k = part.keyBytes; at < keyEnd; at++) to.keys[k++] = keys[at]!;
    } else {
      to.keys.set(keys.subarray(keyStart, keyEnd), part.keyBytes);
    }
    if (valueEnd > valueStart) to.values.set(values.subarray(valueStart, valueEnd), part.valueBytes);
    const at = part.count++;
    to.keyEnds[at] = part.keyBytes += keyEnd - keyStart;
    to.valueEnds[at] = part.valueBytes += valueEnd - valueStart;
    to.offsets[at] = offsets[i]!;
    to.timestamps[at] = timestamps[i]!;
    to.nulls[at] = nulls[i]! & (KEY_IS_NULL | VALUE_IS_NULL);
    to.nextOffset = offsets[i]! + 1;
    keyStart = keyEnd;
    valueStart = valueEnd;
  }
}
