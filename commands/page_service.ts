/** What the page shows of a pipeline while it runs: samples it every second, and answers for it. */
import type { Clock } from "../actors/clock.ts";
import type { Inspection, OpenSessionQuery } from "../schema/open_session.ts";
import type { PipelineStats } from "../schema/pipeline_stats.ts";
import type { ApiDeps } from "../web/api.ts";
import type { Explorer } from "../web/explorer.ts";
import { LiveHistory } from "../web/live_history.ts";
import { LiveStream } from "../web/live_stream.ts";
import type { ProcessStats } from "../web/metric_table.ts";
import { SharedAnswers } from "../web/shared_answers.ts";
import { type NoticeRecord, statusOf } from "../web/status.ts";

/** Milliseconds between two samples. */
const SAMPLE_INTERVAL_MS = 1_000;
/** Notices that are kept: the newest. */
const NOTICES_MAX = 50;

/** What is asked of the pipeline. */
export interface ShownPipeline {
  stats(): PipelineStats;
  inspect(query: OpenSessionQuery): Promise<Inspection>;
}

export interface PageServiceOptions {
  readonly clock: Clock;
  readonly process: () => ProcessStats;
  /** Where the events come from, for people. */
  readonly source: string;
  readonly epochIntervalMs: number;
}

/** Made before the pipeline is up, and told of it when it is. */
export class PageService {
  readonly live: LiveStream;
  readonly api: ApiDeps;
  readonly #history = new LiveHistory();
  readonly #notices: NoticeRecord[] = [];
  #shown: { readonly pipeline: ShownPipeline; readonly explorer: Explorer } | null = null;

  constructor(private readonly options: PageServiceOptions) {
    const { clock } = options;
    this.live = new LiveStream({
      status: () => JSON.stringify(this.#status()),
      urgent: () => {
        const sinks = this.#shown?.pipeline.stats().coordinator?.sinks;
        return `${this.#shown === null} ${sinks?.lake.down} ${sinks?.warehouse.down}`;
      },
      sleep: (ms, signal) => clock.sleep(ms, signal),
    });
    this.api = {
      status: () => this.#status(),
      history: () => this.#history.points,
      watermarks: () => this.#shown?.pipeline.stats().coordinator?.watermarks ?? [],
      inspect: (query) => this.#shown?.pipeline.inspect(query) ?? null,
      explorer: () => this.#shown?.explorer ?? null,
      stamp: () => this.#stamp(),
      shared: new SharedAnswers(() => clock.monotonic()),
    };
  }

  /** Shows the pipeline, and samples it until `signal` aborts. */
  async show(pipeline: ShownPipeline, explorer: Explorer, signal: AbortSignal): Promise<void> {
    this.#shown = { pipeline, explorer };
    const { clock, process } = this.options;
    while (!signal.aborted) {
      this.#history.sample(pipeline.stats(), clock.now(), process().cpuSeconds);
      await clock.sleep(SAMPLE_INTERVAL_MS, signal);
    }
    this.#shown = null;
  }

  /** A sentence for the operator. */
  note(level: NoticeRecord["level"], text: string): void {
    this.#notices.unshift({ atMs: this.options.clock.now(), level, text });
    if (this.#notices.length > NOTICES_MAX) this.#notices.pop();
  }

  #stamp(): string {
    const coordinator = this.#shown?.pipeline.stats().coordinator;
    if (!coordinator) return "";
    return `${coordinator.deltaVersion}-${coordinator.sinks.warehouse.rows}-${coordinator.lagVersions}`;
  }

  #status() {
    const { clock, process, source, epochIntervalMs } = this.options;
    return statusOf({
      pipeline: this.#shown?.pipeline.stats() ?? null,
      history: this.#history,
      process: process(),
      notices: this.#notices,
      source,
      epochIntervalMs,
      now: clock.now(),
    });
  }
}
