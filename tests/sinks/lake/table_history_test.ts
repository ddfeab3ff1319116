import { assertEquals } from "@std/assert";
import type { DeltaAction } from "../../../sinks/lake/delta_actions.ts";
import { describeCommit } from "../../../sinks/lake/table_history.ts";
import {
  deadLetterRows,
  epochCommit,
  folderStore,
  lakeOn,
  NOW,
  nthCommit,
  sessionRows,
  temporaryFolder,
} from "./lake_fixture.ts";

const DAY_MS = 86_400_000;

Deno.test("the history has every version with what it did, the newest first, page by page", async () => {
  await using folder = await temporaryFolder();
  const lake = lakeOn(folderStore(folder.path));
  await lake.open();
  const days = [{ partition: 0, firstOffset: 1 }, { partition: 0, firstOffset: 2, start: NOW - DAY_MS }];
  await lake.commit(nthCommit(1, await lake.stage(1, sessionRows(days))));
  const letters = await lake.stageDeadLetters(2, deadLetterRows(2, [1]));
  await lake.commit({ ...epochCommit(2, nthCommit(2).advances, [], letters) });
  // As the page asks: by a lake that is not open.
  const reader = lakeOn(folderStore(folder.path));
  const all = await reader.history(10);
  assertEquals(
    all.map(({ version, epoch, filesAdded, rowsAdded }) => [version, epoch, filesAdded, rowsAdded]),
    [
      [2, 2, 0, 0],
      [1, 1, 2, 2],
      [0, null, 0, 0],
    ],
  );
  assertEquals([all[0]!.closedBy, all[1]!.timestampMs], ["interval", nthCommit(1).timestampMs]);
  assertEquals(await reader.history(1), all.slice(0, 1));
  assertEquals(await reader.history(10, 1), all.slice(2));
  assertEquals(await reader.history(10, 0), []);
});

Deno.test("the summary is that of the newest version's files", async () => {
  await using folder = await temporaryFolder();
  const lake = lakeOn(folderStore(folder.path));
  await lake.open();
  const none = await lakeOn(folderStore(folder.path)).summary();
  assertEquals([none.version, none.files, none.rows, none.firstDate], [0, 0, 0, null]);
  const files = await lake.stage(
    1,
    sessionRows([
      { partition: 0, firstOffset: 1 },
      { partition: 0, firstOffset: 2, start: NOW - DAY_MS },
    ]),
  );
  await lake.commit(nthCommit(1, files));
  const { version, files: count, rows, bytes, firstDate, lastDate } = await lakeOn(folderStore(folder.path))
    .summary();
  assertEquals([version, count, rows, firstDate, lastDate], [1, 2, 2, "2024-01-01", "2024-01-02"]);
  assertEquals(bytes, files.reduce((sum, { size }) => sum + size, 0));
});

Deno.test("a commit of another writer is told as far as it says what it did", () => {
  const add = { path: "a", partitionValues: {}, size: 10, modificationTime: 0, dataChange: true };
  const actions: DeltaAction[] = [
    {
      commitInfo: {
        timestamp: 5,
        operation: "OPTIMIZE",
        operationParameters: { predicate: ["x"], long: "y".repeat(999) },
      },
    },
    { add },
    { remove: { path: "b", dataChange: false } },
  ];
  const told = describeCommit({ version: 4, actions });
  assertEquals([told.operation, told.rowsAdded, told.bytesAdded, told.filesRemoved, told.bytesRemoved], [
    "OPTIMIZE",
    null,
    10,
    1,
    null,
  ]);
  assertEquals(told.details, { predicate: '["x"]', long: "y".repeat(200) });
  assertEquals([told.engine, told.epoch, told.deadLetters], [null, null, 0]);
});
