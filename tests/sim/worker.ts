/** A thread that carries out runs: it is loaded from a copy of the program (`program.ts`). */
/// <reference lib="deno.worker" />
import { type Outcome, simulate } from "./simulation.ts";

/** Runs to be done: the seeds `first`, `first + stride`, … below `end`. */
export interface Share {
  readonly first: number;
  readonly stride: number;
  readonly end: number;
  readonly trace: boolean;
}

/** Some runs that were done. */
export interface Progress {
  readonly runs: number;
  readonly steps: number;
  readonly records: number;
  readonly commits: number;
  readonly processes: number;
  /** The runs in which something went wrong, or all where a trace is wanted. */
  readonly shown: readonly Outcome[];
  /** The share is done. */
  readonly done: boolean;
}

/** Runs between two reports. */
const RUNS_PER_REPORT = 25;

// Most errors are part of a run, and nobody looks at where they came from.
Error.stackTraceLimit = 4;

self.onmessage = async ({ data: { first, stride, end, trace } }: MessageEvent<Share>) => {
  let outcomes: Outcome[] = [];
  const report = (done: boolean) => {
    const sum = (of: (outcome: Outcome) => number) =>
      outcomes.reduce((total, outcome) => total + of(outcome), 0);
    const progress: Progress = {
      runs: outcomes.length,
      steps: sum(({ steps }) => steps),
      records: sum(({ records }) => records),
      commits: sum(({ commits }) => commits),
      processes: sum(({ processes }) => processes),
      shown: outcomes.filter(({ failures }) => trace || failures.length > 0),
      done,
    };
    self.postMessage(progress);
    outcomes = [];
  };
  for (let seed = first; seed < end; seed += stride) {
    const outcome = await simulate(seed, { trace });
    outcomes.push(outcome);
    if (outcomes.length === RUNS_PER_REPORT || outcome.failures.length > 0) report(false);
  }
  report(true);
};
