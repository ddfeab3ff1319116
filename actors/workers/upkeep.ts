/** Worker entry of the upkeep actor: loads the lake when it is first used, for it idles most of its life. */
/// <reference lib="deno.worker" />
import type { Config } from "../../schema/config.ts";
import { invariant } from "../../schema/errors.ts";
import { systemClock } from "../clock.ts";
import { runActor } from "../mailbox.ts";
import type { OptimizeReport } from "../../sinks/lake/optimize_report.ts";
import type { PackingReport, PackingStart, UpkeepStart } from "../protocol.ts";
import { reportStats } from "../stats_report.ts";
import { type TableCare, Upkeep } from "../upkeep.ts";

/** Packs small files in a worker that lives as long as that takes. */
function pack(config: Config, notice: (text: string) => void): Promise<OptimizeReport> {
  const worker = new Worker(new URL("./packing.ts", import.meta.url), { type: "module", name: "packing" });
  return new Promise<OptimizeReport>((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<PackingReport>) => {
      if (data.type === "notice") notice(data.text);
      else if (data.type === "packed") resolve(data.report);
      else reject(new Error(data.failure.message));
    };
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(`The packing thread died: ${event.message}`));
    };
    worker.postMessage({ config } satisfies PackingStart);
  }).finally(() => worker.terminate());
}

async function openTable(
  config: Config,
  warehouse: MessagePort | null,
  notice: (text: string) => void,
): Promise<TableCare> {
  const { openLake } = await import("../../sinks/lake/open.ts");
  const { retentionOptions } = await import("../../sinks/lake/retention_plan.ts");
  const { createWarehouse } = await import("../../sinks/warehouse/clickhouse_warehouse.ts");
  const { openAccess } = await import("../../sinks/warehouse/open.ts");
  const { upkeep, retention } = await openLake(config, { now: systemClock.now, notice });
  const clickhouse = createWarehouse({ access: openAccess(config, warehouse) });
  const followed = (tableId: string) => clickhouse.doneVersions(tableId);
  return {
    vacuum: () => upkeep.vacuum({ retentionMs: config.vacuumRetentionMs, force: false }, followed),
    cleanLog: () => upkeep.cleanLog(followed),
    retire() {
      const { retentionMs } = config;
      invariant(retentionMs !== null, "dates are retired only where they have an age to leave at");
      return retention.retire(retentionOptions(config, systemClock.now(), retentionMs), followed);
    },
  };
}

runActor<UpkeepStart>(async ({ config, warehouse }, { report }) => {
  const notice = (level: "info" | "warning", text: string) => report({ type: "notice", level, text });
  let table: Promise<TableCare> | null = null;
  const warn = (text: string) => notice("warning", text);
  const upkeep = new Upkeep({
    config,
    clock: systemClock,
    pack: () => pack(config, warn),
    openTable: () => table ??= openTable(config, warehouse, warn),
    notice,
  });
  // Until the supervisor ends the worker: whatever it is at can be left undone at any moment.
  const { signal } = new AbortController();
  await Promise.all([upkeep.run(signal), reportStats(() => upkeep.stats, report, systemClock, signal)]);
});
