/**
 * The occurrences of one shard and partition as columns of numbers, and these as bytes: what a checkpoint is made of.
 * PURE. A part stands for itself, so parts of several shards are joined by putting one after the other; the routing
 * hash of each occurrence's key comes first, so that a shard reads only what is its own.
 *
 *     u32 × 8   bytes of the part; numbers of occurrences, events, profiles, pages, strings; string bytes; 0
 *     then each array of SECTIONS, in its order, little-endian, from the next multiple of 8 on
 */
import { invariant } from "../schema/errors.ts";
import { PAGE_FIELDS, PROFILE_FIELDS } from "../schema/user_event.ts";

/** The columns. An id of a string counts from 1: 0 is none; those of profiles and pages count from 0. */
export interface OccurrenceColumns {
  readonly firstOffset: Float64Array;
  /** The epoch that the occurrence's newest row left with; NaN before the first. */
  readonly rowEpoch: Float64Array;
  /** The routing hash of its key. */
  readonly keyHash: Uint32Array;
  /** Occurrence `i` has the events `eventEnds[i-1]` ≤ e < `eventEnds[i]`, at least one, in offset order. */
  readonly eventEnds: Uint32Array;
  readonly sessionId: Uint32Array;
  /** The key's bytes as a string; the same id as `sessionId` where they are equal. */
  readonly key: Uint32Array;
  /** Of its newest row. */
  readonly revision: Uint32Array;
  /** Events that joined since that row left. */
  readonly amended: Uint32Array;
  /** 0: open; else 1 + the reason's index in CLOSE_REASONS. */
  readonly closed: Uint8Array;
  /** Of the events. */
  readonly offset: Float64Array;
  /** Event times, epoch milliseconds. */
  readonly time: Float64Array;
  /** The two lanes of the hash of the event's id, lower first. */
  readonly idHash: Uint32Array;
  readonly userId: Uint32Array;
  readonly profile: Uint32Array;
  readonly page: Uint32Array;
  /** The type's index in EVENT_TYPES. */
  readonly eventType: Uint8Array;
  /** String ids: PROFILE_FIELDS × profiles. */
  readonly profiles: Uint32Array;
  /** String ids: PAGE_FIELDS × pages. */
  readonly pages: Uint32Array;
  /** String `i`, counted from 1, is `stringBytes[stringEnds[i-2] … stringEnds[i-1]]`. */
  readonly stringEnds: Uint32Array;
  readonly stringBytes: Uint8Array;
}

/** How many there are of each: what the lengths of all columns follow from. */
export interface PartCounts {
  readonly occurrences: number;
  readonly events: number;
  readonly profiles: number;
  readonly pages: number;
  readonly strings: number;
  readonly stringBytes: number;
}

const COUNTS = ["occurrences", "events", "profiles", "pages", "strings", "stringBytes"] as const;
const HEADER_BYTES = 32;

type ArrayType = Float64ArrayConstructor | Uint32ArrayConstructor | Uint8ArrayConstructor;

/** Name, array, what it has an element of, and how many elements for each. */
const SECTIONS: readonly (readonly [keyof OccurrenceColumns, ArrayType, keyof PartCounts, number])[] = [
  ["keyHash", Uint32Array, "occurrences", 1],
  ["firstOffset", Float64Array, "occurrences", 1],
  ["rowEpoch", Float64Array, "occurrences", 1],
  ["eventEnds", Uint32Array, "occurrences", 1],
  ["sessionId", Uint32Array, "occurrences", 1],
  ["key", Uint32Array, "occurrences", 1],
  ["revision", Uint32Array, "occurrences", 1],
  ["amended", Uint32Array, "occurrences", 1],
  ["closed", Uint8Array, "occurrences", 1],
  ["offset", Float64Array, "events", 1],
  ["time", Float64Array, "events", 1],
  ["idHash", Uint32Array, "events", 2],
  ["userId", Uint32Array, "events", 1],
  ["profile", Uint32Array, "events", 1],
  ["page", Uint32Array, "events", 1],
  ["eventType", Uint8Array, "events", 1],
  ["profiles", Uint32Array, "profiles", PROFILE_FIELDS.length],
  ["pages", Uint32Array, "pages", PAGE_FIELDS.length],
  ["stringEnds", Uint32Array, "strings", 1],
  ["stringBytes", Uint8Array, "stringBytes", 1],
];

/** A part, its columns still zero: views of `bytes`, to be filled in place. */
export interface Part {
  readonly bytes: Uint8Array;
  readonly counts: PartCounts;
  readonly columns: OccurrenceColumns;
}

/** A part of so many occurrences, events and so on. */
export function makePart(counts: PartCounts): Part {
  const bytes = new Uint8Array(sizeOf(counts));
  const header = new Uint32Array(bytes.buffer, 0, HEADER_BYTES / 4);
  header[0] = bytes.length;
  COUNTS.forEach((name, i) => header[1 + i] = counts[name]);
  return { bytes, counts, columns: viewColumns(bytes, counts) };
}

/**
 * The parts in `bytes`, one after the other, as views.
 *
 * @param bytes starts at a multiple of 8 in its buffer; that it is what was written is the checkpoint's to check
 */
export function* readParts(bytes: Uint8Array): Generator<Part> {
  for (let at = 0; at < bytes.length;) {
    const header = new Uint32Array(bytes.buffer, bytes.byteOffset + at, HEADER_BYTES / 4);
    const counts = Object.fromEntries(
      COUNTS.map((name, i) => [name, header[1 + i]!]),
    ) as unknown as PartCounts;
    const size = header[0]!;
    invariant(size === sizeOf(counts), `a part of ${size} bytes has the size that its counts ask for`);
    const part = bytes.subarray(at, at += size);
    yield { bytes: part, counts, columns: viewColumns(part, counts) };
  }
}

function sizeOf(counts: PartCounts): number {
  let size = HEADER_BYTES;
  for (const [, Type, of, each] of SECTIONS) size += padded(counts[of] * each * Type.BYTES_PER_ELEMENT);
  return size;
}

function viewColumns(bytes: Uint8Array, counts: PartCounts): OccurrenceColumns {
  let at = bytes.byteOffset + HEADER_BYTES;
  return Object.fromEntries(SECTIONS.map(([name, Type, of, each]) => {
    const length = counts[of] * each;
    const view = new Type(bytes.buffer as ArrayBuffer, at, length);
    at += padded(length * Type.BYTES_PER_ELEMENT);
    return [name, view];
  })) as unknown as OccurrenceColumns;
}

/** Up to the next multiple of 8. */
function padded(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}
