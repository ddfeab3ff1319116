/** Worker entry of the upkeep actor: loads the lake when it is first used, for it idles most of its life. */
/// <reference lib="deno.worker" />
import { systemClock } from "../clock.ts";
import { runActor } from "../mailbox.ts";
import type { UpkeepStart } from "../protocol.ts";
import { reportStats } from "../stats_report.ts";
import { Upkeep } from "../upkeep.ts";

runActor<UpkeepStart>(async ({ config, warehouse }, { report }) => {
  const notice = (level: "info" | "warning", text: string) => report({ type: "notice", level, text });
  const open = async () => {
    const { openLake } = await import("../../sinks/lake/open.ts");
    return await openLake(config, { now: systemClock.now, notice: (text) => notice("warning", text) });
  };
  const connect = async () => {
    const { createWarehouse } = await import("../../sinks/warehouse/clickhouse_warehouse.ts");
    const { openAccess } = await import("../../sinks/warehouse/open.ts");
    return createWarehouse({ access: openAccess(config, warehouse) });
  };
  let lake: ReturnType<typeof open> | null = null;
  let clickhouse: ReturnType<typeof connect> | null = null;
  const upkeep = new Upkeep({
    config,
    clock: systemClock,
    openUpkeep: async () => (await (lake ??= open())).upkeep,
    followed: async (tableId) => await (await (clickhouse ??= connect())).doneVersions(tableId),
    notice,
  });
  // Until the supervisor ends the worker: whatever it is at can be left undone at any moment.
  const { signal } = new AbortController();
  await Promise.all([upkeep.run(signal), reportStats(() => upkeep.stats, report, systemClock, signal)]);
});
