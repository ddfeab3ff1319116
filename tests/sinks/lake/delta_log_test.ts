import { assert, assertEquals } from "@std/assert";
import { DeltaLog } from "../../../sinks/lake/delta_log.ts";
import type { TableReplay } from "../../../sinks/lake/delta_snapshot.ts";
import { UpkeepWorld } from "./upkeep_fixture.ts";

const POINTER = "sessions/_delta_log/_last_checkpoint";

/** The log of a table of 25 versions, and its table at the versions 14 and 24. */
async function logWithReplays() {
  const world = new UpkeepWorld();
  await world.lake.open();
  for (let epoch = 1; epoch <= 24; epoch++) await world.commit([{ partition: 0, firstOffset: 10 * epoch }]);
  await world.lake.state(); // It waits for the Delta checkpoint of version 20.
  const log = new DeltaLog(world.store, "sessions/");
  const [earlier, newest] = [await log.load(14), await log.load(24)];
  const pointsAt = async () =>
    JSON.parse(new TextDecoder().decode((await world.store.get(POINTER))!)).version;
  const write = (replay: TableReplay | null) => log.writeCheckpoint(replay!.snapshot(), world.now);
  return { world, earlier, newest, pointsAt, write };
}

Deno.test("a writer that is behind another does not take _last_checkpoint back to its own version", async () => {
  const { world, earlier, newest, pointsAt, write } = await logWithReplays();
  assertEquals(await pointsAt(), 20);
  await write(earlier);
  assertEquals(await pointsAt(), 20);
  assert(!world.keys("sessions/_delta_log/").some((key) => key.endsWith("14.checkpoint.parquet")));
  await write(newest);
  assertEquals(await pointsAt(), 24);
});

Deno.test("a _last_checkpoint past the log's end is mended by the next Delta checkpoint", async () => {
  const { world, newest, pointsAt, write } = await logWithReplays();
  await world.store.put(POINTER, new TextEncoder().encode('{"version":999}'));
  await write(newest);
  assertEquals(await pointsAt(), 24);
});
