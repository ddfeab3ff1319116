/** Readers who click: records with their meaning, in bursts, some of them late, repeated or unusable. */
import type { Random } from "../../sources/random.ts";
import { T0 } from "./time.ts";
import type { NewRecord, SimEvent } from "./topic.ts";

export interface WorkloadOptions {
  readonly random: Random;
  /** Ids in use at a time. */
  readonly sessions: number;
  /** Shares of records. */
  readonly late: number;
  readonly duplicates: number;
  readonly bad: number;
  readonly ends: number;
  /** How far event times lie behind the broker's, typically. */
  readonly lagMs: number;
  /** How long a late event is held back at most. */
  readonly lateMs: number;
  /** Some records have a key of their own choice. */
  readonly trust: boolean;
}

const TYPES = ["article_view", "search", "navigation", "ad_click"];
const BRANDS = [null, "north", "south"];
const encoder = new TextEncoder();

/** One partition's readers. */
export class Workload {
  #events = 0;
  #readers: string[] = [];
  #sessions = 0;
  /** Late events, with the time at which they are sent. */
  #heldBack: { readonly at: number; readonly record: NewRecord }[] = [];
  readonly #recent: { readonly event: SimEvent; readonly key: string }[] = [];

  constructor(private readonly partition: number, private readonly options: WorkloadOptions) {}

  /** `count` records that reach the broker at `now`, virtual milliseconds. */
  burst(count: number, now: number): NewRecord[] {
    const { random, late, lateMs } = this.options;
    const due = this.#heldBack.filter(({ at }) => at <= now).map(({ record }) => record);
    this.#heldBack = this.#heldBack.filter(({ at }) => at > now);
    const records = Array.from({ length: count }, () => this.#record(T0 + now));
    const sent = records.filter((record) => {
      const held = random.float() < late;
      if (held) this.#heldBack.push({ at: now + random.below(lateMs), record });
      return !held;
    });
    return [...due, ...sent];
  }

  #record(brokerTime: number): NewRecord {
    const { random, bad, duplicates, trust } = this.options;
    const draw = random.float();
    if (draw < bad) return this.#bad(brokerTime);
    if (draw < bad + duplicates && this.#recent.length > 0) {
      const { event, key } = random.pick(this.#recent);
      return recordOf(event, key);
    }
    const event = this.#event(brokerTime);
    const key = trust ? `key${random.below(2)}` : event.sessionId;
    this.#recent.push({ event, key });
    if (this.#recent.length > 20) this.#recent.shift();
    return recordOf(event, key);
  }

  #event(brokerTime: number): SimEvent {
    const { random, sessions, ends, lagMs } = this.options;
    while (this.#readers.length < sessions) this.#readers.push(`s${this.partition}-${this.#sessions++}`);
    const reader = random.below(sessions);
    const sessionId = this.#readers[reader]!;
    const ended = random.float() < ends;
    // Now and then an id comes back after its end.
    if (ended ? random.float() < 0.7 : random.float() < 0.02) this.#readers.splice(reader, 1);
    return {
      eventId: `e${this.#events++}`,
      sessionId,
      userId: random.below(1_000),
      type: ended ? "session_end" : random.pick(TYPES),
      time: Math.floor(brokerTime - random.below(lagMs)),
      brand: random.pick(BRANDS),
    };
  }

  #bad(brokerTime: number): NewRecord {
    const event = this.#event(brokerTime);
    const { random, trust } = this.options;
    const value = valueOf(event);
    const key = encoder.encode(event.sessionId);
    switch (random.below(trust ? 4 : 6)) {
      case 0:
        return { key, value: null, meaning: { kind: "bad", reason: "null_value" } };
      case 1:
        return { key, value: value.slice(0, -1), meaning: { kind: "bad", reason: "invalid_json" } };
      case 2: {
        const unknown = valueOf({ ...event, type: "purr" });
        return { key: null, value: unknown, meaning: { kind: "bad", reason: "unknown_event_type" } };
      }
      case 3: {
        // Ahead of the broker: too far, or not.
        const ahead = { ...event, time: event.time + random.below(2_000) };
        return recordOf(ahead, event.sessionId);
      }
      case 4:
        return { key: null, value, meaning: { kind: "event", event, key: null } };
      default:
        return recordOf(event, "another");
    }
  }
}

function recordOf(event: SimEvent, key: string): NewRecord {
  return { key: encoder.encode(key), value: valueOf(event), meaning: { kind: "event", event, key } };
}

function valueOf({ eventId, sessionId, userId, type, time, brand }: SimEvent): Uint8Array {
  const fields = {
    event_id: eventId,
    session_id: sessionId,
    user_id: userId,
    event_type: type,
    timestamp: time,
  };
  return encoder.encode(JSON.stringify({ ...fields, ...(brand === null ? {} : { brand }) }));
}
