/** Something that is asked from the API and shown: the newest answer, or why there is none. */
import { now } from "./browser.ts";

const AGE_MIN_MS = 1_000;
const AGE_MAX_MS = 15_000;
/**
 * Of the time, the part that the answers to one question may take. A view asks up to six, and a server at full load is
 * asked less often: at a twentieth, three viewers took 4 % of the pipeline's CPU time.
 */
const ANSWERING_SHARE = 1 / 200;

/** How old an answer that took so long has to be before it is asked for anew; both in milliseconds. */
export function ageToAskAgain(tookMs: number): number {
  return Math.min(AGE_MAX_MS, Math.max(AGE_MIN_MS, tookMs / ANSWERING_SHARE));
}

/** An answer, kept until a newer one is here. */
export class Loaded<T> {
  #value: T | null = null;
  #problem: string | null = null;
  #askedAt = -Infinity;
  /** How long the newest answer took, milliseconds. */
  #took = 0;
  /** Only the answer to the newest question counts. */
  #question = 0;
  #waiting = false;
  #stamp: string | null = null;
  readonly #redraw: () => void;

  constructor(redraw: () => void) {
    this.#redraw = redraw;
  }

  get value(): T | null {
    return this.#value;
  }

  /** A sentence; null where the newest answer is good. */
  get problem(): string | null {
    return this.#problem;
  }

  /** Forgets the answer: what comes is another one. */
  reset(): void {
    this.#question++;
    this.#value = null;
    this.#problem = null;
    this.#askedAt = -Infinity;
    this.#waiting = false;
    this.#stamp = null;
  }

  /** Asks, unless it was asked less than `ageMs` milliseconds ago or an answer is still to come. */
  refresh(ageMs: number, ask: () => Promise<T>): void {
    if (this.#waiting || now() - this.#askedAt < ageMs) return;
    this.#ask(ask);
  }

  /**
   * Asks where `stamp` is another one than last time, at most once a second and seldom where answers take long; else now
   * and then, because other instances write too.
   */
  follow(stamp: string, ask: () => Promise<T>): void {
    if (this.#waiting) return;
    const age = now() - this.#askedAt;
    const due = stamp !== this.#stamp || this.#problem !== null ? ageToAskAgain(this.#took) : AGE_MAX_MS;
    if (age < due) return;
    this.#stamp = stamp;
    this.#ask(ask);
  }

  #ask(ask: () => Promise<T>): void {
    this.#askedAt = now();
    this.#waiting = true;
    const question = ++this.#question;
    const settle = (value: T | null, problem: string | null) => {
      if (question !== this.#question) return;
      this.#waiting = false;
      this.#took = now() - this.#askedAt;
      this.#value = value ?? this.#value;
      this.#problem = problem;
      this.#redraw();
    };
    ask().then(
      (value) => settle(value, null),
      (error) => settle(null, error instanceof Error ? error.message : String(error)),
    );
  }
}
