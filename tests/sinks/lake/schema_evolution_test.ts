/** A later version of the program brings columns to a table, beside an instance of this one. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { cellAt, type ColumnBatch } from "../../../schema/column_batch.ts";
import { SinkError } from "../../../schema/errors.ts";
import { SESSION_COLUMNS } from "../../../schema/session.ts";
import type { MetaData } from "../../../sinks/lake/delta_actions.ts";
import type { DeltaField, DeltaSchema } from "../../../sinks/lake/delta_schema.ts";
import type { ObjectStore } from "../../../sinks/sink.ts";
import { LATER_NAMES, laterVersion, type Program } from "../../support/program_copy.ts";
import {
  FaultyStore,
  folderStore,
  lakeOn,
  nthCommit,
  revisionRows,
  sessionRows,
  temporaryFolder,
} from "./lake_fixture.ts";
import { actionsOf, commitAs, payloadOf, shown } from "./revisions_fixture.ts";

type Fixture = typeof import("./lake_fixture.ts");
type RevisionsFixture = typeof import("./revisions_fixture.ts");

/** The later version's lake and what makes rows of its. */
interface Later extends Fixture, RevisionsFixture, AsyncDisposable {}

async function later(): Promise<Later> {
  const program: Program = await laterVersion();
  const fixture: Fixture = await import(`${program.root}tests/sinks/lake/lake_fixture.ts`);
  const revisions: RevisionsFixture = await import(`${program.root}tests/sinks/lake/revisions_fixture.ts`);
  return { ...fixture, ...revisions, [Symbol.asyncDispose]: () => program.remove() };
}

const A = { partition: 0, firstOffset: 1 };
const B = { partition: 0, firstOffset: 2 };
const C = { partition: 0, firstOffset: 3 };

/** `first_offset: first_page categorized_events pages_seen` of each row that the later version has read. */
function laterCells({ rows, columns }: ColumnBatch): string[] {
  const first = SESSION_COLUMNS.length;
  const offset = columns[SESSION_COLUMNS.findIndex(({ name }) => name === "first_offset")]!;
  return Array.from({ length: rows }, (_, row) => {
    const cells = LATER_NAMES.map((_, i) => JSON.stringify(cellAt(columns[first + i]!, row)));
    return `${cellAt(offset, row)}: ${cells.join(" ")}`;
  });
}

async function metaDataOf(store: ObjectStore, version: number): Promise<MetaData> {
  return (await actionsOf(store, version)).find(({ metaData }) => metaData !== undefined)!
    .metaData as unknown as MetaData;
}

const fieldsOf = ({ schemaString }: MetaData) => (JSON.parse(schemaString) as DeltaSchema).fields;

Deno.test("columns that are new in the program are added by one commit that changes nothing else; rows before are null", async () => {
  await using folder = await temporaryFolder();
  await using next = await later();
  const store = folderStore(folder.path);
  const lake = lakeOn(store);
  await lake.open();
  await lake.commit(nthCommit(1, await lake.stage(1, sessionRows([A, B]))));
  const before = await metaDataOf(store, 0);
  // Another program has been there: its column and its words stay.
  const others = { name: "mood", type: "string", nullable: true, metadata: { comment: "by hand" } };
  const spark: MetaData = {
    ...before,
    name: "sessions",
    schemaString: JSON.stringify({ type: "struct", fields: [...fieldsOf(before), others] }),
    configuration: { ...before.configuration, "delta.appendOnly": "false" },
  };
  await commitAs(store, 2, [{ metaData: spark }]);

  const newer = next.lakeOn(store);
  assertEquals((await newer.open()).version, 3);
  const { schemaString, ...rest } = await metaDataOf(store, 3);
  const { schemaString: _, ...restBefore } = spark;
  assertEquals(rest, restBefore);
  const fields: DeltaField[] = JSON.parse(schemaString).fields;
  assertEquals(fields.slice(0, -3), fieldsOf(spark));
  assertEquals(
    fields.slice(-3).map(({ name, nullable }) => [name, nullable]),
    LATER_NAMES.map((name) => [name, true]),
  );
  assertEquals((await actionsOf(store, 3)).length, 2);
  assertEquals((await newer.open()).version, 3, "a second start adds nothing");

  assertEquals(laterCells(await newer.readSessions()), ["1: null null []", "2: null null []"]);
  const files = await newer.stage(2, next.sessionRows([C], 2));
  const revision = { ...A, revision: 1, replaces: 1 };
  await newer.commit(next.nthCommit(2, files, next.revisionRows([revision], 2)));
  const known = '"/a" 2 ["/a","/b"]';
  assertEquals(laterCells(await newer.readSessions()), [`1: ${known}`, "2: null null []", `3: ${known}`]);
  const changes: string[] = [];
  for await (const { rows, typeOf } of newer.past.changes(4)) {
    changes.push(...laterCells(rows).map((text, row) => `${typeOf(row)} ${text}`));
  }
  assertEquals(changes, [
    "update_preimage 1: null null []",
    `update_postimage 1: ${known}`,
    `insert 3: ${known}`,
  ]);
  // Every version is readable by both.
  for (const version of [1, 2, 3, 4]) {
    assertEquals(shown(await lake.readSessions(version)), next.shown(await newer.readSessions(version)));
  }
});

Deno.test("an older instance goes on: its rows are null there, what it rewrites keeps them, and a restore takes both", async () => {
  await using folder = await temporaryFolder();
  await using next = await later();
  const store = new FaultyStore(folderStore(folder.path));
  const older = lakeOn(store);
  await older.open();
  const newer = next.lakeOn(folderStore(folder.path));
  // The columns come while a commit of the older one is on its way: it is checked again, and goes in after them.
  let raced: Promise<unknown> | null = null;
  const putIfAbsent = store.putIfAbsent.bind(store);
  store.putIfAbsent = async (key, bytes) => {
    await (raced ??= newer.open());
    return await putIfAbsent(key, bytes);
  };
  const outcome = await older.commit(nthCommit(1, await older.stage(1, sessionRows([A]))));
  assertEquals(outcome, { status: "committed", version: 2, conflicts: 1 });
  await newer.commit(next.nthCommit(2, await newer.stage(2, next.sessionRows([B, C], 2))));
  const revision = { ...B, brand: "revised", revision: 1, replaces: 2 };
  await older.commit(
    nthCommit(
      3,
      await older.stage(3, sessionRows([{ ...A, firstOffset: 4 }], 3)),
      revisionRows([revision], 3),
    ),
  );
  const known = '"/a" 2 ["/a","/b"]';
  const expected = ["1: null null []", `2: ${known}`, `3: ${known}`, "4: null null []"];
  assertEquals(laterCells(await newer.readSessions()), expected);
  assertEquals(shown(await older.readSessions())[1], "0:2 r1 revised 2024-01-02");
  await older.restore(3);
  assertEquals(laterCells(await newer.readSessions()), expected.slice(0, 3));
});

Deno.test("an older instance gives ClickHouse its own versions, and stops at a newer one's, whose rows it would halve", async () => {
  await using folder = await temporaryFolder();
  await using next = await later();
  const store = folderStore(folder.path);
  const older = lakeOn(store);
  await older.open();
  const newer = next.lakeOn(store);
  await newer.open();
  await newer.commit(next.nthCommit(1, await newer.stage(1, next.sessionRows([A]))));
  await older.commit(nthCommit(2, await older.stage(2, sessionRows([B], 2))));
  assertEquals((await payloadOf(older, 3))!.rows, 1);
  const error = await assertRejects(() => payloadOf(older, 2), SinkError) as SinkError;
  assertStringIncludes(error.message, `the columns ${LATER_NAMES.join(", ")} to the Delta table`);
  assert(!error.retryable);
  assertEquals((await next.payloadOf(newer, 3))!.rows, 1);
  assertEquals((await next.payloadOf(newer, 2))!.rows, 1);
});

Deno.test("instances of the later version that start at once add the columns once", async () => {
  await using folder = await temporaryFolder();
  await using next = await later();
  const store = folderStore(folder.path);
  await lakeOn(store).open();
  const states = await Promise.all([1, 2, 3].map(() => next.lakeOn(folderStore(folder.path)).open()));
  assertEquals(states.map(({ version }) => version), [1, 1, 1]);
  assertEquals((await next.lakeOn(store).history(9)).map(({ operation }) => operation), [
    "ADD COLUMNS",
    "CREATE TABLE",
  ]);
});

Deno.test("every other difference is refused at start, in a sentence that says what to do, and the table stays as it is", async () => {
  await using folder = await temporaryFolder();
  const store = folderStore(folder.path);
  await lakeOn(store).open();
  const original = await metaDataOf(store, 0);
  const changed = (name: string, change: Partial<DeltaField>) =>
    fieldsOf(original).map((field) => (field.name === name ? { ...field, ...change } : field));
  const cases: readonly (readonly [Partial<MetaData> & { fields?: DeltaField[] }, string])[] = [
    [{ fields: changed("brand", { type: "long" }) }, "has the column 'brand' as long, not string"],
    [
      { fields: changed("brand", { name: "Brand" }) },
      "has the column 'Brand', which differs from 'brand' in case only",
    ],
    [{ fields: changed("brand", { nullable: false }) }, "does not allow null in the column 'brand'"],
    [
      { fields: changed("user_id", { nullable: true, metadata: { "sessionary.nullable": true } }) },
      "may have null in the column 'user_id', which must have a value now",
    ],
    [
      { fields: fieldsOf(original).filter(({ name }) => name !== "user_id") },
      "has no column 'user_id' (long), and one that is added must allow null",
    ],
    [
      { fields: [...fieldsOf(original), { name: "gone", type: "long", nullable: false, metadata: {} }] },
      "needs a value in the column 'gone', which sessions don't have",
    ],
    [{ partitionColumns: ["brand"] }, "is partitioned by [brand], not by [session_date]"],
  ];
  for (const [i, [{ fields, ...change }, flaw]] of cases.entries()) {
    const schemaString = JSON.stringify({ type: "struct", fields: fields ?? fieldsOf(original) });
    await commitAs(store, i + 1, [{ metaData: { ...original, schemaString, ...change } }]);
    const error = await assertRejects(() => lakeOn(store).open(), SinkError) as SinkError;
    assertStringIncludes(error.message, `it ${flaw}. Run the version of the program that fits it`);
    assert(!error.retryable);
  }
  assertEquals((await lakeOn(store).history(1))[0]!.version, cases.length);
});
