/** Work on many objects of a store, a bounded number at a time. */

/** Objects that are read at the same time: enough to hide a network's latency, few enough for memory and sockets. */
const PARALLEL_READS = 16;

/** The results of `read` for each item, in the items' order. The caller may stop early. */
export async function* readInSlices<T, R>(
  items: readonly T[],
  read: (item: T) => Promise<R>,
  parallel: number = PARALLEL_READS,
): AsyncGenerator<R> {
  for (let i = 0; i < items.length; i += parallel) {
    yield* await Promise.all(items.slice(i, i + parallel).map(read));
  }
}
