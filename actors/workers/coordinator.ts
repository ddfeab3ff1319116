/** Worker entry of the coordinator: loads the sinks, and of the sources only the producer of dead letters. */
/// <reference lib="deno.worker" />
import { openDeadLetterTopic } from "../../sources/open.ts";
import { openLake } from "../../sinks/lake/open.ts";
import { createWarehouse } from "../../sinks/warehouse/clickhouse_warehouse.ts";
import { openAccess } from "../../sinks/warehouse/open.ts";
import { systemClock } from "../clock.ts";
import { Coordinator } from "../coordinator.ts";
import { channel, runActor } from "../mailbox.ts";
import type {
  CoordinatorCommand,
  CoordinatorStart,
  IngestCommand,
  IngestReport,
  ShardReport,
} from "../protocol.ts";

runActor<CoordinatorStart, CoordinatorCommand>(async (start, { report, commands }) => {
  const { config, mode, shards, ingest, warehouse } = start;
  const notice = (text: string) => report({ type: "notice", level: "warning", text });
  const { lake, checkpoints, prepare } = await openLake(config, { now: systemClock.now, notice });
  await prepare();
  const coordinator = new Coordinator({
    config,
    mode,
    clock: systemClock,
    lake,
    checkpoints,
    warehouse: createWarehouse({ access: openAccess(config, warehouse) }),
    deadLetterTopic: await openDeadLetterTopic(config, systemClock),
    ingest: channel<IngestCommand, IngestReport>(ingest),
    shards: shards.map((port) => channel<never, ShardReport>(port)),
    report,
  });
  commands(() => coordinator.drain());
  const summary = await coordinator.run();
  report({ type: "finished", summary });
});
