import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { type Cell, cellAt, type ColumnBatch } from "../../../schema/column_batch.ts";
import { SinkError, UserError } from "../../../schema/errors.ts";
import { SESSION_COLUMNS, sessionColumnIndex } from "../../../schema/session.ts";
import { decodeSessions } from "../../../sinks/lake/session_files.ts";
import type { ObjectStore } from "../../../sinks/sink.ts";
import {
  deadLetterRows,
  epochCommit,
  FaultyStore,
  folderStore,
  lakeOn,
  NOW,
  nthCommit,
  sessionRows,
  temporaryFolder,
} from "./lake_fixture.ts";

const DAY_MS = 86_400_000;

function cells(batch: ColumnBatch, name: string): Cell[] {
  const column = batch.columns[name === "session_date" ? SESSION_COLUMNS.length : sessionColumnIndex(name)]!;
  return Array.from({ length: batch.rows }, (_, row) => cellAt(column, row));
}

async function commitText(store: ObjectStore, version: number): Promise<Record<string, unknown>[]> {
  const bytes = await store.get(`sessions/_delta_log/${String(version).padStart(20, "0")}.json`);
  return new TextDecoder().decode(bytes!).trim().split("\n").map((line) => JSON.parse(line));
}

Deno.test("open creates the table as version 0, once", async () => {
  await using folder = await temporaryFolder();
  const store = folderStore(folder.path);
  const states = await Promise.all([lakeOn(store).open(), lakeOn(store).open(), lakeOn(store).open()]);
  assertEquals(new Set(states.map(({ tableId }) => tableId)).size, 1);
  assertEquals(states[0], {
    tableId: states[0]!.tableId,
    version: 0,
    lastEpoch: 0,
    firstPartitions: null,
    positions: [],
  });
  const [commitInfo, protocol, metaData] = await commitText(store, 0);
  assert("commitInfo" in commitInfo!);
  assertEquals(protocol, { protocol: { minReaderVersion: 1, minWriterVersion: 4 } });
  const { partitionColumns, configuration } = metaData!.metaData as Record<string, unknown>;
  assertEquals(partitionColumns, ["session_date"]);
  assertEquals(configuration, { "delta.enableChangeDataFeed": "true", "delta.checkpointInterval": "10" });
});

Deno.test("a commit writes commitInfo first, two txns for each partition and an add for each file", async () => {
  await using folder = await temporaryFolder();
  const store = folderStore(folder.path);
  const lake = lakeOn(store);
  await lake.open();
  const files = await lake.stage(5, sessionRows([{ partition: 0, firstOffset: 1 }], 5));
  const commit = epochCommit(5, [{ partition: 0, from: 0, to: 40, barrierNumber: 1 }], files);
  assertEquals(await lake.commit(commit), { status: "committed", version: 1, conflicts: 0 });
  const [commitInfo, ...actions] = await commitText(store, 1);
  const info = commitInfo!.commitInfo as Record<string, unknown>;
  assertEquals(info.sessionary, commit.record);
  assertEquals(info.isBlindAppend, true);
  assertMatch(info.engineInfo as string, /^Sessionary\/\d/);
  assertEquals(info.operationMetrics, {
    numAddedFiles: "1",
    numRemovedFiles: "0",
    numOutputRows: "1",
    numOutputBytes: String(files[0]!.size),
  });
  assertEquals(actions.slice(0, 2), [
    { txn: { appId: "web/web_clicks/0", version: 40, lastUpdated: NOW } },
    { txn: { appId: "web/web_clicks/0/barrier", version: 1, lastUpdated: NOW } },
  ]);
  const { path, partitionValues, dataChange } = actions[2]!.add as Record<string, unknown>;
  assertMatch(path as string, /^session_date=2024-01-02\/batch_5-[0-9a-f-]{36}\.parquet$/);
  assertEquals([partitionValues, dataChange], [{ session_date: "2024-01-02" }, true]);
});

Deno.test("stage writes one file for each UTC date of session_start, rows in their order", async () => {
  await using folder = await temporaryFolder();
  const lake = lakeOn(folderStore(folder.path));
  const midnight = Date.UTC(2024, 0, 2);
  const rows = sessionRows([
    { partition: 0, firstOffset: 1, start: midnight - 1 },
    { partition: 0, firstOffset: 5, start: midnight },
    { partition: 1, firstOffset: 0, start: midnight - DAY_MS },
    { partition: 1, firstOffset: 9, start: midnight + 5 },
  ]);
  const files = await lake.stage(1, rows);
  assertEquals(files.map(({ sessionDate, rows }) => [sessionDate, rows]), [["2024-01-01", 2], [
    "2024-01-02",
    2,
  ]]);
  const second = decodeSessions(await lake.readFile(files[1]!.path), "test");
  assertEquals(cells(second, "first_offset"), [5, 9]);
  assertEquals(await lake.stage(2, sessionRows([])), []);
});

Deno.test("the table is read back as it was written, at every version", async () => {
  await using folder = await temporaryFolder();
  const lake = lakeOn(folderStore(folder.path));
  await lake.open();
  const texts = { brand: "\ufeffBOM", city: "😀".repeat(40), page_url: "/\0?q=\u0085" };
  const first = sessionRows([{ partition: 0, firstOffset: 3, ...texts }, { partition: 0, firstOffset: 7 }]);
  await lake.commit(nthCommit(1, await lake.stage(1, first)));
  await lake.commit(nthCommit(2));
  const third = sessionRows([{ partition: 0, firstOffset: 1, start: NOW - DAY_MS }], 3);
  await lake.commit(nthCommit(3, await lake.stage(3, third)));

  const [v1, v2, v3] = [await lake.readSessions(1), await lake.readSessions(2), await lake.readSessions()];
  assertEquals((await lake.readSessions(0)).rows, 0);
  assertEquals(v1.columns.slice(0, -1), first.columns);
  assertEquals(v2, v1);
  assertEquals(cells(v3, "first_offset"), [1, 3, 7]);
  assertEquals(cells(v3, "session_date"), ["2024-01-01", "2024-01-02", "2024-01-02"]);
  await assertRejects(() => lake.readSessions(4), UserError, "its newest is 3");
});

Deno.test("a commit is fenced where a partition's offset or barrier is not the one it starts from", async () => {
  await using folder = await temporaryFolder();
  const lake = lakeOn(folderStore(folder.path));
  await lake.open();
  const at = (partition: number, from: number, to: number, barrierNumber: number) => ({
    partition,
    from,
    to,
    barrierNumber,
  });
  const commit = (...advances: ReturnType<typeof at>[]) => lake.commit(epochCommit(1, advances));
  assertEquals(await commit(at(0, 100, 110, 2)), { status: "fenced", partitions: [0] });
  assertEquals((await commit(at(0, 100, 110, 1), at(1, 0, 0, 1))).status, "committed");
  // A zombie that repeats a barrier which moved no offset.
  assertEquals(await commit(at(1, 0, 0, 1)), { status: "fenced", partitions: [1] });
  assertEquals(await commit(at(0, 109, 120, 2), at(1, 0, 5, 2)), { status: "fenced", partitions: [0] });
  assertEquals(await commit(at(0, 110, 120, 3), at(1, 1, 5, 2)), { status: "fenced", partitions: [0, 1] });
  assertEquals((await commit(at(0, 110, 120, 2), at(1, 0, 5, 2))).status, "committed");
  assertEquals((await lakeOn(folderStore(folder.path)).open()).positions, [
    { partition: 0, nextOffset: 120, barrierNumber: 2 },
    { partition: 1, nextOffset: 5, barrierNumber: 2 },
  ]);
});

Deno.test("commits across several Delta checkpoints are all there after reopening", async () => {
  await using folder = await temporaryFolder();
  const store = folderStore(folder.path);
  const lake = lakeOn(store);
  const { tableId } = await lake.open();
  for (let n = 1; n <= 25; n++) {
    const rows = sessionRows([{ partition: 0, firstOffset: n * 10 }], n);
    await lake.commit(nthCommit(n, n % 3 === 0 ? [] : await lake.stage(n, rows)));
  }
  const logFiles = (await store.list("sessions/_delta_log/")).map(({ key }) =>
    key.slice("sessions/_delta_log/".length)
  );
  const checkpoints = logFiles.filter((name) => name.endsWith(".checkpoint.parquet"));
  assertEquals(checkpoints.map((name) => Number(name.slice(0, 20))), [10, 20]);
  const pointer = JSON.parse(
    new TextDecoder().decode((await store.get("sessions/_delta_log/_last_checkpoint"))!),
  );
  assertEquals(pointer.version, 20);

  const everything = await lake.readSessions();
  const atFifteen = await lake.readSessions(15);
  // Only from the checkpoint on: the commits before it are gone, as after a log cleanup.
  for (let n = 0; n <= 20; n++) await store.delete(`sessions/_delta_log/${String(n).padStart(20, "0")}.json`);
  const reopened = lakeOn(store);
  assertEquals(await reopened.open(), {
    tableId,
    version: 25,
    lastEpoch: 25,
    firstPartitions: null,
    positions: [{ partition: 0, nextOffset: 250, barrierNumber: 25 }],
  });
  assertEquals(await reopened.readSessions(), everything);
  assertEquals(everything.rows, 17);
  assertEquals(atFifteen.rows, 10);
  await assertRejects(() => reopened.readSessions(15), SinkError, "the commit of version 11 is missing");
  await assertRejects(() => reopened.epochsAfter(10), SinkError, "the commit of version 11 is missing");
  assertEquals((await reopened.commit(nthCommit(26))).status, "committed");
});

Deno.test("a damaged Delta checkpoint or _last_checkpoint costs nothing while the commits are there", async () => {
  await using folder = await temporaryFolder();
  const store = folderStore(folder.path);
  const lake = lakeOn(store);
  await lake.open();
  for (let n = 1; n <= 21; n++) await lake.commit(nthCommit(n));
  const expected = await lakeOn(store).open();
  await store.put("sessions/_delta_log/00000000000000000020.checkpoint.parquet", new Uint8Array(50));
  assertEquals(await lakeOn(store).open(), expected);
  await store.put("sessions/_delta_log/_last_checkpoint", new TextEncoder().encode("{torn"));
  assertEquals(await lakeOn(store).open(), expected);
  await store.put("sessions/_delta_log/_last_checkpoint", new TextEncoder().encode('{"version":999}'));
  assertEquals(await lakeOn(store).open(), expected);
});

Deno.test("a Delta checkpoint that cannot be written is a warning, and the commit stands", async () => {
  await using folder = await temporaryFolder();
  const store = new FaultyStore(folderStore(folder.path));
  const warnings: string[] = [];
  const lake = lakeOn(store, warnings);
  await lake.open();
  store.before = (call, key) => {
    if (call === "put" && key.endsWith(".checkpoint.parquet")) {
      throw new SinkError("The disk is full.", false);
    }
  };
  for (let n = 1; n <= 11; n++) assertEquals((await lake.commit(nthCommit(n))).status, "committed");
  assertEquals(warnings, ["Could not write a Delta checkpoint, readers start slower: The disk is full."]);
  assertEquals((await lakeOn(store).open()).version, 11);
});

Deno.test("epochsAfter gives this pipeline's commits, and reopening goes on from its highest epoch", async () => {
  await using folder = await temporaryFolder();
  const store = folderStore(folder.path);
  const lake = lakeOn(store);
  await lake.open();
  const advance = (partition: number, n: number) => [{ partition, from: n - 1, to: n, barrierNumber: n }];
  await lake.commit(epochCommit(7, advance(0, 1)));
  const foreign = epochCommit(99, advance(1, 1));
  await lake.commit({ ...foreign, record: { ...foreign.record, pipeline: "other" } });
  // Another instance of this pipeline, whose epochs are behind.
  await lakeOn(store).open();
  await lake.commit(epochCommit(3, advance(2, 1)));
  const epochs = await lake.epochsAfter(0);
  assertEquals(epochs.map(({ version, record }) => [version, record.epoch]), [[1, 7], [3, 3]]);
  assertEquals((await lake.epochsAfter(1)).map(({ version }) => version), [3]);
  assertEquals((await lakeOn(store).open()).lastEpoch, 7);
});

Deno.test("changes tells each version's files and rows; a version that is not there is a sentence", async () => {
  await using folder = await temporaryFolder();
  const lake = lakeOn(folderStore(folder.path));
  await lake.open();
  const rows = sessionRows([
    { partition: 0, firstOffset: 1 },
    { partition: 0, firstOffset: 2, start: NOW - DAY_MS },
    { partition: 0, firstOffset: 3 },
  ]);
  const files = await lake.stage(1, rows);
  await lake.commit(nthCommit(1, files));
  await lake.commit(nthCommit(2));
  assertEquals(await lake.changes([2, 0, 1]), [
    { version: 2, files: [] },
    { version: 0, files: [] },
    { version: 1, files: files.map(({ path, rows }) => ({ kind: "add" as const, path, rows })) },
  ]);
  await assertRejects(() => lake.changes([1, 9]), SinkError, "version 9");
});

Deno.test("encodeVersion gives one file as it is, and several as one in source order", async () => {
  await using folder = await temporaryFolder();
  const lake = lakeOn(folderStore(folder.path));
  const rows = sessionRows([
    { partition: 0, firstOffset: 12, start: NOW },
    { partition: 0, firstOffset: 30, start: NOW - DAY_MS },
    { partition: 2, firstOffset: 4, start: NOW },
    { partition: 10, firstOffset: 1, start: NOW - DAY_MS },
  ]);
  const [yesterday, today] = (await lake.stage(1, rows)).map((file) => ({ ...file, kind: "add" as const }));
  const one = await lake.encodeVersion([today!]);
  assertEquals(one, { parquet: await lake.readFile(today!.path), rows: 2, signed: false, joined: [] });
  assertEquals(await lake.encodeVersion([{ ...today!, rows: null }]), one);
  const both = await lake.encodeVersion([today!, yesterday!]);
  assertEquals(decodeSessions(both!.parquet, "test"), rows);
  assertEquals([both!.rows, both!.signed], [4, false]);
  assertEquals(await lake.encodeVersion([yesterday!, today!]), both);
  assertEquals(await lake.encodeVersion([]), null);
});

Deno.test("only the dead letters that a commit names count, newest first", async () => {
  await using folder = await temporaryFolder();
  const lake = lakeOn(folderStore(folder.path));
  await lake.open();
  const offsets = (batch: ColumnBatch) =>
    Array.from({ length: batch.rows }, (_, row) => cellAt(batch.columns[2]!, row));
  assertEquals((await lake.readDeadLetters(10)).rows, 0);
  const advance = (n: number) => [{ partition: 0, from: n - 1, to: n, barrierNumber: n }];
  const first = await lake.stageDeadLetters(1, deadLetterRows(1, [1, 2]));
  await lake.commit(epochCommit(1, advance(1), [], first));
  await lake.stageDeadLetters(2, deadLetterRows(2, [50]));
  const third = deadLetterRows(3, [3, 4]);
  const key = await lake.stageDeadLetters(3, third);
  await lake.commit(epochCommit(3, advance(2), [], key));
  assertMatch(key, /^dead_letters\/epoch_3-[0-9a-f-]{36}\.parquet$/);
  assertEquals(offsets(await lake.readDeadLetters(10)), [4, 3, 2, 1]);
  assertEquals(offsets(await lake.readDeadLetters(3)), [4, 3, 2]);
  assertEquals(await lake.readDeadLetterFile(key), third);
});

Deno.test("a table that is not there, or a file that is gone, is a sentence", async () => {
  await using folder = await temporaryFolder();
  const lake = lakeOn(folderStore(folder.path));
  await assertRejects(() => lake.readSessions(), UserError, "run the pipeline first");
  await assertRejects(() => lake.readFile("session_date=2024-01-01/gone.parquet"), SinkError, "gone.parquet");
});

Deno.test("a table with another schema or a newer protocol is refused, and nothing is written to it", async () => {
  await using folder = await temporaryFolder();
  const store = folderStore(folder.path);
  const running = lakeOn(store);
  await running.open();
  const put = (version: number, action: unknown) =>
    store.putIfAbsent(
      `sessions/_delta_log/${String(version).padStart(20, "0")}.json`,
      new TextEncoder().encode(`${JSON.stringify(action)}\n`),
    );
  const { metaData } = (await commitText(store, 0))[2] as { metaData: { schemaString: string } };
  const schemaString = metaData.schemaString.replace('"user_id"', '"reader"');
  await put(1, { metaData: { ...metaData, schemaString } });
  await assertRejects(() => running.commit(nthCommit(1)), SinkError, "has no column 'user_id'");
  await assertRejects(() => lakeOn(store).open(), SinkError, "has no column 'user_id'");
  await put(2, { metaData });
  assertEquals(await running.commit(nthCommit(1)), { status: "committed", version: 3, conflicts: 1 });
  await put(4, { protocol: { minReaderVersion: 1, minWriterVersion: 7, writerFeatures: ["rowTracking"] } });
  await assertRejects(() => running.commit(nthCommit(2)), SinkError, "needs writer version 7");
  assertEquals((await running.epochsAfter(0)).length, 1);
});
