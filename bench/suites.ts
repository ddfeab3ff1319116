/** The suites by name, and how one is run. */
import type { SuiteResult } from "./record.ts";
import { baseline } from "./suites/baseline.ts";
import { ceiling } from "./suites/ceiling.ts";
import { endurance } from "./suites/endurance.ts";
import { flat } from "./suites/flat.ts";
import { footprint } from "./suites/footprint.ts";
import { latency } from "./suites/latency.ts";
import { producer } from "./suites/producer.ts";
import { query } from "./suites/query.ts";
import { recovery } from "./suites/recovery.ts";
import { scale } from "./suites/scale.ts";
import { sinks } from "./suites/sinks.ts";
import { stagesSuite } from "./suites/stages.ts";
import { stress } from "./suites/stress.ts";
import type { BenchOptions, World } from "./world.ts";

/** One suite. */
export interface Suite {
  readonly name: string;
  /** What it does, without a full stop. */
  readonly about: string;
  /** @throws where what came out differs from the truth */
  readonly run: (
    world: World,
    options: BenchOptions,
  ) => Promise<Pick<SuiteResult, "figures" | "plots" | "faults">>;
}

/** All but those that take long, in the order in which they run. */
export const DEFAULT_SUITES: readonly Suite[] = [
  baseline,
  ceiling,
  stagesSuite,
  scale,
  stress,
  latency,
  producer,
  sinks,
  recovery,
  query,
  footprint,
];

export const SUITES: readonly Suite[] = [...DEFAULT_SUITES, flat, endurance];

/** Runs one; an error becomes a fault, so that the others are still measured. */
export async function runSuite(suite: Suite, world: World, options: BenchOptions): Promise<SuiteResult> {
  const head = { suite: suite.name, over: world.over, about: `${suite.about}.` };
  try {
    return { ...head, ...await suite.run(world, options) };
  } catch (error) {
    return {
      ...head,
      figures: [],
      plots: [],
      faults: [error instanceof Error ? error.message : String(error)],
    };
  }
}
