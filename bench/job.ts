/**
 * A process of `bench/processes.ts`'s: the whole job over what the event log holds, until its end. Its settings are its
 * environment; its argument is a {@linkcode JobRequest} in JSON; it prints a {@linkcode JobResult} as JSON.
 */
import { resourceUsage } from "node:process";
import { systemClock } from "../actors/clock.ts";
import type { PipelineSummary } from "../actors/protocol.ts";
import { startPipeline } from "../actors/supervisor.ts";
import { environmentVariables, resolveConfig } from "../schema/config.ts";
import { ALL_TABLES } from "../schema/settings.ts";
import { peakMemory } from "./processes.ts";

export interface JobRequest {
  /** Close what is open at the end. */
  readonly closeOpen: boolean;
}

export interface JobResult {
  readonly summary: PipelineSummary;
  /** From the first event processed to the end of the drain: all rows are in both sinks. */
  readonly seconds: number;
  /** From the start of the actors to the first event processed. */
  readonly startSeconds: number;
  /** Of all threads, from the start of the process. */
  readonly cpuSeconds: number;
  /** The most that the process has had in memory. */
  readonly rssPeakBytes: number;
}

async function runJob({ closeOpen }: JobRequest): Promise<JobResult> {
  const names = environmentVariables(...ALL_TABLES);
  const env = Object.fromEntries(names.map((name) => [name, Deno.env.get(name)]));
  const { config } = resolveConfig({ flags: {}, env });
  const started = systemClock.now();
  const pipeline = await startPipeline({ config, untilEnd: true, closeOpen });
  const summary = await pipeline.finished;
  const ended = systemClock.now();
  const first = pipeline.stats().firstNewEventMs ?? started;
  const { maxRSS, userCPUTime, systemCPUTime } = resourceUsage();
  // Linux counts into a process's maxRSS what the one that started it had.
  const peak = await peakMemory(Deno.pid);
  return {
    summary,
    seconds: (ended - first) / 1_000,
    startSeconds: (first - started) / 1_000,
    cpuSeconds: (userCPUTime + systemCPUTime) / 1e6,
    rssPeakBytes: Number.isNaN(peak) ? maxRSS * 1_024 : peak,
  };
}

if (import.meta.main) console.log(JSON.stringify(await runJob(JSON.parse(Deno.args[0]!))));
