/**
 * Checkpoints of the sessionizer's state, a file a partition and barrier: `checkpoints/<topic>/<partition>/`. A file is
 * gzip (whose CRC-32 finds damage) over lines of JSON: a header, the occurrences, a trailer with their number.
 */
import { gunzipSync, gzipSync } from "node:zlib";
import type { Ledger, PartitionBarrier } from "../schema/epoch.ts";
import { messageOf } from "../schema/errors.ts";
import { CHECKPOINTS_KEPT } from "../schema/limits.ts";
import type { ObjectStore } from "./sink.ts";

const FORMAT = 1;

/** What a checkpoint says of itself. */
export interface CheckpointHeader {
  readonly semanticsVersion: number;
  readonly pipeline: string;
  readonly topic: string;
  /** The barrier that the state stands at. */
  readonly barrier: PartitionBarrier;
  readonly ledger: Ledger;
  readonly latestEventTime: number | null;
  /** The Delta version that holds the barrier, or a later one. */
  readonly deltaVersion: number;
}

/** A checkpoint as read back. */
export interface Checkpoint {
  readonly header: CheckpointHeader;
  /** Lines, as the actors encode them. */
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
    const lines = occurrences.reduce((sum, part) => sum + countLines(part), 0);
    const head = encoder.encode(JSON.stringify({ format: FORMAT, ...header }) + "\n");
    const tail = encoder.encode(JSON.stringify({ occurrences: lines }) + "\n");
    const bytes = gzipSync(concat([head, ...occurrences, tail]));
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

  async #read(key: string): Promise<Checkpoint | null> {
    const bytes = await this.options.store.get(key);
    if (bytes === null) return null;
    try {
      const content = gunzipSync(bytes);
      const headEnd = content.indexOf(10) + 1;
      const tailStart = content.lastIndexOf(10, content.length - 2) + 1;
      const { format, ...header } = JSON.parse(decoder.decode(content.subarray(0, headEnd)));
      const trailer = JSON.parse(decoder.decode(content.subarray(tailStart)));
      const occurrences = new Uint8Array(content.subarray(headEnd, tailStart));
      if (format !== FORMAT) throw new Error(`its format is ${format}, and this program reads ${FORMAT}`);
      if (trailer.occurrences !== countLines(occurrences)) throw new Error("it is not whole");
      return { header: header as CheckpointHeader, occurrences };
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

/** Names sort like the numbers of their barriers. */
function fileName(barrier: number): string {
  return `${String(barrier).padStart(16, "0")}.json.gz`;
}

function barrierOf(key: string): number {
  return Number.parseInt(key.slice(key.lastIndexOf("/") + 1), 10);
}

function countLines(bytes: Uint8Array): number {
  let count = 0;
  for (const byte of bytes) if (byte === 10) count++;
  return count;
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
