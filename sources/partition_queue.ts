/** Records of one partition that were fetched and wait to be polled. */
import { recordBytes, sliceRecordBatch } from "./record_batch.ts";
import type { RecordBatch } from "./source.ts";

/** What {@linkcode PartitionQueue.take} gave. */
export interface Taken {
  readonly batches: readonly RecordBatch[];
  readonly bytes: number;
  readonly records: number;
}

/** A first-in-first-out queue of batches, taken by bytes. */
export class PartitionQueue {
  #batches: RecordBatch[] = [];
  /** The index of the first record of the first batch that was not taken. */
  #from = 0;
  #bytes = 0;

  /** Key and value bytes that wait. */
  get bytes(): number {
    return this.#bytes;
  }

  get isEmpty(): boolean {
    return this.#batches.length === 0;
  }

  push(batches: readonly RecordBatch[]): void {
    for (const batch of batches) {
      this.#batches.push(batch);
      this.#bytes += batch.keys.length + batch.values.length;
    }
  }

  clear(): void {
    this.#batches = [];
    this.#from = 0;
    this.#bytes = 0;
  }

  /**
   * Takes the next records, in whole batches where they fit: cutting one copies it.
   *
   * @param share the bytes of keys and values that are meant
   * @param most the bytes that the first batch may have instead, to be taken whole
   * @param first the bytes that the first record may have, if it is the only one
   */
  take(share: number, most: number, first: number): Taken {
    const batches: RecordBatch[] = [];
    let [bytes, records] = [0, 0];
    while (this.#batches.length > 0) {
      const head = this.#batches[0]!;
      const size = this.#headBytes(head);
      if (bytes + size > (batches.length === 0 ? Math.max(share, most) : share)) {
        const part = records === 0 ? this.#cut(head, share, first) : null;
        if (part !== null) {
          batches.push(part);
          records += part.count;
          bytes += part.keys.length + part.values.length;
        }
        break;
      }
      // A batch without records moves the position, and costs nothing.
      batches.push(this.#from === 0 ? head : sliceRecordBatch(head, this.#from, head.count));
      bytes += size;
      records += head.count - this.#from;
      this.#shift();
    }
    this.#bytes -= bytes;
    return { batches, bytes, records };
  }

  #shift(): void {
    this.#batches.shift();
    this.#from = 0;
  }

  /** The bytes of what is left of the first batch. */
  #headBytes({ keys, values, keyEnds, valueEnds }: RecordBatch): number {
    const taken = this.#from === 0 ? 0 : keyEnds[this.#from - 1]! + valueEnds[this.#from - 1]!;
    return keys.length + values.length - taken;
  }

  /** The next records of the first batch up to `share` bytes, or one of up to `first`; null where that is too large. */
  #cut(head: RecordBatch, share: number, first: number): RecordBatch | null {
    let [to, bytes] = [this.#from, 0];
    for (; to < head.count; to++) {
      const size = recordBytes(head, to);
      if (to === this.#from ? size > first : bytes + size > share) break;
      bytes += size;
    }
    if (to === this.#from) return null;
    const part = this.#from === 0 && to === head.count ? head : sliceRecordBatch(head, this.#from, to);
    this.#from = to;
    if (to === head.count) this.#shift();
    return part;
  }
}
