/**
 * The compressions and the checksum of Kafka's record batches. Snappy, LZ4 and CRC-32C come from native packages, loaded
 * once a process; all but LZ4 have a fallback in plain JavaScript where native code is not permitted.
 */
import { Buffer } from "node:buffer";
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { AssertionError, messageOf, SourceError } from "../schema/errors.ts";

/** Compresses or decompresses one record batch's records. */
export type Codec = (bytes: Uint8Array) => Uint8Array;

/** What reading and writing record batches needs. */
export interface Codecs {
  /**
   * Decompresses, by the compression in a batch's attributes (0: none, 1: gzip, 2: Snappy, 3: LZ4, 4: zstd). The bytes
   * that it returns are the caller's own.
   */
  decompress(compression: number, bytes: Uint8Array): Uint8Array;
  readonly compressSnappy: Codec;
  /** CRC-32C, unsigned. */
  readonly crc32c: Checksum;
}

type Checksum = (bytes: Uint8Array) => number;

/** Raw Snappy, without framing. */
export interface RawSnappy {
  readonly compress: Codec;
  readonly uncompress: Codec;
}

/** How Java's SnappyOutputStream begins: its magic and two versions; then blocks, each after its length. */
const XERIAL_MAGIC = Uint8Array.of(0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0);
const XERIAL_HEADER_BYTES = 16;

let loaded: Promise<Codecs> | null = null;

/** The codecs; the native packages are loaded with the first call. */
export function loadCodecs(): Promise<Codecs> {
  return loaded ??= load();
}

async function load(): Promise<Codecs> {
  const [snappy, decompressLz4, crc32c] = await Promise.all([loadSnappy(), loadLz4(), loadCrc32c()]);
  const decompressors: readonly Codec[] = [
    (bytes) => new Uint8Array(bytes),
    gunzipSync,
    (bytes) => uncompressSnappy(bytes, snappy.uncompress),
    decompressLz4,
    zstdDecompressSync,
  ];
  return {
    compressSnappy: snappy.compress,
    crc32c,
    decompress(compression, bytes) {
      const decompress = decompressors[compression];
      if (decompress === undefined) throw new AssertionError(`No such compression in Kafka: ${compression}`);
      return decompress(bytes);
    },
  };
}

/** Node's view of the same bytes, without a copy: what native packages take. */
function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength);
}

/** The native implementation, or the one in JavaScript where native code can't be loaded. */
async function loadSnappy(): Promise<RawSnappy> {
  try {
    const { compressSync, uncompressSync } = await import("snappy");
    return {
      compress: (bytes) => compressSync(bufferOf(bytes)),
      uncompress: (bytes) => uncompressSync(bufferOf(bytes)) as Buffer,
    };
  } catch {
    return await loadPlainSnappy();
  }
}

/** Snappy in plain JavaScript: several times slower, and nothing to permit. */
export async function loadPlainSnappy(): Promise<RawSnappy> {
  const { compress, uncompress } = await import("snappyjs");
  return { compress: (bytes) => compress(bytes), uncompress: (bytes) => uncompress(bytes) };
}

/** The processor's own instruction is some twenty times as fast as kafkajs's table. */
async function loadCrc32c(): Promise<Checksum> {
  try {
    const { crc32c } = await import("@node-rs/crc32");
    return (bytes) => crc32c(bufferOf(bytes));
  } catch {
    return await loadPlainCrc32c();
  }
}

/** CRC-32C in plain JavaScript, kafkajs's. */
export async function loadPlainCrc32c(): Promise<Checksum> {
  const { default: crc32c } = await import("kafkajs/src/protocol/recordBatch/crc32C/index.js");
  return crc32c as Checksum;
}

/** LZ4 is only read, and by few: what can't be loaded is said when a topic needs it. */
async function loadLz4(): Promise<Codec> {
  try {
    const { decompressFrameSync } = await import("lz4-napi");
    return (bytes) => decompressFrameSync(bufferOf(bytes));
  } catch (error) {
    return () => {
      throw new SourceError(
        `The topic holds batches compressed with LZ4, and the native package lz4-napi that reads them can't be ` +
          `loaded: ${
            messageOf(error)
          }. Permit native code (--allow-ffi), or produce with another compression.`,
      );
    };
  }
}

/** Snappy as Java writes it, in framed blocks, or as the C library does, raw. */
export function uncompressSnappy(bytes: Uint8Array, uncompress: Codec): Uint8Array {
  if (!XERIAL_MAGIC.every((byte, i) => bytes[i] === byte)) return uncompress(bytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const blocks: Uint8Array[] = [];
  let total = 0;
  for (let at = XERIAL_HEADER_BYTES; at < bytes.length;) {
    const end = at + 4 + view.getInt32(at);
    const block = uncompress(bytes.subarray(at + 4, end));
    blocks.push(block);
    total += block.length;
    at = end;
  }
  if (blocks.length === 1) return blocks[0]!;
  const joined = new Uint8Array(total);
  let at = 0;
  for (const block of blocks) {
    joined.set(block, at);
    at += block.length;
  }
  return joined;
}
