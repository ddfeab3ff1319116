/** What is told of each committed epoch, and what a run amounts to. */
import type { Clock } from "./clock.ts";
import type { Epoch } from "./epoch_state.ts";
import type { EpochTimeline } from "./epoch_timeline.ts";
import type { ActorReport, EpochReport, PipelineSummary } from "./protocol.ts";

/** How long the report of an epoch waits for its insert. */
const INSERT_REPORT_WAIT_MS = 5_000;

/** What an epoch's commit was. */
export interface CommittedEpochFacts {
  readonly epoch: Epoch;
  readonly version: number;
  readonly sessions: number;
  readonly revisions: number;
  readonly deadLetters: number;
  /** Of its files with sessions. */
  readonly bytes: number;
  readonly commitMs: number;
}

/** Reports epochs, and adds them up. */
export class EpochReporter {
  #lastCommitAt: number;
  readonly #total = { epochs: 0, sessions: 0, events: 0, deadLetters: 0 };

  constructor(
    private readonly clock: Clock,
    private readonly report: (report: ActorReport) => void,
    private readonly timeline: EpochTimeline,
  ) {
    this.#lastCommitAt = clock.monotonic();
  }

  /** All that was reported so far. */
  get summary(): PipelineSummary {
    return { ...this.#total };
  }

  /**
   * Reports an epoch once its insert is done, or lags: an outage of ClickHouse must not look like a standstill.
   *
   * @param inserted resolves to the milliseconds that the insert took
   */
  async committed(facts: CommittedEpochFacts, inserted: Promise<number>): Promise<void> {
    const { epoch, version, sessions, revisions, deadLetters, bytes, commitMs } = facts;
    const now = this.clock.monotonic();
    const seconds = (now - this.#lastCommitAt) / 1000;
    this.#lastCommitAt = now;
    this.#total.epochs++;
    this.#total.sessions += sessions;
    this.#total.events += epoch.records;
    this.#total.deadLetters += deadLetters;
    const report: EpochReport = {
      epoch: epoch.number,
      version,
      closedBy: epoch.closedBy,
      sessions,
      revisions,
      events: epoch.records,
      eventsPerSecond: seconds > 0 ? epoch.records / seconds : 0,
      openSessions: epoch.openSessions,
      deadLetters,
      commitMs,
      insertMs: null,
    };
    const { number, records: events } = epoch;
    const landed = { version, sessions, revisions, events, deadLetters, bytes };
    this.timeline.reached(number, "committedMs", landed);
    inserted.then(() => this.timeline.reached(number, "insertedMs"));
    const waiting = new AbortController();
    const late = this.clock.sleep(INSERT_REPORT_WAIT_MS, waiting.signal).then(() => null);
    const insertMs = await Promise.race([inserted, late]);
    waiting.abort();
    this.report({ type: "epoch", report: { ...report, insertMs } });
  }
}
