import { assert, assertEquals, assertRejects } from "@std/assert";
import { cellAt } from "../../../schema/column_batch.ts";
import { DEAD_LETTER_COLUMNS, EMPTY_LEDGER } from "../../../schema/epoch.ts";
import { SinkError } from "../../../schema/errors.ts";
import { CheckpointStore } from "../../../sinks/checkpoint_store.ts";
import { deadLetterRows, epochCommit, nthCommit } from "./lake_fixture.ts";
import { ALL_FOLLOWED, DAY_MS, UpkeepWorld } from "./upkeep_fixture.ts";

const MONTH_MS = 31 * DAY_MS;

/** A table of 34 versions, a checkpoint of the state at the barrier given, and a month later two versions more. */
async function monthOld(checkpointedAt = 33): Promise<UpkeepWorld> {
  const world = new UpkeepWorld();
  await world.lake.open();
  for (let epoch = 1; epoch <= 33; epoch++) await world.commit([{ partition: 0, firstOffset: 10 * epoch }]);
  if (checkpointedAt > 0) await checkpoint(world, checkpointedAt);
  world.now += MONTH_MS;
  for (let epoch = 34; epoch <= 35; epoch++) await world.commit([{ partition: 0, firstOffset: 10 * epoch }]);
  return world;
}

async function checkpoint(world: UpkeepWorld, barrier: number): Promise<void> {
  const store = new CheckpointStore({
    store: world.store,
    pipeline: "web",
    topic: "web_clicks",
    notice: () => {},
  });
  const { record } = nthCommit(barrier);
  await store.write({
    semanticsVersion: 2,
    pipeline: "web",
    topic: "web_clicks",
    barrier: record.partitions[0]!.barrier,
    ledger: EMPTY_LEDGER,
    latestEventTime: null,
    deltaVersion: barrier,
  }, []);
}

const LOG = "sessions/_delta_log/";
const commits = (world: UpkeepWorld) =>
  world.keys(LOG).filter((key) => key.endsWith(".json")).map((key) => Number(key.slice(LOG.length, -5)));

Deno.test("versions older than a month go, up to a Delta checkpoint; every version that stays is readable", async () => {
  const world = await monthOld();
  const before = new Map(await Promise.all([30, 33, 35].map(async (v) => [v, await world.rows(v)] as const)));
  assertEquals(await world.upkeep.cleanLog(ALL_FOLLOWED), { filesDeleted: 32, oldestVersion: 30 });
  assertEquals(commits(world), [30, 31, 32, 33, 34, 35]);
  for (const [version, rows] of before) assertEquals(await world.rows(version), rows);
  for (const version of [31, 32, 34]) assertEquals((await world.rows(version)).length, version);
  await assertRejects(() => world.rows(29), SinkError, "the commit of version 0 is missing");
  assertEquals((await world.upkeep.cleanLog(ALL_FOLLOWED)).filesDeleted, 0);
});

Deno.test("the pipeline goes on after it: the table opens, commits, and a restart finds the barriers since", async () => {
  const world = await monthOld();
  await world.upkeep.cleanLog(ALL_FOLLOWED);
  const lake = world.otherLake();
  const state = await lake.open();
  assertEquals([state.version, state.lastEpoch], [35, 35]);
  assertEquals((await lake.epochsAfter(33)).map(({ version }) => version), [34, 35]);
  assertEquals((await lake.epochsAfter(-1)).map(({ version }) => version), [30, 31, 32, 33, 34, 35]);
  assertEquals(await lake.oldestVersion(), 30);
  await world.commit([], lake);
  assertEquals((await lake.history(100)).length, 7);
});

Deno.test("nothing goes that ClickHouse lacks, or that a restart replays", async () => {
  const world = await monthOld();
  const lacks = () =>
    Promise.resolve(new Set(Array.from({ length: 36 }, (_, v) => v).filter((v) => v !== 15)));
  assertEquals((await world.upkeep.cleanLog(lacks)).oldestVersion, 10);
  assertEquals((await (await monthOld(24)).upkeep.cleanLog(ALL_FOLLOWED)).oldestVersion, 20);
  assertEquals((await (await monthOld(0)).upkeep.cleanLog(ALL_FOLLOWED)).oldestVersion, null);
});

Deno.test("a partition that is quiet since its checkpoint holds nothing back", async () => {
  const world = await monthOld();
  await world.lake.commit(epochCommit(36, [{ partition: 1, from: 0, to: 5, barrierNumber: 1 }]));
  assertEquals((await world.upkeep.cleanLog(ALL_FOLLOWED)).oldestVersion, null, "it has no checkpoint");
  await checkpoint(world, 34);
  await checkpoint(world, 35);
  const store = new CheckpointStore({
    store: world.store,
    pipeline: "web",
    topic: "web_clicks",
    notice: () => {},
  });
  const barrier = { ...nthCommit(1).record.partitions[0]!.barrier, partition: 1 };
  const header = { semanticsVersion: 2, pipeline: "web", topic: "web_clicks", barrier, ledger: EMPTY_LEDGER };
  await store.write({ ...header, latestEventTime: null, deltaVersion: 3 }, []);
  assertEquals((await world.upkeep.cleanLog(ALL_FOLLOWED)).oldestVersion, 30);
});

Deno.test("a Delta checkpoint that cannot be read stands in for nothing", async () => {
  const world = await monthOld();
  await world.store.put(`${LOG}${"30".padStart(20, "0")}.checkpoint.parquet`, Uint8Array.of(1, 2, 3));
  assertEquals((await world.upkeep.cleanLog(ALL_FOLLOWED)).oldestVersion, 20);
});

Deno.test("the table's properties decide how long the log is kept, and whether it is cleaned", async () => {
  for (
    const [name, value, oldest] of [
      ["delta.logRetentionDuration", "interval 2 months", null],
      ["delta.logRetentionDuration", "interval 100 days", null],
      ["delta.logRetentionDuration", "interval 1 day", 30],
      ["delta.enableExpiredLogCleanup", "false", null],
    ] as const
  ) {
    const world = await monthOld();
    const bytes = await world.store.get(`${LOG}${"0".padStart(20, "0")}.json`);
    const { metaData } = JSON.parse(new TextDecoder().decode(bytes!).split("\n")[2]!);
    metaData.configuration[name] = value;
    const key = `${LOG}${"36".padStart(20, "0")}.json`;
    await world.store.put(key, new TextEncoder().encode(JSON.stringify({ metaData })));
    assertEquals((await world.upkeep.cleanLog(ALL_FOLLOWED)).oldestVersion, oldest, value);
  }
});

Deno.test("dead letters still count when the commits that named them are gone", async () => {
  const world = new UpkeepWorld();
  await world.lake.open();
  for (let n = 1; n <= 12; n++) {
    const file = await world.lake.stageDeadLetters(n, deadLetterRows(n, [n]));
    const advances = [{ partition: 0, from: n - 1, to: n, barrierNumber: n }];
    await world.lake.commit(epochCommit(n, advances, [], file));
  }
  await world.lake.stageDeadLetters(13, deadLetterRows(13, [13])); // no commit names it
  await checkpoint(world, 12);
  world.now += MONTH_MS;
  assertEquals((await world.upkeep.cleanLog(ALL_FOLLOWED)).oldestVersion, 10);
  const lake = world.otherLake();
  const offset = DEAD_LETTER_COLUMNS.findIndex(({ name }) => name === "offset");
  const shown = async (limit: number) => {
    const letters = await lake.readDeadLetters(limit);
    return Array.from({ length: letters.rows }, (_, row) => cellAt(letters.columns[offset]!, row));
  };
  assertEquals(await shown(100), [12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
  assertEquals(await shown(4), [12, 11, 10, 9]);
});

Deno.test("a cleanup that was cut off is finished by the next, and costs no version that it keeps", async () => {
  const world = await monthOld();
  const remove = world.store.delete.bind(world.store);
  let left = 20;
  world.store.delete = (key) =>
    left-- > 0 ? remove(key) : Promise.reject(new SinkError("The power is gone.", false));
  await assertRejects(() => world.upkeep.cleanLog(ALL_FOLLOWED), SinkError, "power");
  world.store.delete = remove;
  assertEquals((await world.otherLake().open()).version, 35);
  assertEquals((await world.rows(31)).length, 31);
  assertEquals((await world.upkeep.cleanLog(ALL_FOLLOWED)).oldestVersion, 30);
  assert(Math.min(...commits(world)) === 30);
});
