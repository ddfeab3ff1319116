/** Whether a sink works: what its operations and a probe say of it. PURE. */
import type { SinkState } from "../schema/pipeline_stats.ts";

/**
 * A sink is up unless an operation on it is failing, or its probe. The two are kept apart: a disk that is full answers
 * every probe, and a sink that nobody writes to at the moment fails no operation.
 */
export class SinkHealth {
  /** By the operation's name, the probe's included: why it fails at present. */
  readonly #failing = new Map<string, string>();
  #state: SinkState;

  /**
   * @param now wall clock, epoch milliseconds
   * @param turned told when the sink has gone down or come up
   */
  constructor(private readonly now: () => number, private readonly turned: () => void = () => {}) {
    this.#state = { down: null, sinceMs: now() };
  }

  get state(): SinkState {
    return this.#state;
  }

  /** An attempt at `what` failed. */
  failed(what: string, why: string): void {
    this.#failing.set(what, why);
    this.#update();
  }

  /** `what` succeeded, or was given up. */
  ended(what: string): void {
    if (this.#failing.delete(what)) this.#update();
  }

  #update(): void {
    const [down = null] = this.#failing.values();
    const turned = (down === null) !== (this.#state.down === null);
    this.#state = { down, sinceMs: turned ? this.now() : this.#state.sinceMs };
    if (turned) this.turned();
  }
}
