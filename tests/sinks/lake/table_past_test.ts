import { assertEquals, assertRejects } from "@std/assert";
import { SinkError, UserError } from "../../../schema/errors.ts";
import type { DeltaLake } from "../../../sinks/lake/lake.ts";
import type { ObjectStore } from "../../../sinks/sink.ts";
import {
  deadLetterRows,
  epochCommit,
  folderStore,
  lakeOn,
  NOW,
  nthCommit,
  revisionRows,
  sessionRows,
  temporaryFolder,
} from "./lake_fixture.ts";
import { actionsOf, shown } from "./revisions_fixture.ts";

/** Versions 1: two sessions; 2: one of them revised, beside a new one; 3: restored to 1. */
async function lakeWithPast(store: ObjectStore): Promise<DeltaLake> {
  const lake = lakeOn(store);
  await lake.open();
  const first = sessionRows([{ partition: 0, firstOffset: 1 }, { partition: 0, firstOffset: 2 }]);
  await lake.commit(nthCommit(1, await lake.stage(1, first)));
  const files = await lake.stage(2, sessionRows([{ partition: 1, firstOffset: 9 }], 2));
  const revision = { partition: 0, firstOffset: 1, brand: "revised", revision: 1, replaces: 1 };
  await lake.commit(nthCommit(2, files, revisionRows([revision], 2)));
  await lake.restore(1);
  return lake;
}

async function changesOf(lake: DeltaLake, from: number, to?: number): Promise<string[]> {
  const lines: string[] = [];
  for await (const { version, timestampMs, rows, typeOf } of lake.past.changes(from, to)) {
    assertEquals(timestampMs, NOW);
    lines.push(...shown(rows).map((text, row) => `${version} ${typeOf(row)} ${text}`));
  }
  return lines;
}

Deno.test("changes come from change data where a version has any, else from the files that came and went", async () => {
  await using folder = await temporaryFolder();
  await lakeWithPast(folderStore(folder.path));
  const lake = lakeOn(folderStore(folder.path));
  const [old, second, revised, third] = [
    "0:1 r0 The Daily 2024-01-02",
    "0:2 r0 The Daily 2024-01-02",
    "0:1 r1 revised 2024-01-02",
    "1:9 r0 The Daily 2024-01-02",
  ];
  assertEquals(await changesOf(lake, 1, 2), [
    `1 insert ${old}`,
    `1 insert ${second}`,
    `2 update_preimage ${old}`,
    `2 update_postimage ${revised}`,
    `2 insert ${third}`,
  ]);
  assertEquals((await changesOf(lake, 3)).sort(), [
    `3 delete ${revised}`,
    `3 delete ${second}`,
    `3 delete ${third}`,
    `3 insert ${old}`,
    `3 insert ${second}`,
  ]);
});

Deno.test("changes of versions that there are not, or not any more, are refused", async () => {
  await using folder = await temporaryFolder();
  const store = folderStore(folder.path);
  const lake = await lakeWithPast(store);
  await assertRejects(() => changesOf(lake, 2, 9), UserError, "the newest is 3: found 2 to 9");
  const [cdc] = (await actionsOf(store, 2)).flatMap(({ cdc }) => (cdc === undefined ? [] : [cdc]));
  await store.delete(`sessions/${cdc!.path}`);
  await assertRejects(() => changesOf(lake, 1), SinkError, "if VACUUM removed it");
  await store.delete("sessions/_delta_log/00000000000000000000.json");
  await store.delete("sessions/_delta_log/00000000000000000001.json");
  await assertRejects(() => changesOf(lake, 1), UserError, "that begins with version 2: choose a later one");
});

Deno.test("the table at a version has that version's files, and says what made it", async () => {
  await using folder = await temporaryFolder();
  await lakeWithPast(folderStore(folder.path));
  const { past } = lakeOn(folderStore(folder.path));
  assertEquals((await past.filesAt(1)).map(({ kind, rows }) => [kind, rows]), [["add", 2]]);
  assertEquals(await past.filesAt(3), await past.filesAt(1));
  const { summary, commit, columns, properties } = await past.describe(2);
  assertEquals([summary.version, summary.rows, commit!.version, commit!.operation], [
    2,
    3,
    2,
    "STREAMING UPDATE",
  ]);
  assertEquals(columns[0], { name: "session_id", type: "string", nullable: false });
  assertEquals(properties["delta.enableChangeDataFeed"], "true");
  assertEquals((await past.describe()).commit!.operation, "RESTORE");
});

Deno.test("dead letters as of a version are those that were committed until then", async () => {
  await using folder = await temporaryFolder();
  const lake = lakeOn(folderStore(folder.path));
  await lake.open();
  for (const n of [1, 2]) {
    const letters = await lake.stageDeadLetters(n, deadLetterRows(n, [n]));
    await lake.commit(epochCommit(n, nthCommit(n).advances, [], letters));
  }
  const rows = await Promise.all([0, 1, 2].map((version) => lake.readDeadLetters(10, version)));
  assertEquals(rows.map(({ rows }) => rows), [0, 1, 2]);
});
