import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { Int32, vectorFromArray } from "apache-arrow";
import { cellAt } from "../../../schema/column_batch.ts";
import { sessionColumnIndex } from "../../../schema/session.ts";
import { SESSION_SCHEMA_STRING } from "../../../sinks/lake/delta_schema.ts";
import { decodeParquet, encodeParquet } from "../../../sinks/lake/parquet.ts";
import { decodeSessions } from "../../../sinks/lake/session_files.ts";
import { NOW, type TestSession } from "./lake_fixture.ts";
import { actionsOf, commitAs, payloadOf, signedRows } from "./revisions_fixture.ts";
import { DAY_MS, EVERYTHING, UpkeepWorld } from "./upkeep_fixture.ts";

const session = (firstOffset: number, brand = "The Daily", start = NOW): TestSession => ({
  partition: 0,
  firstOffset,
  brand,
  start,
});

/** A table of three epochs over two dates. */
async function threeEpochs(): Promise<UpkeepWorld> {
  const world = new UpkeepWorld();
  await world.lake.open();
  await world.commit([session(1, "Nordlys"), session(2, "Avisen")]);
  await world.commit([session(11, "Avisen", NOW - 1000), session(12, "Nordlys", NOW - DAY_MS)]);
  await world.commit([session(21, "Nordlys", NOW - 2000)]);
  return world;
}

Deno.test("a date's files become one, sorted by brand and start, and no row changes", async () => {
  const world = await threeEpochs();
  const before = await world.rows();
  const report = await world.upkeep.optimize(EVERYTHING);
  assertEquals([report.filesRemoved, report.filesAdded, report.versions], [3, 1, [4]]);
  assertEquals(await world.rows(), before);
  assertEquals(await world.rows(3), before);
  const [path] = (await world.paths()).filter((path) => path.includes("packed"));
  const rows = decodeSessions((await world.store.get(`sessions/${path}`))!, path!);
  const offsets = Array.from(
    { length: rows.rows },
    (_, row) => cellAt(rows.columns[sessionColumnIndex("first_offset")]!, row),
  );
  assertEquals(offsets, [11, 2, 21, 1]);
});

Deno.test("its commit says what it is: no data changed, every file named, honest numbers", async () => {
  const world = await threeEpochs();
  const { bytesRemoved, bytesAdded } = await world.upkeep.optimize(EVERYTHING);
  const actions = await actionsOf(world.store, 4);
  const info = actions[0]!.commitInfo!;
  assertEquals(info.operation, "OPTIMIZE");
  assertEquals(info.operationMetrics, {
    numRemovedFiles: "3",
    numAddedFiles: "1",
    numRemovedBytes: String(bytesRemoved),
    numAddedBytes: String(bytesAdded),
    numCopiedRows: "4",
  });
  const changes = actions.slice(1).map((action) => (action.add ?? action.remove)!);
  assertEquals(changes.map(({ dataChange }) => dataChange), [false, false, false, false]);
  assertEquals(JSON.parse(actions.at(-1)!.add!.stats as string).numRecords, 4);
  assertEquals(await payloadOf(world.lake, 4), null, "ClickHouse has nothing to insert");
});

Deno.test("there is nothing to do again, nor where every file is young or of another date", async () => {
  const world = await threeEpochs();
  assertEquals((await world.upkeep.optimize({ ...EVERYTHING, date: "2024-01-01" })).filesRemoved, 0);
  assertEquals((await world.upkeep.optimize({ ...EVERYTHING, writtenBeforeMs: NOW })).filesRemoved, 0);
  await world.upkeep.optimize(EVERYTHING);
  assertEquals((await world.upkeep.optimize(EVERYTHING)).versions, []);
});

Deno.test("a revision finds its row in a packed file, by its epoch or without it, and the next ones too", async () => {
  const world = await threeEpochs();
  await world.upkeep.optimize(EVERYTHING);
  const version = await world.revise(11, 1, 2, "Posten");
  assertEquals(signedRows((await payloadOf(world.lake, version))!), [
    "- 0:11 r0 Avisen 2024-01-02",
    "+ 0:11 r1 Posten 2024-01-02",
  ]);
  await world.upkeep.optimize(EVERYTHING);
  const again = await world.revise(11, 2, 99, "Bladet");
  assertEquals(signedRows((await payloadOf(world.lake, again))!), [
    "- 0:11 r1 Posten 2024-01-02",
    "+ 0:11 r2 Bladet 2024-01-02",
  ]);
  assertEquals((await world.rows()).filter((row) => row.startsWith("0:11")), ["0:11 r2 Bladet 2024-01-02"]);
});

Deno.test("an epoch that lands meanwhile costs a conflict, and both stand", async () => {
  const world = await threeEpochs();
  let landed: Promise<number> | null = null;
  world.store.before = (call, key) => {
    // The packed file is on its way.
    if (call === "put" && key.includes("packed")) landed ??= world.commit([session(31)]);
  };
  const write = world.store.putIfAbsent.bind(world.store);
  world.store.putIfAbsent = async (key, bytes) => {
    if (landed !== null && new TextDecoder().decode(bytes).includes("OPTIMIZE")) await landed;
    return await write(key, bytes);
  };
  const report = await world.upkeep.optimize(EVERYTHING);
  assertEquals([report.conflicts, report.abandoned, report.versions], [1, 0, [5]]);
  assertEquals((await world.rows()).length, 6);
});

Deno.test("a file that another writer replaced meanwhile costs the bin, and no row", async () => {
  const world = await threeEpochs();
  let revised: Promise<number> | null = null;
  world.store.before = (call, key) => {
    if (call === "put" && key.includes("packed")) revised ??= world.revise(1, 1, 1, "Posten");
  };
  const write = world.store.putIfAbsent.bind(world.store);
  world.store.putIfAbsent = async (key, bytes) => {
    if (revised !== null && new TextDecoder().decode(bytes).includes("OPTIMIZE")) await revised;
    return await write(key, bytes);
  };
  const report = await world.upkeep.optimize(EVERYTHING);
  assertEquals([report.abandoned, report.versions], [1, []]);
  assertEquals((await world.rows()).filter((row) => row.startsWith("0:1 ")), ["0:1 r1 Posten 2024-01-02"]);
  assertEquals((await world.upkeep.optimize(EVERYTHING)).filesRemoved, 3);
});

Deno.test("columns that others added are carried along; files that differ in them stay apart", async () => {
  const world = await threeEpochs();
  const shares = (await world.lake.shareOut()).flatMap(({ files }) => files.map(({ path }) => path));
  const today = shares.filter((path) => path.includes("2024-01-02"));
  const schema = JSON.parse(SESSION_SCHEMA_STRING);
  schema.fields.push({ name: "score", type: "integer", nullable: true, metadata: {} });
  const [{ metaData }] = (await actionsOf(world.store, 0)).filter((action) => "metaData" in action) as [
    Record<string, Record<string, unknown>>,
  ];
  await commitAs(world.store, 4, [
    { metaData: { ...metaData, schemaString: JSON.stringify(schema) } as never },
  ]);
  // Two of three files have the column.
  for (const path of today.slice(0, 2)) {
    const table = decodeParquet((await world.store.get(`sessions/${path}`))!, path);
    const score = vectorFromArray(Array.from({ length: table.numRows }, (_, row) => row + 7), new Int32());
    const { Table } = await import("apache-arrow");
    await world.store.put(`sessions/${path}`, encodeParquet(table.assign(new Table({ score }))));
  }
  const report = await world.upkeep.optimize(EVERYTHING);
  assertEquals([report.filesRemoved, report.filesAdded], [2, 1]);
  const [path] = (await world.paths()).filter((path) => path.includes("packed"));
  const packed = decodeParquet((await world.store.get(`sessions/${path}`))!, path!);
  assertEquals([...packed.getChild("score")!].map(Number).sort(), [7, 7, 8]);
});

Deno.test("property: whatever was committed and revised, OPTIMIZE keeps the rows of every version", async () => {
  const step = fc.oneof(
    fc.record({
      kind: fc.constant("commit" as const),
      count: fc.integer({ min: 0, max: 4 }),
      days: fc.nat(2),
    }),
    fc.record({ kind: fc.constant("revise" as const), of: fc.nat(20) }),
    fc.record({ kind: fc.constant("optimize" as const) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 10 }), async (steps) => {
      const world = new UpkeepWorld();
      await world.lake.open();
      const sessions: { offset: number; epoch: number; revision: number; start: number }[] = [];
      const versions: string[][] = [await world.rows()];
      let [epoch, offset] = [0, 0];
      for (const one of steps) {
        const before = versions.at(-1)!;
        if (one.kind === "optimize") {
          const { versions: made } = await world.upkeep.optimize(EVERYTHING);
          for (const _ of made) versions.push(before);
          assertEquals(await world.rows(), before);
          continue;
        }
        epoch++;
        if (one.kind === "commit") {
          const start = NOW - one.days * DAY_MS;
          const added = Array.from(
            { length: one.count },
            () => ({ offset: offset++, epoch, revision: 0, start }),
          );
          sessions.push(...added);
          await world.commit(added.map(({ offset }) => session(offset, `b${offset % 3}`, start)));
        } else {
          const today = sessions.filter(({ start }) => start === NOW);
          const revised = today[one.of % Math.max(1, today.length)];
          if (revised === undefined) await world.commit([]);
          else {
            await world.revise(revised.offset, ++revised.revision, revised.epoch, "late");
            revised.epoch = epoch;
          }
        }
        versions.push(await world.rows());
      }
      for (const [version, rows] of versions.entries()) assertEquals(await world.rows(version), rows);
      assert(versions.at(-1)!.length === sessions.length);
    }),
    { numRuns: 15 },
  );
});
