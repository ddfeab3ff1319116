/** Items that wait for their time: a binary heap by due time, then by the order in which they came. */

interface Waiting<T> {
  readonly due: number;
  readonly order: number;
  readonly item: T;
}

/** What is held back; as many items as its user puts in. */
export class HeldBack<T> {
  readonly #heap: Waiting<T>[] = [];
  #order = 0;

  put(item: T, due: number): void {
    const heap = this.#heap;
    let at = heap.push({ due, order: this.#order++, item }) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(heap[at]!, heap[parent]!)) break;
      this.#swap(at, parent);
      at = parent;
    }
  }

  /** Takes the earliest item that is due at `now`; null where none is. */
  take(now: number): T | null {
    const heap = this.#heap;
    const first = heap[0];
    if (first === undefined || first.due > now) return null;
    const last = heap.pop()!;
    if (heap.length > 0) {
      heap[0] = last;
      this.#sink();
    }
    return first.item;
  }

  #sink(): void {
    const heap = this.#heap;
    for (let at = 0;;) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < heap.length && before(heap[child]!, heap[least]!)) least = child;
      }
      if (least === at) return;
      this.#swap(at, least);
      at = least;
    }
  }

  #swap(a: number, b: number): void {
    const heap = this.#heap;
    [heap[a], heap[b]] = [heap[b]!, heap[a]!];
  }
}

function before<T>(a: Waiting<T>, b: Waiting<T>): boolean {
  return a.due < b.due || (a.due === b.due && a.order < b.order);
}
