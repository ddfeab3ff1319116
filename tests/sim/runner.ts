/** Many runs on several threads. */
import type { Mutation } from "./mutations.ts";
import { copyProgram } from "./program.ts";
import type { Outcome } from "./simulation.ts";
import type { Progress, Share } from "./worker.ts";

export interface RunOptions {
  /** The seeds `seed` … `seed + runs - 1`. */
  readonly seed: number;
  readonly runs: number;
  readonly threads: number;
  readonly trace?: boolean;
  readonly mutation?: Mutation | null;
  /** Told now and then how many runs are done. */
  readonly onProgress?: (runs: number) => void;
}

/** What all runs together did. */
export interface RunSummary {
  readonly runs: number;
  readonly steps: number;
  readonly records: number;
  readonly commits: number;
  readonly processes: number;
  readonly failed: readonly Outcome[];
  /** The outcomes of which a trace was wanted. */
  readonly traced: readonly Outcome[];
}

/** Carries out the runs, and stops at the first in which something goes wrong. */
export async function runSeeds(options: RunOptions): Promise<RunSummary> {
  const { seed, runs, trace = false, mutation = null, onProgress = () => {} } = options;
  const threads = Math.min(options.threads, runs);
  const program = await copyProgram(mutation);
  const total = { runs: 0, steps: 0, records: 0, commits: 0, processes: 0 };
  const shown: Outcome[] = [];
  const workers: Worker[] = [];
  const take = (progress: Progress): boolean => {
    for (const name of Object.keys(total) as (keyof typeof total)[]) total[name] += progress[name];
    shown.push(...progress.shown);
    onProgress(total.runs);
    return progress.done || progress.shown.some(({ failures }) => failures.length > 0);
  };
  try {
    const ended = Array.from({ length: threads }, (_, i) => {
      const worker = new Worker(`${program.root}tests/sim/worker.ts`, { type: "module" });
      workers.push(worker);
      worker.postMessage({ first: seed + i, stride: threads, end: seed + runs, trace } satisfies Share);
      return ending(worker, take);
    });
    // A failure ends all of them, and the end of one waits for the others.
    await Promise.race([Promise.all(ended), Promise.any(ended.map(failure))]);
  } finally {
    workers.forEach((worker) => worker.terminate());
    await program.remove();
  }
  const failed = shown.filter(({ failures }) => failures.length > 0);
  return { ...total, failed, traced: trace ? shown : [] };

  /** Resolves where the thread's share ended early; otherwise never counts. */
  async function failure(end: Promise<boolean>): Promise<void> {
    if (!await end) throw new Error("nothing went wrong");
  }
}

/** Resolves when the thread has done its share, or to true where something went wrong in it. */
function ending(worker: Worker, take: (progress: Progress) => boolean): Promise<boolean> {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<Progress>) => {
      if (take(data)) resolve(data.shown.some(({ failures }) => failures.length > 0));
    };
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(`A simulation's thread died: ${event.message}`));
    };
  });
}
