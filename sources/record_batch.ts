/**
 * Record batches: built from records, cut, and encoded as the embedded log stores them, one BLOB a batch.
 *
 * The stored form, little-endian, repeats what its row says, so that a damaged row cannot pass for another:
 *
 *     0  u8   version (1)              16  f64  base offset
 *     1  u8   flags (1: headers)       24  f64  timestamp, epoch ms: one for all, the time of the append
 *     2  u16  0                        32  u32  bytes of keys
 *     4  u32  CRC32 of all but itself  36  u32  bytes of values
 *     8  u32  partition                40  u32 key ends × count, u32 value ends × count, u8 null flags × count,
 *    12  u32  count                        keys, values, headers (JSON, an object or null a record)
 */
import { crc32 } from "node:zlib";
import { invariant } from "../schema/errors.ts";
import { KEY_IS_NULL, type ProducedRecord, type RecordBatch, VALUE_IS_NULL } from "./source.ts";

export type Headers = Readonly<Record<string, string>>;

/** A stored batch, decoded. `headers` has an entry for each record, or is null where none has any. */
export interface StoredBatch {
  readonly batch: RecordBatch;
  readonly headers: readonly (Headers | null)[] | null;
}

const VERSION = 1;
const HAS_HEADERS = 1;
const FIXED_BYTES = 40;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The records as one batch, with the offsets from `baseOffset` on and one timestamp (epoch ms). */
export function recordBatchOf(
  partition: number,
  baseOffset: number,
  timestamp: number,
  records: readonly ProducedRecord[],
): RecordBatch {
  const count = records.length;
  const keyEnds = new Uint32Array(count);
  const valueEnds = new Uint32Array(count);
  const nulls = new Uint8Array(count);
  let keyBytes = 0;
  let valueBytes = 0;
  for (let i = 0; i < count; i++) {
    const { key, value } = records[i]!;
    keyEnds[i] = keyBytes += key?.length ?? 0;
    valueEnds[i] = valueBytes += value?.length ?? 0;
    nulls[i] = (key === null ? KEY_IS_NULL : 0) | (value === null ? VALUE_IS_NULL : 0);
  }
  const keys = new Uint8Array(keyBytes);
  const values = new Uint8Array(valueBytes);
  for (let i = 0; i < count; i++) {
    const { key, value } = records[i]!;
    if (key !== null) keys.set(key, keyEnds[i]! - key.length);
    if (value !== null) values.set(value, valueEnds[i]! - value.length);
  }
  return {
    partition,
    count,
    offsets: Float64Array.from({ length: count }, (_, i) => baseOffset + i),
    timestamps: new Float64Array(count).fill(timestamp),
    keys,
    keyEnds,
    values,
    valueEnds,
    nulls,
    nextOffset: baseOffset + count,
  };
}

/** The key and value bytes of record `index`, in bytes. */
export function recordBytes(batch: RecordBatch, index: number): number {
  const keyStart = index === 0 ? 0 : batch.keyEnds[index - 1]!;
  const valueStart = index === 0 ? 0 : batch.valueEnds[index - 1]!;
  return batch.keyEnds[index]! - keyStart + batch.valueEnds[index]! - valueStart;
}

/** The records `from` ≤ i < `to`, copied: the buffers are the result's own, and may be transferred. */
export function sliceRecordBatch(batch: RecordBatch, from: number, to: number): RecordBatch {
  invariant(0 <= from && from < to && to <= batch.count, `a slice of ${batch.count}: ${from} to ${to}`);
  const keyStart = from === 0 ? 0 : batch.keyEnds[from - 1]!;
  const valueStart = from === 0 ? 0 : batch.valueEnds[from - 1]!;
  return {
    partition: batch.partition,
    count: to - from,
    offsets: batch.offsets.slice(from, to),
    timestamps: batch.timestamps.slice(from, to),
    keys: batch.keys.slice(keyStart, batch.keyEnds[to - 1]!),
    keyEnds: batch.keyEnds.slice(from, to).map((end) => end - keyStart),
    values: batch.values.slice(valueStart, batch.valueEnds[to - 1]!),
    valueEnds: batch.valueEnds.slice(from, to).map((end) => end - valueStart),
    nulls: batch.nulls.slice(from, to),
    nextOffset: to === batch.count ? batch.nextOffset : batch.offsets[to]!,
  };
}

/**
 * The stored form of a batch whose offsets are contiguous and whose timestamps are equal.
 *
 * @param headers an entry for each record, where any has headers
 */
export function encodeStoredBatch(
  batch: RecordBatch,
  headers: readonly (Headers | null)[] | null = null,
): Uint8Array {
  const { count, keyEnds, valueEnds, keys, values } = batch;
  invariant(count > 0, "a stored batch has a record");
  invariant(headers === null || headers.length === count, "each record has its headers or null");
  const headerBytes = headers === null ? new Uint8Array(0) : encoder.encode(JSON.stringify(headers));
  const bytes = new Uint8Array(FIXED_BYTES + 9 * count + keys.length + values.length + headerBytes.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, VERSION);
  view.setUint8(1, headers === null ? 0 : HAS_HEADERS);
  view.setUint32(8, batch.partition, true);
  view.setUint32(12, count, true);
  view.setFloat64(16, batch.offsets[0]!, true);
  view.setFloat64(24, batch.timestamps[0]!, true);
  view.setUint32(32, keys.length, true);
  view.setUint32(36, values.length, true);
  // Every platform that Deno runs on is little-endian, so the arrays' own bytes are the format's.
  new Uint32Array(bytes.buffer, FIXED_BYTES, count).set(keyEnds);
  new Uint32Array(bytes.buffer, FIXED_BYTES + 4 * count, count).set(valueEnds);
  let at = FIXED_BYTES + 8 * count;
  for (const part of [batch.nulls, keys, values, headerBytes]) {
    bytes.set(part, at);
    at += part.length;
  }
  view.setUint32(4, checksum(bytes), true);
  return bytes;
}

/**
 * The batch of a stored form; null where the bytes are damaged or not of this version. Keys, values and so on are views
 * of `bytes`, where their place in its buffer allows it.
 */
export function decodeStoredBatch(bytes: Uint8Array): StoredBatch | null {
  if (bytes.length < FIXED_BYTES || bytes[0] !== VERSION) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint32(4, true) !== checksum(bytes)) return null;
  if (bytes.byteOffset % Uint32Array.BYTES_PER_ELEMENT !== 0) return decodeStoredBatch(bytes.slice());
  const count = view.getUint32(12, true);
  const baseOffset = view.getFloat64(16, true);
  const [keyBytes, valueBytes] = [view.getUint32(32, true), view.getUint32(36, true)];
  const offsets = new Float64Array(count);
  for (let i = 0; i < count; i++) offsets[i] = baseOffset + i;
  let at = FIXED_BYTES + 8 * count;
  const take = (length: number) => bytes.subarray(at, at += length);
  const ends = bytes.byteOffset + FIXED_BYTES;
  const batch = {
    partition: view.getUint32(8, true),
    count,
    offsets,
    timestamps: new Float64Array(count).fill(view.getFloat64(24, true)),
    nulls: take(count),
    keys: take(keyBytes),
    keyEnds: new Uint32Array(bytes.buffer, ends, count),
    values: take(valueBytes),
    valueEnds: new Uint32Array(bytes.buffer, ends + 4 * count, count),
    nextOffset: baseOffset + count,
  };
  const headers = bytes[1]! & HAS_HEADERS ? JSON.parse(decoder.decode(bytes.subarray(at))) : null;
  return { batch, headers: headers as (Headers | null)[] | null };
}

function checksum(bytes: Uint8Array): number {
  return crc32(bytes.subarray(8), crc32(bytes.subarray(0, 4)));
}
