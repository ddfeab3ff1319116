/** The Delta table that the configuration names, for commands that work beside whoever writes to it. */
import { systemClock } from "../../actors/clock.ts";
import type { Config } from "../../schema/config.ts";
import type { DeltaLake } from "../../sinks/lake/lake.ts";
import { openLake } from "../../sinks/lake/open.ts";
import type { CommandContext } from "../context.ts";

/** Nothing is read yet. */
export async function openTable(config: Config, context: CommandContext): Promise<DeltaLake> {
  const { lake } = await openLake(config, { now: systemClock.now, notice: context.warn });
  return lake;
}
