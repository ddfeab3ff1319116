/**
 * What the crash harness produces, with the truth of it: sessions that stay open from the first moment on, then readers
 * whose events come twice, out of order and late, and now and then bytes that are no event.
 */
import { type RecordFeed, recordSize } from "../../../sources/feed.ts";
import { Random } from "../../../sources/random.ts";
import { type SimulatedRecord, Simulator, UserSession } from "../../../sources/simulator.ts";
import type { ProducedRecord, RecordPosition } from "../../../sources/source.ts";
import { Truth, TruthFile } from "../../../sources/truth.ts";

/** Fewer than any session has, so none of them ends. */
const EVENTS_OF_OPEN = 3;
/** How long after its session's end a late event is sent; well within what a finished session is remembered for. */
const LATE_MS = [1_000, 6_000, 20_000] as const;
const encoder = new TextEncoder();

/** The fractions of what goes wrong on its way. */
export interface Disorder {
  readonly late: number;
  readonly duplicates: number;
  readonly outOfOrder: number;
  /** Records that are no event. */
  readonly bad: number;
}

export interface CrashFeedOptions {
  readonly seed: number;
  readonly readers: number;
  readonly disorder: Disorder;
  readonly truthPath: string;
  /** Wall clock, epoch milliseconds. */
  readonly now: () => number;
}

/** What was acknowledged. */
export interface CrashFeedCounts {
  readonly records: number;
  readonly events: number;
  readonly bad: number;
  readonly late: number;
}

interface Sending {
  readonly simulated: SimulatedRecord | null;
  readonly late: boolean;
}

/** A feed that never ends, in two parts: first {@linkcode opening}, then itself. */
export class CrashFeed implements RecordFeed {
  readonly #random: Random;
  readonly #simulator: Simulator;
  readonly #truth = new Truth();
  readonly #file: TruthFile;
  readonly #begun = new Set<string>();
  /** Events held back until their session has ended. */
  readonly #heldBack = new Map<string, SimulatedRecord[]>();
  #heldLast: SimulatedRecord["event"] | null = null;
  /** Late events in the order in which they are due, by their delay. */
  readonly #due = LATE_MS.map(() => [] as { readonly at: number; readonly simulated: SimulatedRecord }[]);
  /** Ended sessions that have late events to come: the truth is told of their end after those. */
  readonly #ends = new Map<string, { late: number; end: [SimulatedRecord, RecordPosition] | null }>();
  #sending: Sending[] = [];
  #bad = 0;
  #late = 0;

  constructor(private readonly options: CrashFeedOptions) {
    const { seed, readers, disorder: { duplicates, outOfOrder }, now, truthPath } = options;
    this.#random = new Random(seed + 1);
    this.#simulator = new Simulator({
      seed,
      readers,
      duplicates,
      outOfOrder,
      timeline: { kind: "live", now },
    });
    this.#file = new TruthFile(truthPath, seed);
  }

  get counts(): CrashFeedCounts {
    const { records, events } = this.#truth;
    return { records: records + this.#bad, events, bad: this.#bad, late: this.#late };
  }

  /** The first events of `sessions` sessions that have no others. */
  opening(sessions: number): RecordFeed {
    let begun = 0;
    return {
      next: (maxRecords, maxBytes) => {
        this.#sending = [];
        const records: ProducedRecord[] = [];
        for (let bytes = 0; begun < sessions && bytes < maxBytes && records.length < maxRecords; begun++) {
          const session = new UserSession(this.#random, false);
          for (let i = 0; i < EVENTS_OF_OPEN; i++) {
            const event = session.next(Math.floor(this.options.now()), false);
            records.push(this.#send({ simulated: { event, duplicate: false }, late: false }));
            bytes += recordSize(records.at(-1)!);
          }
        }
        return Promise.resolve(records);
      },
      acknowledge: (positions) => this.acknowledge(positions),
      finish: () => Promise.resolve(),
      abandon: () => this.abandon(),
    };
  }

  next(maxRecords: number, maxBytes: number): Promise<readonly ProducedRecord[]> {
    this.#sending = [];
    const records: ProducedRecord[] = [];
    for (let bytes = 0; records.length < maxRecords && bytes < maxBytes;) {
      records.push(this.#send(this.#next()));
      bytes += recordSize(records.at(-1)!);
    }
    return Promise.resolve(records);
  }

  #send(sending: Sending): ProducedRecord {
    this.#sending.push(sending);
    const event = sending.simulated?.event;
    if (event === undefined) {
      return { key: encoder.encode(this.#random.uuid()), value: encoder.encode("no event") };
    }
    return { key: encoder.encode(event.session_id), value: encoder.encode(JSON.stringify(event)) };
  }

  #next(): Sending {
    const { disorder, now } = this.options;
    if (this.#chance(disorder.bad)) return { simulated: null, late: false };
    const time = now();
    const due = this.#due.find(([first]) => first !== undefined && first.at <= time)?.shift();
    if (due !== undefined) return { simulated: due.simulated, late: true };
    for (;;) {
      const simulated = this.#simulator.next();
      const { event, duplicate } = simulated;
      if (duplicate && event === this.#heldLast) continue;
      const id = event.session_id;
      if (event.event_type === "session_end") this.#ended(id, time);
      else if (!duplicate && this.#begun.has(id) && this.#chance(disorder.late)) {
        this.#heldBack.set(id, [...this.#heldBack.get(id) ?? [], simulated]);
        this.#heldLast = event;
        continue;
      } else this.#begun.add(id);
      return { simulated, late: false };
    }
  }

  /** What was held back of the session is sent from now on, one by one. */
  #ended(id: string, time: number): void {
    this.#begun.delete(id);
    const events = this.#heldBack.get(id);
    if (events === undefined) return;
    this.#heldBack.delete(id);
    this.#ends.set(id, { late: events.length, end: null });
    for (const simulated of events) {
      const which = this.#random.below(LATE_MS.length);
      this.#due[which]!.push({ at: time + LATE_MS[which]!, simulated });
    }
  }

  #chance(probability: number): boolean {
    return this.#random.float() < probability;
  }

  acknowledge(positions: readonly RecordPosition[]): Promise<void> {
    this.#sending.forEach(({ simulated, late }, i) => {
      if (simulated === null) this.#bad++;
      else this.#acknowledge(simulated, late, positions[i]!);
    });
    return Promise.resolve();
  }

  #acknowledge(simulated: SimulatedRecord, late: boolean, position: RecordPosition): void {
    const { event } = simulated;
    const ending = this.#ends.get(event.session_id);
    if (ending !== undefined && event.event_type === "session_end") {
      ending.end = [simulated, position];
      return;
    }
    this.#add(simulated, position);
    if (!late || ending === undefined) return;
    this.#late++;
    if (--ending.late > 0) return;
    this.#ends.delete(event.session_id);
    if (ending.end !== null) this.#add(...ending.end);
  }

  #add(simulated: SimulatedRecord, position: RecordPosition): void {
    const session = this.#truth.add(simulated, position);
    if (session !== null) this.#file.add(session);
  }

  finish(): Promise<void> {
    for (const { end } of this.#ends.values()) if (end !== null) this.#add(...end);
    for (const session of this.#truth.drain()) this.#file.add(session);
    const { records, events } = this.#truth;
    this.#file.finish(events, records);
    return Promise.resolve();
  }

  abandon(): Promise<void> {
    this.#file.abandon();
    return Promise.resolve();
  }
}
