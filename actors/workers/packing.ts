/**
 * Worker entry that packs the table's small files once; then the upkeep actor ends it. With it go the hundreds of megabytes
 * that packing takes: a thread that idles collects no garbage, and WebAssembly's memory never shrinks.
 */
/// <reference lib="deno.worker" />
import { openLake } from "../../sinks/lake/open.ts";
import { optimizePlan } from "../../sinks/lake/optimize_plan.ts";
import { systemClock } from "../clock.ts";
import { runActor } from "../mailbox.ts";
import type { PackingReport, PackingStart } from "../protocol.ts";

runActor<PackingStart, never, PackingReport>(async ({ config }, { report }) => {
  const { now } = systemClock;
  const notice = (text: string) => report({ type: "notice", level: "warning", text });
  const { upkeep } = await openLake(config, { now, notice });
  const plan = optimizePlan(config, now(), { date: null, patient: true });
  report({ type: "packed", report: await upkeep.optimize(plan) });
});
