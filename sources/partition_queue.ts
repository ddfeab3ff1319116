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
   * Takes the next records, of `share` bytes of keys and values at most.
   *
   * @param firstBytes the first record may be as large as this instead
   */
  take(share: number, firstBytes: number): Taken {
    const batches: RecordBatch[] = [];
    let [bytes, records] = [0, 0];
    while (this.#batches.length > 0) {
      const head = this.#batches[0]!;
      let to = this.#from;
      for (; to < head.count; to++) {
        const size = recordBytes(head, to);
        if (records === 0 ? size > firstBytes : bytes + size > share) break;
        bytes += size;
        records++;
      }
      if (to === this.#from && to < head.count) break;
      // A batch without records moves the position, and costs nothing.
      batches.push(this.#from === 0 && to === head.count ? head : sliceRecordBatch(head, this.#from, to));
      if (to < head.count) {
        this.#from = to;
        break;
      }
      this.#batches.shift();
      this.#from = 0;
    }
    this.#bytes -= bytes;
    return { batches, bytes, records };
  }
}
