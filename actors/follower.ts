/**
 * ClickHouse follows the Delta log. Versions are inserted one by one: right after their commit on the fast path, and at
 * start whatever the warehouse does not list as done. An outage costs freshness, never a row: it is tried again until
 * it works, while commits go on.
 */
import { SinkError } from "../schema/errors.ts";
import type { Sink } from "../schema/pipeline_stats.ts";
import type { Lake, Warehouse } from "../sinks/sink.ts";
import type { Clock } from "./clock.ts";
import type { Meter } from "./meter.ts";
import { retrying } from "./retry.ts";

/** Versions whose changes are read from the log at once. */
const VERSIONS_PER_READ = 100;
/**
 * How often the log is looked at for what other instances committed, on average. What two looks in a row find missing in
 * the warehouse is inserted here: its writer has died, or is cut off from the warehouse.
 */
const LOOK_INTERVAL_MS = 15_000;

export interface FollowerDeps {
  readonly lake: Pick<Lake, "changes" | "encodeVersion" | "state" | "retirements">;
  readonly warehouse: Pick<Warehouse, "doneVersions" | "follow" | "retire">;
  readonly tableId: string;
  readonly clock: Clock;
  readonly notice: (text: string) => void;
  readonly meter: Pick<Meter, "inserted" | "sinks">;
}

/** A version on its way into the warehouse. */
interface Waiting {
  readonly version: number;
  /** Told the milliseconds that the insert took. */
  readonly inserted: (insertMs: number) => void;
}

/** Inserts committed versions into the warehouse, in the order of their commits. */
export class Follower {
  readonly #queue: Waiting[] = [];
  #wake: () => void = () => {};
  #idle = true;
  #idleListeners: (() => void)[] = [];
  readonly #stop = new AbortController();
  /** Every version up to this one is in the warehouse or was queued here. */
  #takenTo = -1;
  /** Later ones that are, and those that the last look found missing. */
  readonly #taken = new Set<number>();
  readonly #missed = new Set<number>();

  constructor(private readonly deps: FollowerDeps) {}

  /** Versions committed and not yet inserted. */
  get lag(): number {
    return this.#queue.length;
  }

  /** Puts every version up to `newest` that the warehouse has not done at the head of the queue. */
  async catchUp(newest: number): Promise<number> {
    const { warehouse, tableId } = this.deps;
    const done = await retrying(
      () => warehouse.doneVersions(tableId),
      this.#retry("warehouse", "Asking ClickHouse what it has"),
    );
    for (let version = 0; version <= newest; version++) {
      if (!done.has(version)) this.#queue.push({ version, inserted: () => {} });
    }
    this.#takenTo = newest;
    return this.#queue.length;
  }

  /** Until it is stopped: looks now and then for versions of other writers that stay missing, and takes them on. */
  async watch(): Promise<void> {
    const { clock } = this.deps;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      // Instances look at different times, so that not all of them take the same version on.
      await clock.sleep(LOOK_INTERVAL_MS * (0.5 + clock.random()), signal);
      if (!signal.aborted) await this.#whileRunning(() => this.#look());
    }
  }

  async #look(): Promise<void> {
    const { lake, warehouse, tableId } = this.deps;
    const { version: newest } = await retrying(
      () => lake.state(),
      this.#retry("lake", "Reading the Delta log"),
    );
    if (newest === this.#takenTo) return;
    const from = this.#takenTo + 1;
    const done = await retrying(
      () => warehouse.doneVersions(tableId, from),
      this.#retry("warehouse", "Asking ClickHouse what it has"),
    );
    for (let version = from; version <= newest; version++) {
      if (done.has(version)) this.#taken.add(version);
      if (this.#taken.has(version)) continue;
      if (this.#missed.has(version)) this.push(version, () => {});
      else this.#missed.add(version);
    }
    while (this.#taken.delete(this.#takenTo + 1)) this.#missed.delete(++this.#takenTo);
  }

  /**
   * Adds a version that was just committed. Dates that left before it are deleted before it: otherwise what it brings to them
   * would go too.
   */
  push(version: number, inserted: (insertMs: number) => void): void {
    for (const retirement of this.deps.lake.retirements) {
      const taken = retirement <= this.#takenTo || this.#taken.has(retirement);
      if (!taken && retirement < version) this.#add({ version: retirement, inserted: () => {} });
    }
    this.#add({ version, inserted });
    this.#wake();
  }

  #add(waiting: Waiting): void {
    this.#taken.add(waiting.version);
    this.#queue.push(waiting);
  }

  /** Works through the queue until it is stopped. */
  async run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      if (this.#queue.length === 0) {
        this.#setIdle(true);
        await new Promise<void>((resolve) => this.#wake = resolve);
        continue;
      }
      this.#setIdle(false);
      await this.#whileRunning(() => this.#follow(this.#queue.slice(0, VERSIONS_PER_READ)));
    }
  }

  /** What was given up because it was stopped while it tried again is the next start's. */
  async #whileRunning(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const gaveUp = this.#stop.signal.aborted && error instanceof SinkError && error.retryable;
      if (!gaveUp) throw error;
    }
  }

  /** Resolves when every version is inserted, or `waitMs` later; true in the first case. */
  async settled(waitMs: number): Promise<boolean> {
    if (this.#queue.length === 0 && this.#idle) return true;
    const timeout = new AbortController();
    const idle = new Promise<boolean>((resolve) => this.#idleListeners.push(() => resolve(true)));
    const late = this.deps.clock.sleep(waitMs, timeout.signal).then(() => false);
    const settled = await Promise.race([idle, late]);
    timeout.abort();
    return settled;
  }

  /** Stops after the version at work. */
  stop(): void {
    this.#stop.abort();
    this.#wake();
  }

  async #follow(waiting: readonly Waiting[]): Promise<void> {
    const { lake, warehouse, tableId, clock, meter } = this.deps;
    const versions = waiting.map(({ version }) => version);
    const changes = await retrying(
      () => lake.changes(versions),
      this.#retry("lake", "Reading the Delta log"),
    );
    for (const { version, files, retired } of changes) {
      if (this.#stop.signal.aborted) return;
      const started = clock.monotonic();
      const payload = files.length === 0 ? null : await retrying(
        () => lake.encodeVersion(files),
        this.#retry("lake", `Reading the files of Delta version ${version}`),
      );
      await retrying(
        () =>
          retired === undefined
            ? warehouse.follow(tableId, version, payload)
            : warehouse.retire(tableId, version, retired),
        this.#retry("warehouse", `The ClickHouse insert of Delta version ${version}`),
      );
      const insertMs = clock.monotonic() - started;
      if (payload !== null) meter.inserted(payload.rows, payload.parquet.byteLength, insertMs);
      this.#queue.shift()!.inserted(insertMs);
    }
  }

  #retry(sink: Sink, what: string) {
    const { clock, notice, meter } = this.deps;
    return { clock, notice, what, signal: this.#stop.signal, watcher: meter.sinks[sink] };
  }

  #setIdle(idle: boolean): void {
    this.#idle = idle;
    if (idle) this.#idleListeners.splice(0).forEach((listener) => listener());
  }
}
