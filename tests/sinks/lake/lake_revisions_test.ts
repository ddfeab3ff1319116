/** Revisions in the Delta table: copy-on-write, change data, and what other writers do meanwhile. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { tableFromArrays } from "apache-arrow";
import fc from "fast-check";
import { SinkError } from "../../../schema/errors.ts";
import type { AddFile, MetaData } from "../../../sinks/lake/delta_actions.ts";
import type { DeltaLake } from "../../../sinks/lake/lake.ts";
import { decodeParquet, encodeParquet } from "../../../sinks/lake/parquet.ts";
import type { ObjectStore } from "../../../sinks/sink.ts";
import {
  FaultyStore,
  folderStore,
  lakeOn,
  NOW,
  nthCommit,
  revisionRows,
  sessionRows,
  temporaryFolder,
  type TestSession,
} from "./lake_fixture.ts";
import { actionsOf, commitAs, payloadOf, shown, signedRows } from "./revisions_fixture.ts";

const DAY_MS = 86_400_000;
const MIDNIGHT = Date.UTC(2024, 0, 2);

/** A lake with three sessions of version 1, on two dates. */
async function lakeWithSessions(store: ObjectStore): Promise<DeltaLake> {
  const lake = lakeOn(store);
  await lake.open();
  const rows = sessionRows([
    { partition: 0, firstOffset: 1 },
    { partition: 0, firstOffset: 2, start: MIDNIGHT - DAY_MS },
    { partition: 3, firstOffset: 1 },
  ]);
  await lake.commit(nthCommit(1, await lake.stage(1, rows)));
  return lake;
}

const revised = (session: Partial<TestSession> = {}, revision = 1, replaces = 1) => ({
  ...{ partition: 0, firstOffset: 1, brand: "revised", revision, replaces },
  ...session,
});

Deno.test("a revised row stands in the old one's place, at its version; the versions before keep the old one", async () => {
  await using folder = await temporaryFolder();
  const store = folderStore(folder.path);
  const lake = await lakeWithSessions(store);
  const files = await lake.stage(2, sessionRows([{ partition: 1, firstOffset: 9 }], 2));
  assertEquals(await lake.commit(nthCommit(2, files, revisionRows([revised()], 2))), {
    status: "committed",
    version: 2,
    conflicts: 0,
  });
  const before = [
    "0:1 r0 The Daily 2024-01-02",
    "0:2 r0 The Daily 2024-01-01",
    "3:1 r0 The Daily 2024-01-02",
  ];
  const after = ["0:1 r1 revised 2024-01-02", before[1], "1:9 r0 The Daily 2024-01-02", before[2]];
  assertEquals(shown(await lake.readSessions(1)), before);
  assertEquals(shown(await lake.readSessions()), after);
  assertEquals(shown(await lakeOn(store).readSessions()), after);
});

Deno.test("a version with a revision says so: one file less and one more, all changes as change data, honest metrics", async () => {
  await using folder = await temporaryFolder();
  const store = folderStore(folder.path);
  const lake = await lakeWithSessions(store);
  const files = await lake.stage(2, sessionRows([{ partition: 1, firstOffset: 9 }], 2));
  await lake.commit(nthCommit(2, files, revisionRows([revised()], 2)));
  const actions = await actionsOf(store, 2);
  const of = (kind: string): Record<string, unknown>[] =>
    actions.flatMap((action) => kind in action ? [action[kind]!] : []);
  const [info] = of("commitInfo");
  assertEquals([info!.isBlindAppend, (info!.operationParameters as Record<string, unknown>).outputMode], [
    false,
    "Update",
  ]);
  const { numOutputBytes: _, ...metrics } = info!.operationMetrics as Record<string, string>;
  assertEquals(metrics, {
    ...{ numAddedFiles: "2", numRemovedFiles: "1", numOutputRows: "3" },
    ...{ numUpdatedRows: "1", numCopiedRows: "1", numAddedChangeFiles: "1" },
  });
  const first = (await actionsOf(store, 1)).flatMap(({ add }) => add ?? []) as unknown as AddFile[];
  const source = first.find(({ path }) => path.includes("2024-01-02"))!;
  assertEquals(of("remove"), [{
    path: source.path,
    deletionTimestamp: NOW,
    dataChange: true,
    extendedFileMetadata: true,
    partitionValues: { session_date: "2024-01-02" },
    size: source.size,
  }]);
  assertEquals(of("add").map(({ dataChange }) => dataChange), [true, true]);
  const [cdc] = of("cdc");
  assertMatch(cdc!.path as string, /^_change_data\/session_date=2024-01-02\/batch_2-[0-9a-f-]{36}\.parquet$/);
  assertEquals([cdc!.partitionValues, cdc!.dataChange], [{ session_date: "2024-01-02" }, false]);
  const payload = (await payloadOf(lake, 2))!;
  assertEquals(signedRows(payload), [
    "- 0:1 r0 The Daily 2024-01-02",
    "+ 0:1 r1 revised 2024-01-02",
    "+ 1:9 r0 The Daily 2024-01-02",
  ]);
  assertEquals([payload.rows, payload.joined], [3, [0]]);
  assertEquals(await payloadOf(lake, 2), payload);
});

Deno.test("a late event before midnight moves a session to another date, and its last companion's file goes", async () => {
  await using folder = await temporaryFolder();
  const store = folderStore(folder.path);
  const lake = lakeOn(store);
  await lake.open();
  const start = MIDNIGHT + 10_000;
  await lake.commit(
    nthCommit(1, await lake.stage(1, sessionRows([{ partition: 0, firstOffset: 1, start }]))),
  );
  const moved = revised({ start: MIDNIGHT - 10_000 });
  await lake.commit(nthCommit(2, [], revisionRows([moved], 2)));
  assertEquals(shown(await lake.readSessions()), ["0:1 r1 revised 2024-01-01"]);
  assertEquals(await lake.sessionDates(), ["2024-01-01"]);
  const { version, files } = (await lake.changes([2]))[0]!;
  assertEquals([version, files.map(({ kind, path }) => [kind, path.split("/")[1]])], [2, [
    ["cdc", "session_date=2024-01-02"],
    ["cdc", "session_date=2024-01-01"],
  ]]);
  assertEquals(signedRows((await lake.encodeVersion(files))!), [
    "- 0:1 r0 The Daily 2024-01-02",
    "+ 0:1 r1 revised 2024-01-01",
  ]);
});

Deno.test("only the files of the rows' epochs are read; where those are not known or wrong the rows are found still", async () => {
  await using folder = await temporaryFolder();
  const store = new FaultyStore(folderStore(folder.path));
  const lake = lakeOn(store);
  await lake.open();
  for (let n = 1; n <= 8; n++) {
    const sessions = [0, 100].map((offset) => ({ partition: 0, firstOffset: n + offset }));
    await lake.commit(nthCommit(n, await lake.stage(n, sessionRows(sessions, n))));
  }
  const reads: string[] = [];
  store.before = (call, key) => {
    if (call === "get" && key.endsWith(".parquet")) reads.push(key);
  };
  await lake.commit(nthCommit(9, [], revisionRows([revised({ firstOffset: 4 }, 1, 4)], 9)));
  assertEquals(reads.length, 1);
  await lake.commit(nthCommit(10, [], revisionRows([revised({ firstOffset: 5 }, 1, 0)], 10)));
  await lake.commit(nthCommit(11, [], revisionRows([revised({ firstOffset: 6 }, 1, 7)], 11)));
  await lake.commit(nthCommit(12, [], revisionRows([revised({ firstOffset: 4 }, 2, 9)], 12)));
  const rows = shown(await lakeOn(store).readSessions());
  assertEquals(rows.slice(3, 6), [
    "0:4 r2 revised 2024-01-02",
    "0:5 r1 revised 2024-01-02",
    "0:6 r1 revised 2024-01-02",
  ]);
  assertEquals(rows.length, 16);
});

Deno.test("a revision of a session that a person deleted goes in as a whole row", async () => {
  await using folder = await temporaryFolder();
  const store = folderStore(folder.path);
  const lake = await lakeWithSessions(store);
  const adds = (await actionsOf(store, 1)).flatMap(({ add }) => add ?? []) as unknown as AddFile[];
  await commitAs(
    store,
    2,
    adds.map(({ path, partitionValues, size }) => ({
      remove: { path, partitionValues, size, dataChange: true, deletionTimestamp: NOW },
    })),
  );
  await lake.commit(nthCommit(2, [], revisionRows([revised()], 2)));
  assertEquals(shown(await lake.readSessions()), ["0:1 r1 revised 2024-01-02"]);
  assertEquals(signedRows((await payloadOf(lake, 2))!).map((text) => text.slice(0, 5)), [
    "- 0:1",
    "- 0:2",
    "- 3:1",
  ]);
  assertEquals(signedRows((await payloadOf(lake, 3))!), ["+ 0:1 r1 revised 2024-01-02"]);
});

/** A store where `meanwhile` runs once, before the first try to write version `version`. */
function racing(store: ObjectStore, version: number, meanwhile: () => Promise<void>): ObjectStore {
  let raced = false;
  return {
    location: store.location,
    put: (key, bytes) => store.put(key, bytes),
    get: (key) => store.get(key),
    list: (prefix, startAfter) => store.list(prefix, startAfter),
    delete: (key) => store.delete(key),
    async putIfAbsent(key, bytes) {
      if (!raced && key.endsWith(`${String(version).padStart(20, "0")}.json`)) {
        raced = true;
        await meanwhile();
      }
      return await store.putIfAbsent(key, bytes);
    },
  };
}

for (const replaced of [true, false]) {
  Deno.test(
    `another writer that was first ${replaced ? "and replaced the file" : "with other files"} costs ${
      replaced ? "another rewrite" : "no rewrite"
    }, and no row`,
    async () => {
      await using folder = await temporaryFolder();
      const plain = folderStore(folder.path);
      const first = await lakeWithSessions(plain);
      const adds = (await actionsOf(plain, 1)).flatMap(({ add }) => add ?? []) as unknown as AddFile[];
      const source = adds.find(({ path }) => path.includes("2024-01-02"))!;
      const store = racing(plain, 2, async () => {
        if (!replaced) {
          await first.commit({
            ...nthCommit(2),
            advances: [{ partition: 7, from: 0, to: 1, barrierNumber: 1 }],
          });
          return;
        }
        // What OPTIMIZE does: the same rows in another file.
        const path = "session_date=2024-01-02/part-0.parquet";
        await plain.put(`sessions/${path}`, (await plain.get(`sessions/${source.path}`))!);
        const { partitionValues, size } = source;
        await commitAs(plain, 2, [
          { remove: { path: source.path, partitionValues, size, dataChange: false, deletionTimestamp: NOW } },
          { add: { ...source, path, dataChange: false } },
        ]);
      });
      const lake = lakeOn(store);
      await lake.open();
      const outcome = await lake.commit(nthCommit(2, [], revisionRows([revised()], 2)));
      assertEquals(outcome, { status: "committed", version: 3, conflicts: 1 });
      const expected = [
        "0:1 r1 revised 2024-01-02",
        "0:2 r0 The Daily 2024-01-01",
        "3:1 r0 The Daily 2024-01-02",
      ];
      assertEquals(shown(await lakeOn(plain).readSessions()), expected);
      const uploads = (await plain.list("sessions/session_date=")).filter(({ key }) =>
        key.includes("batch_2-")
      );
      assertEquals(uploads.length, replaced ? 2 : 1);
    },
  );
}

Deno.test("a commit with revisions whose answers are lost is found in the log, and what it wrote there is what counts", async () => {
  await using folder = await temporaryFolder();
  const store = new FaultyStore(folderStore(folder.path));
  const lake = await lakeWithSessions(store);
  const isCommit = (key: string) => key.endsWith("2.json");
  store.after = (call, key) => {
    if (call !== "putIfAbsent" || !isCommit(key)) return;
    store.before = (call, key) => {
      if (call === "get" && isCommit(key)) throw new SinkError("Unreachable.", true);
    };
    throw new SinkError("The connection was closed.", true);
  };
  const commit = nthCommit(2, [], revisionRows([revised()], 2));
  await assertRejects(() => lake.commit(commit), SinkError, "Cannot tell whether version 2");
  store.before = store.after = () => {};
  assertEquals(await lake.commit(commit), { status: "committed", version: 2, conflicts: 0 });
  const expected = shown(await lakeOn(store).readSessions());
  assertEquals(shown(await lake.readSessions()), expected);
  assertEquals(expected[0], "0:1 r1 revised 2024-01-02");
  await lake.commit(nthCommit(3, [], revisionRows([revised({}, 2, 2)], 3)));
  assertEquals(shown(await lakeOn(store).readSessions())[0], "0:1 r2 revised 2024-01-02");
});

Deno.test("columns that others added to the table are kept, also those of the revised row; what else a file has is not", async () => {
  await using folder = await temporaryFolder();
  const store = folderStore(folder.path);
  const lake = lakeOn(store);
  const rows = sessionRows([1, 2, 3].map((firstOffset) => ({ partition: 0, firstOffset })));
  await lake.open();
  const { metaData } = (await actionsOf(store, 0))[2] as unknown as { metaData: MetaData };
  const schema = JSON.parse(metaData.schemaString);
  for (const [name, type] of [["score", "double"], ["note", "string"]]) {
    schema.fields.push({ name, type, nullable: true, metadata: {} });
  }
  await commitAs(store, 1, [{ metaData: { ...metaData, schemaString: JSON.stringify(schema) } }]);
  const [file] = await lake.stage(1, rows);
  const others = tableFromArrays({ score: Float64Array.of(0.5, 1.5, 2.5) })
    .assign(tableFromArrays({ note: ["a", null, "c"] }))
    .assign(tableFromArrays({ _change_type: [null, null, null].map(String) }));
  const table = decodeParquet(await lake.readFile(file!.path), "test");
  await store.put(`sessions/${file!.path}`, encodeParquet(table.assign(others)));
  await lake.commit(nthCommit(1, [file!]));
  const moved = revised({ firstOffset: 3, start: MIDNIGHT - 10_000 });
  await lake.commit(nthCommit(2, [], revisionRows([revised({ firstOffset: 2 }), moved], 2)));
  const found: Record<string, unknown[]> = {};
  for (const { key } of await store.list("sessions/")) {
    if (!key.includes("batch_2-")) continue;
    const written = decodeParquet((await store.get(key))!, key);
    const columns = ["first_offset", "score", "note", "_change_type"].map((name) => written.getChild(name));
    found[key.split("/").slice(1, -1).join("/")] = columns.flatMap((column) =>
      column === null ? [] : [[...column]]
    );
  }
  const [pre, post] = ["update_preimage", "update_postimage"];
  assertEquals(found, {
    "session_date=2024-01-02": [[1n, 2n], [0.5, 1.5], ["a", null]],
    "session_date=2024-01-01": [[3n], [2.5], ["c"]],
    "_change_data/session_date=2024-01-02": [[2n, 2n, 3n], [1.5, 1.5, 2.5], [null, null, "c"], [
      pre,
      post,
      pre,
    ]],
    "_change_data/session_date=2024-01-01": [[3n], [2.5], ["c"], [post]],
  });
});

Deno.test("property: after any inserts and revisions every version is the model's, in the table and by its changes", async () => {
  const anySession = fc.record({
    partition: fc.constantFrom(0, 0, 1),
    firstOffset: fc.nat({ max: 9 }),
    start: fc.constantFrom(MIDNIGHT + 60_000, MIDNIGHT - 1, MIDNIGHT + 7_200_000),
    earlier: fc.constantFrom(0, 0, 120_000),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(anySession, { maxLength: 5 }), { maxLength: 14 }), async (epochs) => {
      await using folder = await temporaryFolder();
      const store = folderStore(folder.path);
      const lake = lakeOn(store);
      await lake.open();
      const model = new Map<string, { session: TestSession; revision: number; epoch: number }>();
      const inserted = new Map<string, number>();
      for (const [i, sessions] of epochs.entries()) {
        const epoch = i + 1;
        const [fresh, revisions] = [
          new Map<string, TestSession>(),
          new Map<string, ReturnType<typeof revised>>(),
        ];
        for (const { partition, firstOffset, start, earlier } of sessions) {
          const key = `${partition}:${firstOffset}`;
          const known = model.get(key);
          if (known === undefined) fresh.set(key, { partition, firstOffset, start });
          else {
            const session = { ...known.session, start: known.session.start! - earlier, brand: `b${epoch}` };
            revisions.set(key, { ...revised(session, known.revision + 1, known.epoch), brand: `b${epoch}` });
          }
        }
        const files = await lake.stage(epoch, sessionRows([...fresh.values()], epoch));
        await lake.commit(nthCommit(epoch, files, revisionRows([...revisions.values()], epoch)));
        for (const [key, session] of fresh) model.set(key, { session, revision: 0, epoch });
        for (const [key, { revision, replaces: _, ...session }] of revisions) {
          model.set(key, { session, revision, epoch });
        }
        const expected = [...model.values()].map(({ session, revision }) =>
          shown(sessionRows([session]))[0]!.replace(" r0 ", ` r${revision} `)
        ).sort();
        assertEquals(shown(await lake.readSessions(epoch)).sort(), expected);
        const payload = await payloadOf(lake, epoch);
        for (const text of payload === null ? [] : signedRows(payload)) {
          inserted.set(text.slice(2), (inserted.get(text.slice(2)) ?? 0) + (text[0] === "+" ? 1 : -1));
        }
        const sums = [...inserted].filter(([, count]) => count !== 0);
        assertEquals(sums.map(([text]) => text).sort(), expected);
        assert(sums.every(([, count]) => count === 1));
      }
      assertEquals(await lakeOn(store).readSessions(), await lake.readSessions());
    }),
    { numRuns: 25 },
  );
});
