/** Splitting records by shard: bytes are copied once, never parsed. PURE. */
import { KEY_IS_NULL, type RecordBatch, VALUE_IS_NULL } from "../sources/source.ts";
import { routingHash, shardOf } from "./shard.ts";

/** Shorter keys are copied byte by byte: a call would take longer. */
const CALL_BYTES_MIN = 64;

/** The records `start` ≤ i < `end` of a batch, at least one. */
export interface BatchSlice {
  readonly batch: RecordBatch;
  readonly start: number;
  readonly end: number;
}

/** A part that is being filled. */
interface Part {
  count: number;
  keyBytes: number;
  valueBytes: number;
  batch: RecordBatch | null;
}

/**
 * Records of one partition by the shard of their key, in their order. Each part's arrays lie in one buffer of its own: it
 * crosses to another thread as one thing.
 *
 * @returns one entry per shard; null for a shard that gets none
 */
export function splitByShard(slices: readonly BatchSlice[], shards: number): readonly (RecordBatch | null)[] {
  const parts = Array.from({ length: shards }, (): Part => ({
    count: 0,
    keyBytes: 0,
    valueBytes: 0,
    batch: null,
  }));
  const shardsOf = slices.map((slice) => assign(slice, parts));
  for (const part of parts) if (part.count > 0) part.batch = emptyBatch(slices[0]!.batch.partition, part);
  for (const part of parts) part.count = part.keyBytes = part.valueBytes = 0;
  slices.forEach((slice, i) => fill(slice, shardsOf[i]!, parts));
  return parts.map((part) => part.batch);
}

/** The shard of each record; the parts' sizes are added up. */
function assign({ batch, start, end }: BatchSlice, parts: readonly Part[]): Uint8Array {
  const { keys, keyEnds, valueEnds, nulls } = batch;
  const shards = parts.length;
  const shardOfRecord = new Uint8Array(end - start);
  let keyStart = start === 0 ? 0 : keyEnds[start - 1]!;
  let valueStart = start === 0 ? 0 : valueEnds[start - 1]!;
  for (let i = start; i < end; i++) {
    const [keyEnd, valueEnd] = [keyEnds[i]!, valueEnds[i]!];
    const shard = nulls[i]! & KEY_IS_NULL
      ? shardOf(null, shards)
      : shards === 1
      ? 0
      : routingHash(keys, keyStart, keyEnd) % shards;
    shardOfRecord[i - start] = shard;
    const part = parts[shard]!;
    part.count++;
    part.keyBytes += keyEnd - keyStart;
    part.valueBytes += valueEnd - valueStart;
    keyStart = keyEnd;
    valueStart = valueEnd;
  }
  return shardOfRecord;
}

function emptyBatch(partition: number, { count, keyBytes, valueBytes }: Part): RecordBatch {
  const buffer = new ArrayBuffer(25 * count + keyBytes + valueBytes);
  const bytesAt = 25 * count;
  return {
    partition,
    count,
    offsets: new Float64Array(buffer, 0, count),
    timestamps: new Float64Array(buffer, 8 * count, count),
    keyEnds: new Uint32Array(buffer, 16 * count, count),
    valueEnds: new Uint32Array(buffer, 20 * count, count),
    nulls: new Uint8Array(buffer, 24 * count, count),
    keys: new Uint8Array(buffer, bytesAt, keyBytes),
    values: new Uint8Array(buffer, bytesAt + keyBytes, valueBytes),
    nextOffset: 0,
  };
}

/** Copies each record behind those that its part has; the parts' sizes count up again. */
function fill({ batch, start, end }: BatchSlice, shardOfRecord: Uint8Array, parts: readonly Part[]): void {
  const { keys, keyEnds, values, valueEnds, offsets, timestamps, nulls } = batch;
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
