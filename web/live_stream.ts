/** `/api/live`: the status, once a second, as server-sent events. */

/** Viewers at a time; each costs a second's status once a second. */
export const VIEWERS_MAX = 50;
/** Milliseconds between two events. */
export const LIVE_INTERVAL_MS = 1_000;
/** Milliseconds between two looks whether something has turned that must not wait for the next event. */
export const LOOK_INTERVAL_MS = 250;

/** What the stream sends, and when. */
export interface LiveStreamOptions {
  /** The status as JSON. */
  readonly status: () => string;
  /** A short text that changes when viewers must know at once. */
  readonly urgent: () => string;
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
}

/** Sends one text to all viewers: it is made once, however many there are, and not at all without any. */
export class LiveStream {
  readonly #viewers = new Set<ReadableStreamDefaultController<Uint8Array>>();
  #stopped = new AbortController();
  #closed = false;

  constructor(private readonly options: LiveStreamOptions) {}

  /** Viewers at present. */
  get viewers(): number {
    return this.#viewers.size;
  }

  /** A viewer's stream, beginning with an event at once; null where there are {@linkcode VIEWERS_MAX}, or after its end. */
  open(): ReadableStream<Uint8Array> | null {
    if (this.#closed || this.#viewers.size >= VIEWERS_MAX) return null;
    let viewer: ReadableStreamDefaultController<Uint8Array>;
    return new ReadableStream<Uint8Array>({
      start: (controller) => {
        viewer = controller;
        viewer.enqueue(this.#event());
        this.#viewers.add(viewer);
        if (this.#viewers.size === 1) this.#run();
      },
      cancel: () => {
        this.#viewers.delete(viewer);
        if (this.#viewers.size === 0) this.#stopped.abort();
      },
    }, { highWaterMark: 2 });
  }

  /** Ends all streams. */
  close(): void {
    this.#closed = true;
    this.#stopped.abort();
    for (const viewer of this.#viewers) viewer.close();
    this.#viewers.clear();
  }

  async #run(): Promise<void> {
    const stopped = new AbortController();
    this.#stopped = stopped;
    const { sleep, urgent } = this.options;
    let known = urgent();
    for (let waited = LOOK_INTERVAL_MS;; waited += LOOK_INTERVAL_MS) {
      await sleep(LOOK_INTERVAL_MS, stopped.signal);
      if (stopped.signal.aborted) return;
      const turned = urgent();
      if (turned === known && waited < LIVE_INTERVAL_MS) continue;
      known = turned;
      waited = 0;
      const event = this.#event();
      // One that does not read what it was sent misses some, and gets the newest when it does.
      for (const viewer of this.#viewers) if ((viewer.desiredSize ?? 0) > 0) viewer.enqueue(event);
    }
  }

  #event(): Uint8Array {
    return new TextEncoder().encode(`event: status\ndata: ${this.options.status()}\n\n`);
  }
}
