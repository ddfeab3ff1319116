/** Simulated readers of news sites: the events of many sessions at once, the same for the same seed. */
import { invariant } from "../schema/errors.ts";
import type { UserEvent } from "../schema/event_contract.ts";
import type { EventType } from "../schema/user_event.ts";
import { HeldBack } from "./held_back.ts";
import {
  type Article,
  type Brand,
  BRANDS,
  CATEGORIES,
  type Device,
  DEVICES,
  type Place,
  PLACES,
  SEGMENTS,
  TIERS,
} from "./newsroom.ts";
import { type Random, Random as SeededRandom, Weighted } from "./random.ts";

/** What a reader does before the session's end. */
const EVENT_MIX = new Weighted<Exclude<EventType, "session_end">>([
  ["article_view", 60],
  ["article_click", 15],
  ["video_play", 5],
  ["ad_click", 5],
  ["search", 5],
  ["navigation", 5],
  ["subscription_prompt", 3],
  ["newsletter_signup", 2],
]);

const SESSION_EVENTS_MIN = 5;
const SESSION_EVENTS_MAX = 34;
/** floor(30 × u^k) with a uniform u has the mean 9.4 for this k: sessions have 14.4 events on average. */
const SESSION_LENGTH_EXPONENT = 2.0421836;
/** An out-of-order event is so much older than the one before it at most. */
const DISORDER_MS_MAX = 3_000;
/**
 * A late event is sent so long after its session's end: longer than an epoch, and so soon that with the default
 * WATERMARK_DELAY and ALLOWED_LATENESS, three minutes together, its session is remembered.
 */
export const LATE_MS = { min: 20_000, max: 120_000 } as const;
const READERS_MIN = 8;
/** One reader's events on the virtual timeline are so far apart on average. */
const PAUSE_MS = 5_000;

const QUERIES = [
  "election results",
  "train strike",
  "weather weekend",
  "house prices",
  "recipes",
  "derby",
] as const;

/** Where event times come from. */
export type Timeline =
  /** An event happens when it is generated: `now` is the wall clock, epoch ms. */
  | { readonly kind: "live"; readonly now: () => number }
  /** Evenly spaced from `startMs` on, for events that are generated faster than they happened. */
  | { readonly kind: "virtual"; readonly startMs: number; readonly stepMs: number };

export interface SimulatorOptions {
  readonly seed: number;
  readonly timeline: Timeline;
  /** Readers at a time; 8 by default, which suits 10 events/s. */
  readonly readers?: number;
  /** The fraction of events that carry a time up to 3 s before an earlier event's of their session. */
  readonly outOfOrder?: number;
  /** The fraction of events that are sent twice: half of them at once, half up to `LATE_MS.max` later. */
  readonly duplicates?: number;
  /** The fraction of events that are sent {@linkcode LATE_MS} after their session's end, in event time. */
  readonly late?: number;
}

/** One record to send. */
export interface SimulatedRecord {
  readonly event: SimulatedEvent;
  /** A repetition of an event that was sent before. */
  readonly duplicate: boolean;
  /** Set where its session has ended and still has records to come, late ones or repetitions. */
  readonly more?: true;
}

/** A record that is held back, and whose session it is of. */
interface HeldRecord {
  readonly event: SimulatedEvent;
  readonly duplicate: boolean;
  readonly session: UserSession;
}

/** An event with every field the simulator fills in; `timestamp` is RFC 3339 in UTC, to the millisecond. */
export interface SimulatedEvent extends Required<UserEvent> {
  readonly timestamp: string;
}

/** A virtual timeline for `events` events, with the number of readers that fits it, which ends at `endMs`. */
export function virtualTimeline(events: number, endMs: number): { timeline: Timeline; readers: number } {
  // A reader for every 200 events, so that most sessions of a run are whole.
  const readers = Math.min(Math.max(Math.round(events / 200), READERS_MIN), 1_000);
  const stepMs = PAUSE_MS / readers;
  return { timeline: { kind: "virtual", startMs: Math.floor(endMs - events * stepMs), stepMs }, readers };
}

/** One reader's session: who, where, on what, and then event after event until `session_end`. */
export class UserSession {
  readonly sessionId: string;
  readonly #random: Random;
  readonly #brand: Brand;
  readonly #place: Place;
  readonly #device: Device;
  readonly #tier: string;
  readonly #segment: string;
  readonly #userId: number;
  readonly #times = new Set<number>();
  /** Its late events, in the order in which they happened, until it ends. */
  readonly late: SimulatedEvent[] = [];
  /** Its records that are held back, late ones and repetitions. */
  outstanding = 0;
  #article: Article;
  #left: number;
  #lastTime = -Infinity;

  /** @param warm a session that began before the simulation: only its remaining events are generated */
  constructor(random: Random, warm: boolean) {
    this.#random = random;
    this.sessionId = random.uuid();
    this.#userId = 1 + random.below(2_000_000);
    this.#brand = BRANDS.draw(random);
    this.#place = PLACES.draw(random);
    this.#device = DEVICES.draw(random);
    this.#tier = TIERS.draw(random);
    this.#segment = SEGMENTS.draw(random);
    this.#article = this.#brand.articles.draw(random);
    const spread = SESSION_EVENTS_MAX - SESSION_EVENTS_MIN + 1;
    const length = SESSION_EVENTS_MIN + Math.floor(spread * random.float() ** SESSION_LENGTH_EXPONENT);
    this.#left = warm ? Math.max(SESSION_EVENTS_MIN, random.below(length) + 1) : length;
  }

  /** No event is left. */
  get ended(): boolean {
    return this.#left === 0;
  }

  /**
   * The session's next event.
   *
   * @param now its time, epoch ms; moved on where an earlier event has it
   * @param disordered gives it a time before the latest, unless it is the first or the last
   */
  next(now: number, disordered: boolean): SimulatedEvent {
    invariant(this.#left > 0, "an ended session has no next event");
    this.#left--;
    const type = this.ended ? "session_end" : EVENT_MIX.draw(this.#random);
    let time = Math.max(now, this.#lastTime + 1);
    if (disordered && !this.ended && this.#times.size > 0) time = this.#earlierTime();
    this.#times.add(time);
    this.#lastTime = Math.max(this.#lastTime, time);
    return this.#event(type, time);
  }

  #earlierTime(): number {
    let time = this.#lastTime - 1 - this.#random.below(DISORDER_MS_MAX);
    while (this.#times.has(time)) time--;
    return time;
  }

  #event(type: EventType, time: number): SimulatedEvent {
    return {
      event_id: this.#random.uuid(),
      session_id: this.sessionId,
      user_id: this.#userId,
      event_type: type,
      timestamp: new Date(time).toISOString(),
      brand: this.#brand.name,
      country: this.#place.country,
      city: this.#place.city,
      device_type: this.#device.type,
      device_os: this.#device.os,
      browser: this.#device.browser,
      subscription_tier: this.#tier,
      user_segment: this.#segment,
      ...this.#page(type),
    };
  }

  /** The page that an event is about; reading on means another article. */
  #page(type: EventType): Pick<SimulatedEvent, "page_title" | "page_url" | "article_id" | "category"> {
    const site = `https://${this.#brand.host}`;
    switch (type) {
      case "article_view":
        this.#article = this.#brand.articles.draw(this.#random);
        return this.#articlePage();
      case "article_click":
      case "video_play":
      case "ad_click":
        return this.#articlePage();
      case "search": {
        const query = this.#random.pick(QUERIES).replaceAll(" ", "+");
        return page("Search results", `${site}/search?q=${query}`);
      }
      case "navigation": {
        const category = this.#random.pick(CATEGORIES);
        return { ...page(`All about ${category}`, `${site}/${category}/`), category };
      }
      case "subscription_prompt":
        return page("Read on with a subscription", `${site}/subscribe`);
      case "newsletter_signup":
        return page("Our newsletters", `${site}/newsletters`);
      case "session_end":
        return { page_title: null, page_url: null, article_id: null, category: null };
    }
  }

  #articlePage() {
    const { title, url, id, category } = this.#article;
    return { page_title: title, page_url: url, article_id: id, category };
  }
}

function page(title: string, url: string) {
  return { page_title: title, page_url: url, article_id: null, category: null };
}

/** A pool of readers; each step is one event of one of them, or one that was held back. */
export class Simulator {
  readonly #random: Random;
  readonly #sessions: UserSession[];
  readonly #held = new HeldBack<HeldRecord>();
  #generated = 0;

  constructor(readonly options: SimulatorOptions) {
    this.#random = new SeededRandom(options.seed);
    // Readers in the middle of their sessions: so sessions end from the start on at the rate they always do.
    this.#sessions = Array.from(
      { length: options.readers ?? READERS_MIN },
      () => new UserSession(this.#random, true),
    );
  }

  /** Events so far, late ones from when they happened on; repetitions are not counted. */
  get generated(): number {
    return this.#generated;
  }

  /** The next record to send. */
  next(): SimulatedRecord {
    return this.nextOf(Infinity)!;
  }

  /**
   * The next record of a run of `events` events, repetitions not counted. When all have happened, what is held back
   * comes without waiting for its time; null when that is out too.
   */
  nextOf(events: number): SimulatedRecord | null {
    while (this.#generated < events) {
      const now = this.#time();
      const held = this.#held.take(now);
      const record = held === null ? this.#generate(now) : this.#release(held, now);
      if (record !== null) return record;
    }
    for (const session of this.#sessions) this.#holdLate(session, this.#time());
    const held = this.#held.take(Infinity);
    return held === null ? null : this.#release(held, this.#time());
  }

  /** A new event; null where it is late, and so held back. */
  #generate(now: number): SimulatedRecord | null {
    const { outOfOrder = 0, late = 0 } = this.options;
    const reader = this.#random.below(this.#sessions.length);
    const session = this.#sessions[reader]!;
    const event = session.next(now, this.#chance(outOfOrder));
    this.#generated++;
    if (session.ended) {
      this.#sessions[reader] = new UserSession(this.#random, false);
      this.#holdLate(session, now);
    } else if (this.#chance(late)) {
      session.late.push(event);
      return null;
    }
    return this.#record({ event, duplicate: false, session }, now);
  }

  #release(held: HeldRecord, now: number): SimulatedRecord {
    held.session.outstanding--;
    return this.#record(held, now);
  }

  /** The record as it is sent, now; its repetition, where there is to be one, is held back. */
  #record({ event, duplicate, session }: HeldRecord, now: number): SimulatedRecord {
    if (!duplicate && this.#chance(this.options.duplicates ?? 0)) {
      // A late event's comes at once: later, the session might be forgotten.
      const late = session.ended && event.event_type !== "session_end";
      const wait = late || this.#random.below(2) === 0 ? 0 : this.#random.below(LATE_MS.max);
      this.#hold({ event, duplicate: true, session }, now + wait);
    }
    return session.ended && session.outstanding > 0 ? { event, duplicate, more: true } : { event, duplicate };
  }

  /** Gives a session's late events a time to be sent at. */
  #holdLate(session: UserSession, now: number): void {
    for (const event of session.late.splice(0)) {
      const wait = LATE_MS.min + this.#random.below(LATE_MS.max - LATE_MS.min);
      this.#hold({ event, duplicate: false, session }, now + wait);
    }
  }

  #hold(held: HeldRecord, due: number): void {
    held.session.outstanding++;
    this.#held.put(held, due);
  }

  #time(): number {
    const { timeline } = this.options;
    return timeline.kind === "live"
      ? Math.floor(timeline.now())
      : Math.floor(timeline.startMs + this.#generated * timeline.stepMs);
  }

  #chance(probability: number): boolean {
    return probability > 0 && this.#random.float() < probability;
  }
}
