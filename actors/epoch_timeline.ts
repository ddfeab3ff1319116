/** The last epochs with the times at which they came through each stage: where the time goes. PURE but for its clock. */
import type { EpochTrace } from "../schema/pipeline_stats.ts";

/** Epochs that are remembered: ten minutes of them. */
export const EPOCHS_TRACED_MAX = 60;

/** A stage that an epoch has come through. */
export type EpochMark = "askedMs" | "sealedMs" | "uploadedMs" | "committedMs" | "insertedMs";

const UNKNOWN: Omit<EpochTrace, "epoch" | "askedMs"> = {
  version: null,
  closedBy: null,
  sealedMs: null,
  uploadedMs: null,
  committedMs: null,
  insertedMs: null,
  sessions: null,
  revisions: null,
  events: null,
  deadLetters: null,
  bytes: null,
};

/** Remembers {@linkcode EPOCHS_TRACED_MAX} epochs. */
export class EpochTimeline {
  /** By number; a number that nothing came of is used again, and begins anew. */
  readonly #traces = new Map<number, EpochTrace>();

  /** @param now wall clock, epoch milliseconds */
  constructor(private readonly now: () => number) {}

  /** The epoch has come to `mark` at this moment; `facts` are what is known of it by then. */
  reached(epoch: number, mark: EpochMark, facts: Partial<EpochTrace> = {}): void {
    if (mark === "askedMs") this.#traces.delete(epoch);
    const known = mark === "askedMs" ? { epoch, askedMs: this.now(), ...UNKNOWN } : this.#traces.get(epoch);
    if (known === undefined) return; // Long ago.
    this.#traces.set(epoch, { ...known, ...facts, [mark]: this.now() });
    for (const oldest of this.#traces.keys()) {
      if (this.#traces.size <= EPOCHS_TRACED_MAX) break;
      this.#traces.delete(oldest);
    }
  }

  /**
   * Oldest first.
   *
   * @param inFlight epochs between their barrier and their commit: without any, one that was asked for came to nothing
   */
  list(inFlight: number): readonly EpochTrace[] {
    return [...this.#traces.values()]
      .filter(({ sealedMs }) => sealedMs !== null || inFlight > 0)
      .sort((a, b) => a.epoch - b.epoch);
  }
}
