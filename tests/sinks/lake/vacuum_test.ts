import { assert, assertEquals, assertRejects } from "@std/assert";
import { UserError } from "../../../schema/errors.ts";
import { NOW, sessionRows } from "./lake_fixture.ts";
import { actionsOf } from "./revisions_fixture.ts";
import { ALL_FOLLOWED, DAY_MS, EVERYTHING, UpkeepWorld } from "./upkeep_fixture.ts";

const WEEK = { retentionMs: 7 * DAY_MS, force: false };
const HOUR_MS = 3_600_000;

/** Two epochs, packed into one file; `now` is just after. */
async function packed(): Promise<UpkeepWorld> {
  const world = new UpkeepWorld();
  await world.lake.open();
  await world.commit([{ partition: 0, firstOffset: 1 }]);
  await world.commit([{ partition: 0, firstOffset: 11 }]);
  await world.upkeep.optimize(EVERYTHING);
  return world;
}

const dataFiles = (world: UpkeepWorld) => world.keys("sessions/session_date=");

Deno.test("files that left the table go when the retention is over, not before, and the log says so", async () => {
  const world = await packed();
  const rows = await world.rows();
  world.now = NOW + 7 * DAY_MS;
  assertEquals((await world.upkeep.vacuum(WEEK, ALL_FOLLOWED)).files, []);
  world.now = NOW + 7 * DAY_MS + 1;
  const plan = await world.upkeep.planVacuum(WEEK, ALL_FOLLOWED);
  assertEquals(plan.files.length, 2);
  assertEquals(plan.bytes, plan.files.reduce((sum, key) => sum + world.memory.objects.get(key)!.length, 0));
  assertEquals(dataFiles(world).length, 3, "a plan deletes nothing");
  assertEquals(await world.upkeep.vacuum(WEEK, ALL_FOLLOWED), plan);
  assertEquals(dataFiles(world), (await world.paths()).map((path) => `sessions/${path}`));
  assertEquals(await world.rows(), rows);
  const [start, end] = await Promise.all([4, 5].map((version) => actionsOf(world.store, version)));
  assertEquals(start!.map(({ commitInfo }) => commitInfo!.operation), ["VACUUM START"]);
  assertEquals(
    (start![0]!.commitInfo!.operationMetrics as { numFilesToDelete: string }).numFilesToDelete,
    "2",
  );
  assertEquals(end!.map(({ commitInfo }) => commitInfo!.operation), ["VACUUM END"]);
});

Deno.test("a short retention must be forced", async () => {
  const world = await packed();
  const short = { retentionMs: DAY_MS, force: false };
  await assertRejects(() => world.upkeep.vacuum(short, ALL_FOLLOWED), UserError, "must be at least 7d");
  world.now += DAY_MS + 1;
  assertEquals((await world.upkeep.vacuum({ ...short, force: true }, ALL_FOLLOWED)).files.length, 2);
});

Deno.test("what a commit on its way has uploaded is not touched, however short the retention", async () => {
  const world = await packed();
  const files = await world.lake.stage(3, sessionRows([{ partition: 0, firstOffset: 21 }], 3));
  world.now += DAY_MS;
  const plan = await world.upkeep.planVacuum({ retentionMs: 0, force: true }, ALL_FOLLOWED);
  assertEquals(plan.files.length, 2);
  assert(!plan.files.includes(`sessions/${files[0]!.path}`));
  world.now += 1;
  assert(
    (await world.upkeep.planVacuum({ retentionMs: 0, force: true }, ALL_FOLLOWED)).files.includes(
      `sessions/${files[0]!.path}`,
    ),
  );
});

Deno.test("the log, checkpoints, dead letters and hidden files are not looked at", async () => {
  const world = await packed();
  const others = [
    "sessions/_delta_log/00000000000000000009.json.tmp",
    "sessions/_symlink_format_manifest/x",
    "sessions/session_date=2024-01-02/_SUCCESS",
    "checkpoints/web/web_clicks/0/0000000000000001.ckpt",
    "dead_letters/epoch_1-x.parquet",
  ];
  for (const key of others) await world.store.put(key, Uint8Array.of(1));
  await world.store.put("sessions/session_date=2024-01-02/left behind.parquet", Uint8Array.of(1));
  world.now += 365 * DAY_MS;
  const { files } = await world.upkeep.vacuum(WEEK, ALL_FOLLOWED);
  assertEquals(files.length, 3);
  for (const key of others) assert(world.memory.objects.has(key), key);
});

Deno.test("files of versions that ClickHouse lacks stay", async () => {
  const world = await packed();
  world.now += 30 * DAY_MS;
  const { files } = await world.upkeep.planVacuum(WEEK, () => Promise.resolve(new Set([0, 1])));
  assertEquals(files.length, 1);
  assert(files[0]!.includes("batch_1-"), "version 2 is still to be inserted");
});

Deno.test("change data is kept as long as the log", async () => {
  const world = await packed();
  await world.revise(1, 1, 1, "Posten");
  world.now += 29 * DAY_MS;
  await world.upkeep.vacuum(WEEK, ALL_FOLLOWED);
  assert(world.keys("sessions/_change_data/").length > 0);
  world.now += 2 * DAY_MS;
  await world.upkeep.vacuum(WEEK, ALL_FOLLOWED);
  assertEquals(world.keys("sessions/_change_data/").length, 0);
});

Deno.test("a tombstone within the retention keeps its file, whatever the file's age", async () => {
  const world = new UpkeepWorld();
  await world.lake.open();
  await world.commit([{ partition: 0, firstOffset: 1 }]);
  await world.commit([{ partition: 0, firstOffset: 11 }]);
  world.now += 100 * DAY_MS;
  await world.upkeep.optimize(EVERYTHING);
  world.now += HOUR_MS;
  assertEquals((await world.upkeep.planVacuum(WEEK, ALL_FOLLOWED)).files, []);
});

Deno.test("a tombstone that a Delta checkpoint holds still keeps its file after a new start", async () => {
  const world = new UpkeepWorld();
  await world.lake.open();
  for (let epoch = 0; epoch < 9; epoch++) await world.commit([{ partition: 0, firstOffset: 10 * epoch + 1 }]);
  world.now += 100 * DAY_MS;
  await world.upkeep.optimize(EVERYTHING); // version 10: a Delta checkpoint follows
  world.now += HOUR_MS;
  assertEquals((await world.upkeep.planVacuum(WEEK, ALL_FOLLOWED)).files, []);
  assert(world.memory.objects.has("sessions/_delta_log/00000000000000000010.checkpoint.parquet"));
  const everything = await world.upkeep.planVacuum({ retentionMs: HOUR_MS - 1, force: true }, ALL_FOLLOWED);
  assertEquals(everything.files.length, 9);
});

Deno.test("a file that the table has again is no waste", async () => {
  const world = await packed();
  await world.lake.restore(2);
  world.now += 30 * DAY_MS;
  const { files } = await world.upkeep.planVacuum(WEEK, ALL_FOLLOWED);
  assertEquals(files.map((key) => key.includes("packed")), [true]);
});
