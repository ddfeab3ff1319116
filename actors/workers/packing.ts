/**
 * Worker entry that packs the table's small files once; then the upkeep actor ends it. With it go the hundreds of megabytes
 * that packing takes: a thread that idles collects no garbage, and WebAssembly's memory never shrinks.
 */
/// <reference lib="deno.worker" />
import { openLake } from "../../sinks/lake/open.ts";
import { optimizePlan } from "../../sinks/lake/optimize_plan.ts";
import { systemClock } from "../clock.ts";
import { failureOf } from "../mailbox.ts";
import type { PackingReport, PackingStart } from "../protocol.ts";

const report = (message: PackingReport) => self.postMessage(message);

self.onmessage = async ({ data: { config } }: MessageEvent<PackingStart>) => {
  const { now } = systemClock;
  try {
    const { upkeep } = await openLake(config, { now, notice: (text) => report({ type: "notice", text }) });
    const plan = optimizePlan(config, now(), { date: null, patient: true });
    report({ type: "packed", report: await upkeep.optimize(plan) });
  } catch (error) {
    report({ type: "failed", failure: failureOf(error) });
  }
};
