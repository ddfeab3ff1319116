/** One answer for all who ask the same within a moment: many viewers cost as much as one. */

/** Answers that are kept at a time; with more, each is worked out anew. */
export const SHARED_ANSWERS_MAX = 64;

/** Keeps what `work` resolved to, for a while. */
export class SharedAnswers {
  readonly #answers = new Map<string, { readonly answer: Promise<unknown>; readonly until: number }>();

  /** @param monotonic time since an arbitrary start, milliseconds */
  constructor(private readonly monotonic: () => number) {}

  /** `work`'s result, at most `ageMs` old; a failure is not kept. The key must say all that the result depends on. */
  get<T>(key: string, ageMs: number, work: () => Promise<T>): Promise<T> {
    const now = this.monotonic();
    for (const [old, { until }] of this.#answers) if (until <= now) this.#answers.delete(old);
    const known = this.#answers.get(key);
    if (known !== undefined) return known.answer as Promise<T>;
    const answer = work();
    if (this.#answers.size >= SHARED_ANSWERS_MAX) return answer;
    this.#answers.set(key, { answer, until: now + ageMs });
    answer.catch(() => this.#answers.delete(key));
    return answer;
  }
}
