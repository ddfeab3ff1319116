/** Restoring a version: what comes back and goes, what stays as it is, and what revisions make of it afterwards. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { cellAt } from "../../../schema/column_batch.ts";
import { UserError } from "../../../schema/errors.ts";
import { sessionColumnIndex } from "../../../schema/session.ts";
import type { AddFile } from "../../../sinks/lake/delta_actions.ts";
import type { DeltaLake } from "../../../sinks/lake/lake.ts";
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
const A = { partition: 0, firstOffset: 1 };
const B = { partition: 0, firstOffset: 2, start: NOW - DAY_MS };
const C = { partition: 3, firstOffset: 1, events: 5 };

/** Three versions: A and B; C; A with a third event. */
async function lakeOfThree(store: ObjectStore): Promise<DeltaLake> {
  const lake = lakeOn(store);
  await lake.open();
  await lake.commit(nthCommit(1, await lake.stage(1, sessionRows([A, B]))));
  await lake.commit(nthCommit(2, await lake.stage(2, sessionRows([C], 2))));
  const revision = { ...A, events: 3, brand: "revised", revision: 1, replaces: 1 };
  await lake.commit(nthCommit(3, [], revisionRows([revision], 3)));
  return lake;
}

async function eventsIn(lake: DeltaLake): Promise<Map<number, number>> {
  const { rows, columns } = await lake.readSessions();
  const [partitions, events] = ["source_partition", "total_events"].map((name) =>
    columns[sessionColumnIndex(name)]!
  );
  const sums = new Map<number, number>();
  for (let row = 0; row < rows; row++) {
    const partition = cellAt(partitions!, row) as number;
    sums.set(partition, (sums.get(partition) ?? 0) + (cellAt(events!, row) as number));
  }
  return sums;
}

Deno.test("a restored version's rows are the table's, in a commit that moves no position, and the pipeline goes on", async () => {
  await using folder = await temporaryFolder();
  const store = folderStore(folder.path);
  const lake = await lakeOfThree(store);
  const before = await lake.state();
  const restored = await lake.restore(1);
  assertEquals(restored, {
    from: 1,
    version: 4,
    filesBack: 1,
    rowsBack: 1,
    filesGone: 2,
    rowsGone: 2,
    horizon: null,
  });
  assertEquals(await lake.readSessions(), await lake.readSessions(1));
  const reader = lakeOn(store);
  assertEquals(await reader.open(), { ...before, version: 4 });
  const actions = await actionsOf(store, 4);
  assertEquals(actions[0]!.commitInfo!.operation, "RESTORE");
  assertEquals(actions.flatMap(({ txn }) => txn?.appId ?? []).sort(), [
    "web/web_clicks/0/retired",
    "web/web_clicks/3/retired",
  ]);
  assert(actions.every(({ add, remove }) => (add ?? remove ?? { dataChange: true }).dataChange === true));
  assertEquals(await lake.retiredEvents(), new Map([[0, 1], [3, 5]]));
  // The next epoch finds the place that it starts from.
  assertEquals((await lake.commit(nthCommit(4))).status, "committed");
  assertEquals(await lake.restore(1), {
    ...{ from: 1, version: null, filesBack: 0, rowsBack: 0, filesGone: 0, rowsGone: 0, horizon: null },
  });
});

Deno.test("a restore can be taken back, and then nothing is retired", async () => {
  await using folder = await temporaryFolder();
  const lake = await lakeOfThree(folderStore(folder.path));
  await lake.restore(1);
  await lake.restore(3);
  assertEquals(await lake.readSessions(), await lake.readSessions(3));
  assertEquals([...(await lake.retiredEvents()).values()], [0, 0]);
});

Deno.test("ClickHouse is told of each row that came and went, and the sums are the restored rows", async () => {
  await using folder = await temporaryFolder();
  const lake = await lakeOfThree(folderStore(folder.path));
  await lake.restore(1);
  const payload = await payloadOf(lake, 4);
  assertEquals(signedRows(payload!).sort(), [
    "+ 0:1 r0 The Daily 2024-01-02",
    "- 0:1 r1 revised 2024-01-02",
    "- 3:1 r0 The Daily 2024-01-02",
  ]);
  assertEquals(payload!.joined, [0]);
});

Deno.test("a restore past another program's OPTIMIZE leaves every row once", async () => {
  await using folder = await temporaryFolder();
  const store = folderStore(folder.path);
  const lake = await lakeOfThree(store);
  const adds = (await Promise.all([2, 3].map((version) => actionsOf(store, version)))).flat()
    .flatMap(({ add }) => (add === undefined ? [] : [add as unknown as AddFile]));
  const [packed] = await lake.stage(9, sessionRows([C], 2));
  const { stats, path, size } = packed!;
  await commitAs(store, 4, [
    ...adds.filter(({ stats }) => stats === packed!.stats).map(({ path, partitionValues, size }) => ({
      remove: {
        path,
        partitionValues,
        size,
        deletionTimestamp: NOW,
        dataChange: false,
        extendedFileMetadata: true,
      },
    })),
    {
      add: {
        path,
        size,
        stats,
        modificationTime: NOW,
        dataChange: false,
        partitionValues: { session_date: "2024-01-02" },
      },
    },
  ]);
  assertEquals(shown(await lake.readSessions()), shown(await lake.readSessions(3)));
  await lake.restore(2);
  assertEquals(await lake.readSessions(), await lake.readSessions(2));
  const sums = new Map<string, number>();
  for (const version of [1, 2, 3, 4, 5]) {
    const payload = await payloadOf(lake, version);
    for (const text of payload === null ? [] : signedRows(payload)) {
      sums.set(text.slice(2), (sums.get(text.slice(2)) ?? 0) + (text[0] === "+" ? 1 : -1));
    }
  }
  assertEquals(
    [...sums].filter(([, count]) => count !== 0),
    shown(await lake.readSessions(2)).sort().map((text) => [text, 1]),
  );
});

Deno.test("a version whose files were vacuumed is refused, and nothing is committed", async () => {
  await using folder = await temporaryFolder();
  const store = folderStore(folder.path);
  const lake = await lakeOfThree(store);
  const [gone] = (await actionsOf(store, 3)).flatMap(({ remove }) => (remove === undefined ? [] : [remove]));
  await store.delete(`sessions/${gone!.path}`);
  const error = await assertRejects(() => lake.restore(1), UserError) as UserError;
  assertStringIncludes(error.message, "Cannot restore version 1 of the Delta table: its file 'session_date=");
  assertStringIncludes(error.message, "choose a later version");
  assertEquals((await lake.state()).version, 3);
  await assertRejects(() => lake.restore(9), UserError, "its newest is 3");
});

Deno.test("what another writer commits meanwhile goes too: the restore is planned again on top of it", async () => {
  await using folder = await temporaryFolder();
  const inner = folderStore(folder.path);
  await lakeOfThree(inner);
  const other = lakeOn(inner);
  await other.open();
  const files = await other.stage(4, sessionRows([{ partition: 7, firstOffset: 1 }], 4));
  const store = new FaultyStore(inner);
  const lake = lakeOn(store);
  await lake.open();
  let raced: Promise<unknown> | null = null;
  // The other writer's commit is on its way when this one looks at the version: it is there when this one writes.
  const putIfAbsent = store.putIfAbsent.bind(store);
  store.putIfAbsent = async (key, bytes) => {
    await (raced ??= other.commit(nthCommit(4, files)));
    return await putIfAbsent(key, bytes);
  };
  assertEquals((await lake.restore(1)).version, 5);
  assertEquals(await lake.readSessions(), await lake.readSessions(1));
  assertEquals(await lake.retiredEvents(), new Map([[0, 1], [3, 5], [7, 2]]));
});

Deno.test("property: after inserts, revisions and restores the rows are the model's, the changes sum up to them, and the ledger is accounted for", async () => {
  const anyStep = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.array(fc.record({ partition: fc.nat(1), firstOffset: fc.nat(4) }), { maxLength: 4 }),
    },
    { weight: 1, arbitrary: fc.record({ restore: fc.double({ min: 0, max: 0.999, noNaN: true }) }) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(anyStep, { minLength: 2, maxLength: 12 }), async (steps) => {
      await using folder = await temporaryFolder();
      const lake = lakeOn(folderStore(folder.path));
      await lake.open();
      /** What the pipeline has committed of each session, whatever became of the rows. */
      const known = new Map<string, { session: TestSession; revision: number; epoch: number }>();
      const tables: string[][] = [[]];
      const sums = new Map<string, number>();
      let epoch = 0;
      for (const step of steps) {
        let expected = tables.at(-1)!;
        if ("restore" in step) {
          const version = Math.floor(step.restore * tables.length);
          const { version: made } = await lake.restore(version);
          expected = tables[version]!;
          if (made === null) continue;
        } else {
          epoch++;
          const fresh = new Map<string, TestSession>();
          const revisions = new Map<string, Parameters<typeof revisionRows>[0][number]>();
          for (const place of step) {
            const key = `${place.partition}:${place.firstOffset}`;
            const before = known.get(key);
            if (before === undefined) fresh.set(key, place);
            else {
              const replacesEvents = before.session.events ?? 2;
              const session = { ...before.session, events: replacesEvents + 1 };
              revisions.set(key, {
                ...session,
                revision: before.revision + 1,
                replaces: before.epoch,
                replacesEvents,
              });
            }
          }
          const files = await lake.stage(epoch, sessionRows([...fresh.values()], epoch));
          await lake.commit(nthCommit(epoch, files, revisionRows([...revisions.values()], epoch)));
          for (const [key, session] of fresh) known.set(key, { session, revision: 0, epoch });
          for (const [key, { revision, replaces: _, replacesEvents: __, ...session }] of revisions) {
            known.set(key, { session, revision, epoch });
          }
          const touched = [...fresh.keys(), ...revisions.keys()];
          expected = [
            ...expected.filter((text) => !touched.includes(text.split(" ")[0]!)),
            ...touched.map((key) => `${key} r${known.get(key)!.revision} The Daily 2024-01-02`),
          ];
        }
        tables.push(expected);
        assertEquals(shown(await lake.readSessions()).sort(), [...expected].sort());
        const payload = await payloadOf(lake, tables.length - 1);
        for (const text of payload === null ? [] : signedRows(payload)) {
          sums.set(text.slice(2), (sums.get(text.slice(2)) ?? 0) + (text[0] === "+" ? 1 : -1));
        }
        assertEquals(
          [...sums].filter(([, count]) => count !== 0).sort(),
          [...expected].sort().map((text) => [text, 1]),
        );
        const inLedger = new Map<number, number>();
        for (const { session: { partition, events = 2 } } of known.values()) {
          inLedger.set(partition, (inLedger.get(partition) ?? 0) + events);
        }
        const [inRows, retired] = [await eventsIn(lake), await lake.retiredEvents()];
        for (const [partition, events] of inLedger) {
          assertEquals((inRows.get(partition) ?? 0) + (retired.get(partition) ?? 0), events);
        }
      }
    }),
    { numRuns: 25 },
  );
});
