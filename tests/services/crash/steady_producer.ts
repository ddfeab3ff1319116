/**
 * What the crash harness produces beside the simulated readers: sessions that stay open from the first moment to the
 * last, with their truth, and now and then a record that is no event.
 */
import { type Clock, systemClock } from "../../../actors/clock.ts";
import type { Config } from "../../../schema/config.ts";
import { type RecordFeed, recordSize } from "../../../sources/feed.ts";
import { openProducer } from "../../../sources/open.ts";
import { produce } from "../../../sources/produce.ts";
import { Random } from "../../../sources/random.ts";
import { type SimulatedRecord, UserSession } from "../../../sources/simulator.ts";
import type { ProducedRecord, Producer, RecordPosition } from "../../../sources/source.ts";
import { Truth, TruthFile } from "../../../sources/truth.ts";

/** Fewer than any session has, so none of them ends. */
const EVENTS_OF_OPEN = 3;
const BAD_INTERVAL_MS = 500;
const encoder = new TextEncoder();

/** The first events of `sessions` sessions; their truth is written when they are in the log. */
class OpenSessionsFeed implements RecordFeed {
  /** The truth says no revision: that of the readers, whose events come late, doesn't either. */
  readonly #truth = new Truth(true);
  readonly #file: TruthFile;
  #begun = 0;
  #sent: SimulatedRecord[] = [];

  constructor(
    private readonly sessions: number,
    private readonly random: Random,
    private readonly clock: Pick<Clock, "now">,
    truthPath: string,
  ) {
    this.#file = new TruthFile(truthPath, 0);
  }

  next(maxRecords: number, maxBytes: number): Promise<readonly ProducedRecord[]> {
    const records: ProducedRecord[] = [];
    this.#sent = [];
    for (let bytes = 0; this.#begun < this.sessions && bytes < maxBytes && records.length < maxRecords;) {
      this.#begun++;
      const session = new UserSession(this.random, false);
      for (let i = 0; i < EVENTS_OF_OPEN; i++) {
        const event = session.next(Math.floor(this.clock.now()), false);
        const record = {
          key: encoder.encode(event.session_id),
          value: encoder.encode(JSON.stringify(event)),
        };
        this.#sent.push({ event, duplicate: false });
        records.push(record);
        bytes += recordSize(record);
      }
    }
    return Promise.resolve(records);
  }

  acknowledge(positions: readonly RecordPosition[]): Promise<void> {
    this.#sent.forEach((simulated, i) => this.#truth.add(simulated, positions[i]!));
    return Promise.resolve();
  }

  finish(): Promise<void> {
    for (const session of this.#truth.drain()) this.#file.add(session);
    this.#file.finish(this.#truth.events, this.#truth.records);
    return Promise.resolve();
  }

  abandon(): Promise<void> {
    this.#file.abandon();
    return Promise.resolve();
  }
}

/** Sends all of it, from this process. */
export class SteadyProducer {
  readonly #stop = new AbortController();
  #records = 0;
  #bad = 0;
  #sending: Promise<void> = Promise.resolve();

  private constructor(private readonly producer: Producer, private readonly random: Random) {}

  /** Resolves when the sessions that stay open are in the log, and their truth in its file. */
  static async start(config: Config, open: number, seed: number, truthPath: string): Promise<SteadyProducer> {
    const random = new Random(seed);
    const producer = await openProducer(config, systemClock);
    const steady = new SteadyProducer(producer, random);
    const feed = new OpenSessionsFeed(open, random, systemClock, truthPath);
    const { monotonic, sleep } = systemClock;
    steady.#records = (await produce({ feed, producer, rate: "max", now: monotonic, sleep })).records;
    steady.#sending = steady.#sendBad();
    steady.#sending.catch(() => {}); // Thrown by `stop`.
    return steady;
  }

  /** Stops; what was sent and acknowledged. */
  async stop(): Promise<{ readonly records: number; readonly bad: number }> {
    this.#stop.abort();
    try {
      await this.#sending;
    } finally {
      await this.producer.close();
    }
    return { records: this.#records + this.#bad, bad: this.#bad };
  }

  async #sendBad(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const key = encoder.encode(this.random.uuid());
      this.#bad += (await this.producer.send([{ key, value: encoder.encode("no event") }])).length;
      await systemClock.sleep(BAD_INTERVAL_MS, signal);
    }
  }
}
