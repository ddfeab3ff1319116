/**
 * Events for measuring rates: whole sessions of one length, made quickly, so that a run's truth is known without being
 * written down. Who, what and where is the simulated readers'; titles are cut so that an event has 507 bytes on average.
 */
import type { RecordFeed } from "../sources/feed.ts";
import { recordSize } from "../sources/feed.ts";
import { Random } from "../sources/random.ts";
import { type SimulatedEvent, Simulator, virtualTimeline } from "../sources/simulator.ts";
import type { ProducedRecord } from "../sources/source.ts";

/** Events of one session, its `session_end` included. */
export const SESSION_EVENTS = 18;
/** Sessions that go on at a time, unless the options say another. */
const READERS = 1_000;
const TEMPLATES = 5_000;
/** Cut from titles that are long enough: the simulated readers' events have 32 bytes more. */
const TITLE_CUT = 48;
const TITLE_KEPT = 8;
/** Event time from one event to the next, of all readers, unless the options say another. */
const STEP_MS = 5;
const encoder = new TextEncoder();

/** Options of a {@linkcode FixedFeed}. */
export interface FixedFeedOptions {
  /** Whole sessions to send. */
  readonly sessions: number;
  /** Their events; {@linkcode SESSION_EVENTS} by default, the last of which ends the session. */
  readonly eventsPerSession?: number;
  /** Sessions that go on at a time; 1,000 by default. */
  readonly readers?: number;
  /** Sessions that no event ends stay open. */
  readonly open?: boolean;
  readonly seed: number;
  /** The last event's time, epoch milliseconds. */
  readonly endMs: number;
  /** Milliseconds of event time from one event to the next, of all readers; 5 by default. */
  readonly stepMs?: number;
}

interface Reader {
  readonly sessionId: string;
  readonly key: Uint8Array;
  readonly userId: number;
  readonly who: SimulatedEvent;
  sent: number;
}

/** All of it in one order for one seed. */
export class FixedFeed implements RecordFeed {
  readonly #random: Random;
  readonly #templates: readonly SimulatedEvent[];
  readonly #eventsPerSession: number;
  readonly #total: number;
  readonly #stepMs: number;
  readonly #atATime: number;
  readonly #readers: Reader[] = [];
  #begun = 0;
  #made = 0;

  constructor(private readonly options: FixedFeedOptions) {
    this.#random = new Random(options.seed);
    this.#eventsPerSession = options.eventsPerSession ?? SESSION_EVENTS;
    this.#total = options.sessions * this.#eventsPerSession;
    this.#stepMs = options.stepMs ?? STEP_MS;
    this.#atATime = options.readers ?? READERS;
    const simulator = new Simulator({ seed: options.seed, ...virtualTimeline(TEMPLATES, options.endMs) });
    const events = Array.from({ length: TEMPLATES }, () => simulator.next().event);
    this.#templates = events.filter(({ event_type }) => event_type !== "session_end").map(shorten);
  }

  next(maxRecords: number, maxBytes: number): Promise<readonly ProducedRecord[]> {
    const records: ProducedRecord[] = [];
    for (let bytes = 0; records.length < maxRecords && this.#made < this.#total;) {
      const record = this.#next();
      records.push(record);
      // One more than fits is no harm here.
      bytes += recordSize(record);
      if (bytes >= maxBytes) break;
    }
    return Promise.resolve(records);
  }

  acknowledge(): Promise<void> {
    return Promise.resolve();
  }

  finish(): Promise<void> {
    return Promise.resolve();
  }

  abandon(): Promise<void> {
    return Promise.resolve();
  }

  #next(): ProducedRecord {
    while (this.#readers.length < this.#atATime && this.#begun < this.options.sessions) {
      this.#begun++;
      const who = this.#random.pick(this.#templates);
      const sessionId = this.#random.uuid();
      this.#readers.push({
        sessionId,
        key: encoder.encode(sessionId),
        userId: this.#random.below(2_000_000),
        who,
        sent: 0,
      });
    }
    const place = this.#random.below(this.#readers.length);
    const reader = this.#readers[place]!;
    const last = ++reader.sent === this.#eventsPerSession;
    if (last) {
      this.#readers[place] = this.#readers.at(-1)!;
      this.#readers.pop();
    }
    const { page_title, page_url, article_id, category, event_type } = this.#random.pick(this.#templates);
    const time = this.options.endMs - (this.#total - ++this.#made) * this.#stepMs;
    const event = {
      ...reader.who,
      event_id: this.#random.uuid(),
      session_id: reader.sessionId,
      user_id: reader.userId,
      event_type: last && !this.options.open ? "session_end" : event_type,
      timestamp: new Date(time).toISOString(),
      page_title,
      page_url,
      article_id,
      category,
    };
    return { key: reader.key, value: encoder.encode(JSON.stringify(event)) };
  }
}

function shorten(event: SimulatedEvent): SimulatedEvent {
  const title = event.page_title;
  if (title === null) return event;
  return { ...event, page_title: title.slice(0, Math.max(TITLE_KEPT, title.length - TITLE_CUT)) };
}
