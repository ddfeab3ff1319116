/**
 * Checkpoints of the sessionizer's state, a file a partition and barrier: `checkpoints/<pipeline>/<topic>/<partition>/`.
 * A file, little-endian:
 *
 *     0   8 bytes  "SESSCKPT"                     16  u32  bytes of the header
 *     8   u32      version of the format          20  u32  bytes of the body before compression
 *     12  u32      CRC32 of all that follows      24  header (JSON), then the body (zstd): the shards' parts, joined
 */
import { promisify } from "node:util";
import { constants, crc32, zstdCompress, zstdDecompress } from "node:zlib";
import type { Ledger, PartitionBarrier } from "../schema/epoch.ts";
import { messageOf } from "../schema/errors.ts";
import { CHECKPOINTS_KEPT } from "../schema/limits.ts";
import type { ObjectStore } from "./sink.ts";

/** 1 was lines of JSON in gzip. */
const FORMAT = 2;
const MAGIC = new TextEncoder().encode("SESSCKPT");
const HEADER_AT = 24;
/** Half of the size for a third of a gzip's time. */
const COMPRESSION_LEVEL = 1;

// Off the thread: the coordinator has commits to make meanwhile.
const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

/** What a checkpoint says of itself. */
export interface CheckpointHeader {
  readonly semanticsVersion: number;
  readonly pipeline: string;
  readonly topic: string;
  /** The barrier that the state stands at. */
  readonly barrier: PartitionBarrier;
  readonly ledger: Ledger;
  readonly latestEventTime: number | null;
  /** A Delta version that holds the barrier, and no later one of the partition: from there on a restart reads the log. */
  readonly deltaVersion: number;
}

/** A checkpoint as read back. */
export interface Checkpoint {
  readonly header: CheckpointHeader;
  /** The shards' parts, joined, as the actors encode them; at a multiple of 8 in its buffer. */
  readonly occurrences: Uint8Array;
}

export interface CheckpointStoreOptions {
  readonly store: ObjectStore;
  readonly pipeline: string;
  readonly topic: string;
  /** Tells the operator of a checkpoint that could not be read. */
  readonly notice: (text: string) => void;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The checkpoints of one pipeline and topic. */
export class CheckpointStore {
  constructor(private readonly options: CheckpointStoreOptions) {}

  /** Writes a checkpoint, then removes the partition's oldest beyond {@linkcode CHECKPOINTS_KEPT}. */
  async write(header: CheckpointHeader, occurrences: readonly Uint8Array[]): Promise<void> {
    const { store } = this.options;
    const bytes = await encodeCheckpoint(header, occurrences);
    await store.put(this.#prefix(header.barrier.partition) + fileName(header.barrier.number), bytes);
    const kept = await store.list(this.#prefix(header.barrier.partition));
    for (const { key } of kept.slice(0, -CHECKPOINTS_KEPT)) await store.delete(key);
  }

  /** The partition's newest readable checkpoint at a barrier ≤ `maxBarrier`; null where there is none. */
  async newest(partition: number, maxBarrier: number): Promise<Checkpoint | null> {
    const keys = (await this.options.store.list(this.#prefix(partition))).map(({ key }) => key).reverse();
    for (const key of keys) {
      if (barrierOf(key) > maxBarrier) continue;
      const checkpoint = await this.#read(key);
      if (checkpoint !== null) return checkpoint;
    }
    return null;
  }

  /**
   * Deletes a partition's checkpoints at barriers below one, where a readable one at or above it makes them needless.
   *
   * @returns how many of them are left
   */
  async deleteBefore(partition: number, barrier: number): Promise<number> {
    const { store } = this.options;
    const keys = (await store.list(this.#prefix(partition))).map(({ key }) => key);
    const old = keys.filter((key) => barrierOf(key) < barrier);
    const newest = keys.at(-1);
    if (newest === undefined || barrierOf(newest) < barrier || await this.#read(newest) === null) {
      return old.length;
    }
    for (const key of old) await store.delete(key);
    return 0;
  }

  async #read(key: string): Promise<Checkpoint | null> {
    const bytes = await this.options.store.get(key);
    if (bytes === null) return null;
    try {
      return await decodeCheckpoint(bytes);
    } catch (error) {
      this.options.notice(
        `Cannot use the checkpoint ${key} (${messageOf(error)}): going back to the one before it.`,
      );
      return null;
    }
  }

  #prefix(partition: number): string {
    const { pipeline, topic } = this.options;
    return `checkpoints/${pipeline}/${topic}/${partition}/`;
  }
}

async function encodeCheckpoint(header: CheckpointHeader, parts: readonly Uint8Array[]): Promise<Uint8Array> {
  const head = encoder.encode(JSON.stringify(header));
  const body = concat(parts);
  const packed = await compress(body, { params: { [constants.ZSTD_c_compressionLevel]: COMPRESSION_LEVEL } });
  const bytes = concat([new Uint8Array(HEADER_AT), head, packed]);
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC);
  view.setUint32(8, FORMAT, true);
  view.setUint32(16, head.length, true);
  view.setUint32(20, body.length, true);
  view.setUint32(12, crc32(bytes.subarray(16)), true);
  return bytes;
}

/** What a checkpoint says of itself; null where it cannot be used. */
export function readCheckpointHeader(bytes: Uint8Array): CheckpointHeader | null {
  try {
    return openCheckpoint(bytes).header;
  } catch {
    return null;
  }
}

/** Throws an `Error` that says why where the bytes are not a whole checkpoint of this format. */
async function decodeCheckpoint(bytes: Uint8Array): Promise<Checkpoint> {
  const { header, packed, bodyBytes } = openCheckpoint(bytes);
  const body = await decompress(packed);
  if (body.length !== bodyBytes) throw new Error("it is not whole");
  return { header, occurrences: concat([body]) };
}

function openCheckpoint(
  bytes: Uint8Array,
): { readonly header: CheckpointHeader; readonly packed: Uint8Array; readonly bodyBytes: number } {
  if (bytes.length < HEADER_AT || MAGIC.some((byte, i) => byte !== bytes[i])) {
    throw new Error("it does not begin like one");
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const format = view.getUint32(8, true);
  if (format !== FORMAT) throw new Error(`its format is ${format}, and this program reads ${FORMAT}`);
  if (crc32(bytes.subarray(16)) !== view.getUint32(12, true)) throw new Error("its checksum does not fit");
  const bodyAt = HEADER_AT + view.getUint32(16, true);
  const header = JSON.parse(decoder.decode(bytes.subarray(HEADER_AT, bodyAt))) as CheckpointHeader;
  return { header, packed: bytes.subarray(bodyAt), bodyBytes: view.getUint32(20, true) };
}

/** Names sort like the numbers of their barriers. */
function fileName(barrier: number): string {
  return `${String(barrier).padStart(16, "0")}.ckpt`;
}

function barrierOf(key: string): number {
  return Number.parseInt(key.slice(key.lastIndexOf("/") + 1), 10);
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}
