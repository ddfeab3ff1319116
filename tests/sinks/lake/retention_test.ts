/** Dates that leave by their age: the table, its ledger, what ClickHouse is told, and the archive that has them first. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { SinkError } from "../../../schema/errors.ts";
import { Archive } from "../../../sinks/lake/archive.ts";
import { openDeltaLake } from "../../../sinks/lake/lake.ts";
import { Retention, type Retirement } from "../../../sinks/lake/retention.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import { FaultyStore, NOW, nthCommit, revisionRows, sessionRows, type TestSession } from "./lake_fixture.ts";
import { actionsOf, shown, signedRows } from "./revisions_fixture.ts";
import { ALL_FOLLOWED, DAY_MS, EVERYTHING, UpkeepWorld } from "./upkeep_fixture.ts";

/** The test's newest date is 2024-01-02; this horizon lets those before it go. */
const OLD = { horizon: "2024-01-02", writtenBeforeMs: Infinity };

const onDay = (firstOffset: number, daysAgo: number, partition = 0): TestSession => ({
  partition,
  firstOffset,
  start: NOW - daysAgo * DAY_MS,
});

class RetentionWorld extends UpkeepWorld {
  readonly cold = new FaultyStore(new MemoryStore(() => this.now));
  readonly archived = openDeltaLake({
    store: this.cold,
    pipeline: "web",
    topic: "web_clicks",
    now: () => this.now,
    uuid: () => crypto.randomUUID(),
  });

  retention(withArchive = true): Retention {
    const now = () => this.now;
    const uuid = () => crypto.randomUUID();
    const archive = withArchive
      ? new Archive({ store: this.cold, prepare: () => Promise.resolve(), now, uuid, engineInfo: "test" })
      : null;
    return new Retention({
      store: this.store,
      pipeline: "web",
      topic: "web_clicks",
      archive,
      now,
      uuid,
    });
  }

  retire(options = OLD, followed = ALL_FOLLOWED): Promise<Retirement> {
    return this.retention().retire(options, followed);
  }
}

/** Two dates that go, one that stays. */
async function worldOfThreeDays(): Promise<RetentionWorld> {
  const w = new RetentionWorld();
  await w.lake.open();
  await w.commit([onDay(1, 2), onDay(2, 1)]);
  await w.commit([onDay(3, 1), onDay(4, 0), { ...onDay(5, 2, 3), events: 7 }]);
  return w;
}

Deno.test("dates older than the horizon leave in one commit that rewrites nothing, and the ledger counts their events as retired", async () => {
  const w = await worldOfThreeDays();
  const before = await w.lake.state();
  const planned = await w.retention().plan(OLD);
  const { version, ...did } = await w.retire();
  assertEquals({ version: null, ...did }, planned);
  assertEquals([version, did.dates, did.rows, did.waiting], [3, ["2023-12-31", "2024-01-01"], 4, []]);
  assertEquals(await w.rows(), ["0:4 r0 The Daily 2024-01-02"]);
  assertEquals(await w.lake.retiredEvents(), new Map([[0, 6], [3, 7]]));
  assertEquals(await w.lake.horizon(), "2024-01-02");
  assertEquals(await w.lake.state(), { ...before, version: 3 });
  const actions = await actionsOf(w.store, 3);
  const { operation, sessionaryRetired } = actions[0]!.commitInfo as Record<string, unknown>;
  assertEquals(operation, "DELETE");
  assertEquals((sessionaryRetired as { partitions: unknown[] }).partitions, [
    { partition: 0, rows: 3, events: 6 },
    { partition: 3, rows: 1, events: 7 },
  ]);
  assertEquals(actions.filter(({ add, cdc }) => add !== undefined || cdc !== undefined), []);
  assert(actions.every(({ remove }) => remove === undefined || remove.dataChange === true));
  assertEquals((await w.retire()).version, null, "a second time there is nothing to do");
});

Deno.test("the warehouse is told the dates and no rows, while the table's changes show the rows", async () => {
  const w = await worldOfThreeDays();
  await w.retire();
  assertEquals(await w.lake.changes([3]), [{ version: 3, files: [], retired: ["2023-12-31", "2024-01-01"] }]);
  let rows = 0;
  for await (const changed of w.lake.past.changes(3)) {
    for (let row = 0; row < changed.rows.rows; row++) assertEquals(changed.typeOf(row), "delete");
    rows += changed.rows.rows;
  }
  assertEquals(rows, 4);
});

Deno.test("a date with a file that may still be revised waits as a whole", async () => {
  const w = await worldOfThreeDays();
  w.now += DAY_MS;
  await w.commit([onDay(9, 2)]);
  const { dates, waiting } = await w.retire({ ...OLD, writtenBeforeMs: w.now });
  assertEquals([dates, waiting], [["2024-01-01"], ["2023-12-31"]]);
});

Deno.test("nothing leaves while ClickHouse lacks a version that changed such a date, and others may be lacking", async () => {
  const w = await worldOfThreeDays();
  await w.commit([onDay(6, 0)]);
  const lacking = (version: number) => async () =>
    new Set([...await ALL_FOLLOWED()].filter((v) => v !== version));
  const held = await w.retire(OLD, lacking(2));
  assertEquals([held.version, held.unfollowed], [null, 2]);
  assertEquals((await w.lake.state()).version, 3);
  assertEquals((await w.retire(OLD, lacking(3))).version, 4);
});

Deno.test("a late revision of a session that left goes in as a whole row, and the ledger balances", async () => {
  const w = await worldOfThreeDays();
  await w.retire();
  const revision = { ...onDay(1, 2), events: 3, revision: 1, replaces: 1, replacesEvents: 2 };
  await w.lake.commit(nthCommit(3, [], revisionRows([revision], 3)));
  assertEquals((await w.rows()).sort(), ["0:1 r1 The Daily 2023-12-31", "0:4 r0 The Daily 2024-01-02"]);
  assertEquals(await w.lake.retiredEvents(), new Map([[0, 4], [3, 7]]));
  const payload = await w.lake.encodeVersion((await w.lake.changes([4]))[0]!.files);
  assertEquals(signedRows(payload!), ["+ 0:1 r1 The Daily 2023-12-31"]);
  // It leaves with the next look, and its events are retired again.
  assertEquals((await w.retire()).dates, ["2023-12-31"]);
  assertEquals(await w.lake.retiredEvents(), new Map([[0, 7], [3, 7]]));
  assertEquals(shown(await w.archived.readSessions()).length, 5);
});

Deno.test("the archive has the rows that left, with the table's schema, under its own id", async () => {
  const w = await worldOfThreeDays();
  const before = await w.rows();
  await w.retire();
  const kept = shown(await w.archived.readSessions());
  assertEquals([...kept, ...await w.rows()].sort(), before.sort());
  const [ours, theirs] = [await w.lake.past.describe(), await w.archived.past.describe()];
  assertEquals(theirs.columns, ours.columns);
  w.now += DAY_MS;
  await w.commit([onDay(8, 1)]);
  assertEquals((await w.retire({ ...OLD, horizon: "2024-01-03" })).dates, ["2024-01-01", "2024-01-02"]);
  assertEquals(shown(await w.archived.readSessions()).length, 6);
  assertEquals(await w.rows(), []);
});

Deno.test("what was archived and then not retired is archived as the table has it when it is retired", async () => {
  const w = await worldOfThreeDays();
  const before = (await w.rows()).filter((row) => !row.endsWith("2024-01-02")).sort();
  const commits = w.store.putIfAbsent.bind(w.store);
  w.store.putIfAbsent = () => Promise.reject(new SinkError("The store is away.", false));
  await assertRejects(() => w.retire(), SinkError, "The store is away.");
  w.store.putIfAbsent = commits;
  assertEquals(shown(await w.archived.readSessions()).sort(), before, "archived first");
  assertEquals((await w.rows()).length, 5, "and not retired");
  const { filesAdded } = await w.upkeep.optimize(EVERYTHING);
  assert(filesAdded > 0);
  await w.retire();
  assertEquals(
    shown(await w.archived.readSessions()).sort(),
    before,
    "each row once, though its file is another",
  );
  assertEquals(await w.rows(), ["0:4 r0 The Daily 2024-01-02"]);
});

Deno.test("what another writer brings to such a date meanwhile leaves with it and is archived", async () => {
  const w = await worldOfThreeDays();
  const other = w.otherLake();
  await other.open();
  let raced = false;
  const putIfAbsent = w.store.putIfAbsent.bind(w.store);
  w.store.putIfAbsent = async (key, bytes) => {
    if (!raced) {
      raced = true;
      await w.commit([onDay(7, 1)], other);
    }
    return await putIfAbsent(key, bytes);
  };
  assertEquals((await w.retire()).version, 4);
  assertEquals(await w.rows(), ["0:4 r0 The Daily 2024-01-02"]);
  assertEquals(shown(await w.archived.readSessions()).length, 5);
});

Deno.test("a restore leaves retired dates away, and says so", async () => {
  const w = await worldOfThreeDays();
  await w.commit([onDay(6, 0)]);
  await w.retention(false).retire(OLD, ALL_FOLLOWED);
  await w.lake.open();
  const { filesBack, rowsGone, horizon } = await w.lake.restore(2);
  assertEquals([filesBack, rowsGone, horizon], [0, 1, "2024-01-02"]);
  assertEquals(await w.rows(), ["0:4 r0 The Daily 2024-01-02"]);
  assertEquals(await w.lake.retiredEvents(), new Map([[0, 8], [3, 7]]));
});

Deno.test("property: whatever retires, dies half-way, is packed or revised, every row that left is in the archive once, and the ledger is accounted for", async () => {
  const place = fc.record({ firstOffset: fc.nat(5), daysAgo: fc.nat(3) });
  const horizon = fc.constantFrom("2023-12-31", "2024-01-01", "2024-01-02", "2024-01-03");
  const anyStep = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({ commit: fc.uniqueArray(place, { selector: (p) => p.firstOffset }) }),
    },
    { weight: 2, arbitrary: fc.record({ retire: horizon, dies: fc.boolean() }) },
    { weight: 1, arbitrary: fc.constant({ optimize: true }) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(anyStep, { minLength: 3, maxLength: 10 }), async (steps) => {
      const w = new RetentionWorld();
      await w.lake.open();
      const known = new Map<number, { session: TestSession; revision: number; epoch: number }>();
      let [table, left, epoch]: [string[], string[], number] = [[], [], 0];
      const text = (at: number) => {
        const { session: { start }, revision } = known.get(at)!;
        return `0:${at} r${revision} The Daily ${new Date(start!).toISOString().slice(0, 10)}`;
      };
      for (const step of [...steps, { retire: "2024-01-03", dies: false }]) {
        if ("commit" in step) {
          epoch++;
          const fresh = step.commit.filter(({ firstOffset }) => !known.has(firstOffset));
          const revised = step.commit.filter(({ firstOffset }) => known.has(firstOffset)).map(
            ({ firstOffset }) => {
              const { session, revision, epoch: replaces } = known.get(firstOffset)!;
              table = table.filter((row) => row !== text(firstOffset));
              const replacesEvents = session.events ?? 2;
              return {
                ...session,
                events: replacesEvents + 1,
                revision: revision + 1,
                replaces,
                replacesEvents,
              };
            },
          );
          const sessions = fresh.map(({ firstOffset, daysAgo }) => onDay(firstOffset, daysAgo));
          const files = await w.lake.stage(epoch, sessionRows(sessions, epoch));
          await w.lake.commit(nthCommit(epoch, files, revisionRows(revised, epoch)));
          for (const session of sessions) known.set(session.firstOffset, { session, revision: 0, epoch });
          for (const { revision, replaces: _, replacesEvents: __, ...session } of revised) {
            known.set(session.firstOffset, { session, revision, epoch });
          }
          table = [...table, ...step.commit.map(({ firstOffset }) => text(firstOffset))];
        } else if ("optimize" in step) {
          await w.upkeep.optimize(EVERYTHING);
        } else {
          const options = { horizon: step.retire, writtenBeforeMs: Infinity };
          if (step.dies) {
            const putIfAbsent = w.store.putIfAbsent.bind(w.store);
            w.store.putIfAbsent = () => Promise.reject(new SinkError("The store is away.", false));
            await w.retire(options).catch(() => {});
            w.store.putIfAbsent = putIfAbsent;
          } else {
            await w.retire(options);
            left = [...left, ...table.filter((row) => row.slice(-10) < step.retire)];
            table = table.filter((row) => row.slice(-10) >= step.retire);
          }
        }
        assertEquals((await w.rows()).sort(), table.toSorted());
        const events = (at: number) => known.get(at)!.session.events ?? 2;
        const inLedger = [...known.keys()].reduce((sum, at) => sum + events(at), 0);
        const inRows = table.reduce((sum, row) => sum + events(Number(row[2])), 0);
        assertEquals(inRows + ((await w.lake.retiredEvents()).get(0) ?? 0), inLedger);
      }
      if (left.length > 0) assertEquals(shown(await w.archived.readSessions()).sort(), left.sort());
    }),
    { numRuns: 30 },
  );
});
