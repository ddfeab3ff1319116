/** The simulator as a feed, with its truth on request. */
import type { RecordFeed } from "./feed.ts";
import { recordSize } from "./feed.ts";
import type { SimulatedRecord, Simulator } from "./simulator.ts";
import type { ProducedRecord, RecordPosition } from "./source.ts";
import { Truth, TruthFile } from "./truth.ts";

export interface SimulatedFeedOptions {
  /** Ends after so many events, repetitions not counted, with what is held back then; by default it never ends. */
  readonly events?: number;
  /** Where to write what the sessions must be. */
  readonly truthPath?: string;
}

const encoder = new TextEncoder();

/** The events of a simulator as records, keyed by session id. */
export class SimulatedFeed implements RecordFeed {
  readonly #truth: Truth | null;
  readonly #truthFile: TruthFile | null;
  #sent: SimulatedRecord[] = [];
  /** Generated, but too large for the pull that generated it. */
  #held: { simulated: SimulatedRecord; record: ProducedRecord } | null = null;

  constructor(private readonly simulator: Simulator, private readonly options: SimulatedFeedOptions = {}) {
    const { truthPath } = options;
    const { late = 0 } = simulator.options;
    this.#truth = truthPath === undefined ? null : new Truth(late > 0);
    this.#truthFile = truthPath === undefined ? null : new TruthFile(truthPath, simulator.options.seed);
  }

  next(maxRecords: number, maxBytes: number): Promise<readonly ProducedRecord[]> {
    const records: ProducedRecord[] = [];
    this.#sent = [];
    for (let bytes = 0; records.length < maxRecords;) {
      const next = this.#held ?? this.#generate();
      if (next === null) break;
      bytes += recordSize(next.record);
      this.#held = bytes > maxBytes && records.length > 0 ? next : null;
      if (this.#held !== null) break;
      records.push(next.record);
      if (this.#truth !== null) this.#sent.push(next.simulated);
    }
    return Promise.resolve(records);
  }

  acknowledge(positions: readonly RecordPosition[]): Promise<void> {
    this.#sent.forEach((simulated, i) => {
      const session = this.#truth?.add(simulated, positions[i]!);
      if (session) this.#truthFile?.add(session);
    });
    return Promise.resolve();
  }

  finish(): Promise<void> {
    if (this.#truth !== null) {
      for (const session of this.#truth.drain()) this.#truthFile?.add(session);
      this.#truthFile?.finish(this.#truth.events, this.#truth.records);
    }
    return Promise.resolve();
  }

  abandon(): Promise<void> {
    this.#truthFile?.abandon();
    return Promise.resolve();
  }

  #generate(): { simulated: SimulatedRecord; record: ProducedRecord } | null {
    const simulated = this.simulator.nextOf(this.options.events ?? Infinity);
    if (simulated === null) return null;
    const { event } = simulated;
    const record = { key: encoder.encode(event.session_id), value: encoder.encode(JSON.stringify(event)) };
    return { simulated, record };
  }
}
