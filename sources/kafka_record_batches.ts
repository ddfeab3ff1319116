/**
 * Kafka's record batches (message format 2), decoded from a fetch response straight into struct-of-arrays: no object a
 * record. What a reader of committed data must not see, control records and aborted transactions, is left out here.
 */
import { SourceError } from "../schema/errors.ts";
import type { Codecs } from "./kafka_codecs.ts";
import { KEY_IS_NULL, type RecordBatch, VALUE_IS_NULL } from "./source.ts";

/** A transaction of which a fetch response says that it was aborted. */
export interface AbortedTransaction {
  readonly producerId: bigint;
  readonly firstOffset: number;
}

/** What a fetch brought of one partition. */
export interface FetchedRecords {
  /** Whole record batches, the last one perhaps cut off by the fetch's limit. */
  readonly bytes: Uint8Array;
  readonly aborted: readonly AbortedTransaction[];
}

export interface DecodeOptions {
  readonly topic: string;
  readonly partition: number;
  /** The offset that was fetched: records below it, which a batch may begin with, are left out. */
  readonly position: number;
  readonly codecs: Codecs;
  /** Batches are joined until their records have so many bytes. */
  readonly chunkBytes: number;
}

/** The records, and the position after all that was read. */
export interface DecodedRecords {
  /** The last one's `nextOffset` is the position; it has no records where only the position moved. */
  readonly batches: readonly RecordBatch[];
  readonly nextOffset: number;
}

/** The message format that is decoded here; earlier ones have no batches. */
export const RECORD_BATCH_FORMAT = 2;
const HEADER_BYTES = 61;
/** Where every format has its number, and up to where a message of an old format is read here. */
const FORMAT_AT = 16;
const COMPRESSION_MASK = 0x07;
const LOG_APPEND_TIME = 0x08;
const TRANSACTIONAL = 0x10;
const CONTROL = 0x20;
const CONTROL_ABORT = 0;

interface BatchHeader {
  readonly baseOffset: number;
  readonly lastOffset: number;
  readonly attributes: number;
  readonly firstTimestamp: number;
  readonly maxTimestamp: number;
  readonly producerId: bigint;
  readonly count: number;
}

/** A record batch's records, decompressed. */
interface Section {
  readonly header: BatchHeader;
  readonly records: Uint8Array;
}

/** The message format of the batch or message at `at`; Infinity where there is none. */
export function formatAt(bytes: Uint8Array, at: number): number {
  return bytes[at + FORMAT_AT] ?? Infinity;
}

/**
 * The position after all whole batches of a fetch, or after its messages where it begins with those of an old format: what
 * decoding it will say too.
 */
export function fetchedUpTo(bytes: Uint8Array, position: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const isOld = formatAt(bytes, 0) < RECORD_BATCH_FORMAT;
  let next = position;
  for (let at = 0, end; at + FORMAT_AT < bytes.length; at = end) {
    end = at + 12 + view.getInt32(at + 8);
    const format = formatAt(bytes, at);
    if (end > bytes.length || format < RECORD_BATCH_FORMAT !== isOld) break;
    next = Math.max(next, readInt64(view, at) + (isOld ? 0 : view.getInt32(at + 23)) + 1);
  }
  return next;
}

/**
 * Decodes all whole batches of a fetch, up to a message of an old format.
 *
 * @throws {SourceError} where a batch is damaged, or newer than message format 2
 */
export function decodeFetchedRecords(fetched: FetchedRecords, options: DecodeOptions): DecodedRecords {
  const { bytes } = fetched;
  const { position, codecs, chunkBytes } = options;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const isAborted = abortedFilter(fetched.aborted);
  const batches: RecordBatch[] = [];
  let nextOffset = position;
  let chunk: Section[] = [];
  let bytesInChunk = 0;
  const flush = () => {
    if (chunk.length > 0) batches.push(...joinSections(chunk, options, nextOffset));
    chunk = [];
    bytesInChunk = 0;
  };
  for (let at = 0, end; at + HEADER_BYTES <= bytes.length; at = end) {
    end = at + 12 + view.getInt32(at + 8);
    if (end > bytes.length || formatAt(bytes, at) < RECORD_BATCH_FORMAT) break;
    const header = readHeader(view, at, end, options);
    const compressed = bytes.subarray(at + HEADER_BYTES, end);
    const decompress = () => codecs.decompress(header.attributes & COMPRESSION_MASK, compressed);
    const skipped = isAborted(header, decompress) || header.attributes & CONTROL || header.count === 0;
    if (!skipped && header.lastOffset >= position) {
      const records = decompress();
      chunk.push({ header, records });
      bytesInChunk += records.length;
    }
    nextOffset = Math.max(nextOffset, header.lastOffset + 1);
    if (bytesInChunk >= chunkBytes) flush();
  }
  flush();
  const reached = batches.at(-1)?.nextOffset ?? position;
  if (reached < nextOffset) batches.push(emptyRecordBatch(options.partition, nextOffset));
  return { batches, nextOffset };
}

function readHeader(view: DataView, at: number, end: number, options: DecodeOptions): BatchHeader {
  const baseOffset = readInt64(view, at);
  const format = view.getInt8(at + FORMAT_AT);
  const place = `partition ${options.partition} of topic '${options.topic}'`;
  if (format !== RECORD_BATCH_FORMAT) {
    throw new SourceError(
      `Cannot read ${place} at offset ${baseOffset}: records must be in a message format up to ` +
        `${RECORD_BATCH_FORMAT}, and these are in format ${format}. Use a Kafka up to 4.`,
    );
  }
  const checked = new Uint8Array(view.buffer, view.byteOffset + at + 21, end - at - 21);
  if (options.codecs.crc32c(checked) !== view.getUint32(at + 17)) {
    throw new SourceError(
      `Cannot read ${place} at offset ${baseOffset}: the record batch's checksum does not match its bytes, so ` +
        `they were damaged on a disk or on the way. Restore the partition from a replica.`,
    );
  }
  return {
    baseOffset,
    lastOffset: baseOffset + view.getInt32(at + 23),
    attributes: view.getInt16(at + 21),
    firstTimestamp: readInt64(view, at + 27),
    maxTimestamp: readInt64(view, at + 35),
    producerId: view.getBigInt64(at + 43),
    count: view.getInt32(at + 57),
  };
}

/** Offsets and timestamps stay below 2⁵³. */
function readInt64(view: DataView, at: number): number {
  return view.getInt32(at) * 2 ** 32 + view.getUint32(at + 4);
}

/**
 * Says of batch after batch, in their order, whether it belongs to an aborted transaction: from the transaction's first
 * offset up to the producer's abort marker.
 */
function abortedFilter(
  transactions: readonly AbortedTransaction[],
): (header: BatchHeader, decompress: () => Uint8Array) => boolean {
  const waiting = transactions.toSorted((a, b) => a.firstOffset - b.firstOffset);
  const aborted = new Set<bigint>();
  return ({ attributes, lastOffset, producerId }, decompress) => {
    while (waiting.length > 0 && waiting[0]!.firstOffset <= lastOffset) {
      aborted.add(waiting.shift()!.producerId);
    }
    if (!(attributes & TRANSACTIONAL) || !aborted.has(producerId)) return false;
    if (attributes & CONTROL && controlType(decompress()) === CONTROL_ABORT) aborted.delete(producerId);
    return true;
  };
}

/** The type of a control record: the second number of its key. */
function controlType(records: Uint8Array): number {
  const cursor = new Cursor(records);
  cursor.varint(); // length
  cursor.at++; // attributes
  for (let i = 0; i < 3; i++) cursor.varint(); // timestamp, offset, the key's length
  return records[cursor.at + 2]! << 8 | records[cursor.at + 3]!;
}

/** Reads Kafka's varints: zigzag, seven bits a byte. */
class Cursor {
  at = 0;

  constructor(readonly bytes: Uint8Array) {}

  varint(): number {
    let byte = this.bytes[this.at++]!;
    let value = byte & 0x7f;
    // Beyond 28 bits by multiplication: a timestamp's delta may be longer than what bit operations hold.
    for (let scale = 128; byte & 0x80; scale *= 128) {
      byte = this.bytes[this.at++]!;
      value += (byte & 0x7f) * scale;
    }
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }
}

/** The batch that says no more than how far the position moved. */
export function emptyRecordBatch(partition: number, nextOffset: number): RecordBatch {
  return {
    partition,
    count: 0,
    offsets: new Float64Array(0),
    timestamps: new Float64Array(0),
    keys: new Uint8Array(0),
    keyEnds: new Uint32Array(0),
    values: new Uint8Array(0),
    valueEnds: new Uint32Array(0),
    nulls: new Uint8Array(0),
    nextOffset,
  };
}

/** Where keys are gathered before their number of bytes is known; grows, and stays. */
let keyScratch = new Uint8Array(64 * 1024);

/** The columns of a batch that is being filled. */
interface Columns {
  readonly offsets: Float64Array;
  readonly timestamps: Float64Array;
  readonly keyEnds: Uint32Array;
  readonly valueEnds: Uint32Array;
  readonly nulls: Uint8Array;
  count: number;
  keyBytes: number;
  valueBytes: number;
}

/** The sections' records from the position on as one batch, none where there is none. */
function joinSections(
  sections: readonly Section[],
  { partition, position }: DecodeOptions,
  nextOffset: number,
): RecordBatch[] {
  const most = sections.reduce((sum, { header }) => sum + header.count, 0);
  const columns: Columns = {
    offsets: new Float64Array(most),
    timestamps: new Float64Array(most),
    keyEnds: new Uint32Array(most),
    valueEnds: new Uint32Array(most),
    nulls: new Uint8Array(most),
    count: 0,
    keyBytes: 0,
    valueBytes: 0,
  };
  const parts = sections.map((section) => gatherSection(section, position, columns));
  const { count, keyBytes, valueBytes } = columns;
  if (count === 0) return [];
  const values = new Uint8Array(valueBytes);
  let at = 0;
  for (const part of parts) {
    values.set(part, at);
    at += part.length;
  }
  const exact = <T extends Float64Array | Uint32Array | Uint8Array>(column: T) =>
    (count === most ? column : column.slice(0, count)) as T;
  return [{
    partition,
    count,
    offsets: exact(columns.offsets),
    timestamps: exact(columns.timestamps),
    keys: keyScratch.slice(0, keyBytes),
    keyEnds: exact(columns.keyEnds),
    values,
    valueEnds: exact(columns.valueEnds),
    nulls: exact(columns.nulls),
    nextOffset,
  }];
}

/**
 * Adds a section's records to the columns; returns the bytes of their values, moved together in place: a view a record
 * would cost as much as all the rest.
 */
function gatherSection({ header, records }: Section, position: number, columns: Columns): Uint8Array {
  const { offsets, timestamps, keyEnds, valueEnds, nulls } = columns;
  const appendTime = (header.attributes & LOG_APPEND_TIME) !== 0;
  const cursor = new Cursor(records);
  let moved = 0;
  let { count, keyBytes } = columns;
  for (let i = 0; i < header.count; i++) {
    const length = cursor.varint();
    const end = cursor.at + length;
    cursor.at++; // attributes: none are defined
    const timestamp = header.firstTimestamp + cursor.varint();
    const offset = header.baseOffset + cursor.varint();
    if (offset >= position) {
      offsets[count] = offset;
      timestamps[count] = appendTime ? header.maxTimestamp : timestamp;
      const keyLength = cursor.varint();
      if (keyLength > 0) {
        keyBytes = gatherKey(records, cursor.at, keyLength, keyBytes);
        cursor.at += keyLength;
      }
      const valueLength = cursor.varint();
      if (valueLength > 0) {
        records.copyWithin(moved, cursor.at, cursor.at + valueLength);
        moved += valueLength;
      }
      nulls[count] = (keyLength < 0 ? KEY_IS_NULL : 0) | (valueLength < 0 ? VALUE_IS_NULL : 0);
      keyEnds[count] = keyBytes;
      valueEnds[count++] = columns.valueBytes + moved;
    }
    cursor.at = end; // headers are not read
  }
  columns.count = count;
  columns.keyBytes = keyBytes;
  columns.valueBytes += moved;
  return records.subarray(0, moved);
}

/** Adds a key to those that were gathered; returns their bytes. Keys are short, so they are copied byte by byte. */
function gatherKey(records: Uint8Array, from: number, length: number, keyBytes: number): number {
  const end = keyBytes + length;
  if (end > keyScratch.length) {
    const larger = new Uint8Array(2 * end);
    larger.set(keyScratch.subarray(0, keyBytes));
    keyScratch = larger;
  }
  for (let at = keyBytes; at < end; at++) keyScratch[at] = records[from++]!;
  return end;
}
