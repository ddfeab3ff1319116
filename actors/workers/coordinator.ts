/** Worker entry of the coordinator: loads the sinks, and of the sources only the producer of dead letters. */
/// <reference lib="deno.worker" />
import { openDeadLetterTopic } from "../../sources/open.ts";
import { openLake } from "../../sinks/lake/open.ts";
import { createWarehouse } from "../../sinks/warehouse/clickhouse_warehouse.ts";
import { pingClickHouse } from "../../sinks/warehouse/database.ts";
import { openAccess } from "../../sinks/warehouse/open.ts";
import { systemClock } from "../clock.ts";
import { Coordinator } from "../coordinator.ts";
import { DeadLetterTopic } from "../dead_letter_feed.ts";
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
  const { lake, checkpoints, erasures, prepare, ping } = await openLake(config, {
    now: systemClock.now,
    notice,
  });
  const access = openAccess(config, warehouse);
  const coordinator = new Coordinator({
    config,
    mode,
    clock: systemClock,
    lake,
    prepareLake: prepare,
    checkpoints,
    erasures: async () => (await erasures.open()).map(({ erasure }) => erasure),
    warehouse: createWarehouse({ access }),
    deadLetterTopic: new DeadLetterTopic(() => openDeadLetterTopic(config, systemClock, notice)),
    ingest: channel<IngestCommand, IngestReport>(ingest),
    shards: shards.map((port) => channel<never, ShardReport>(port)),
    report,
    // The embedded ClickHouse is this very process, and a request to it waits for the insert before.
    pings: warehouse === null ? { lake: ping, warehouse: () => pingClickHouse(access) } : { lake: ping },
  });
  commands(() => coordinator.drain());
  const summary = await coordinator.run();
  report({ type: "finished", summary });
});
