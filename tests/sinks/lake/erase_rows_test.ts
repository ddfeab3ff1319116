/** Erasing rows of a lake: what the commit says, what restores must not undo, and that no file has statistics of ids. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { erasureOf } from "../../../schema/erasure.ts";
import { UserError } from "../../../schema/errors.ts";
import { folderStore, lakeOn, nthCommit, sessionRows, temporaryFolder } from "./lake_fixture.ts";
import { actionsOf, payloadOf, signedRows } from "./revisions_fixture.ts";

const A = { partition: 0, firstOffset: 1 };
const B = { partition: 0, firstOffset: 2 };

/** The id of a lake's first row. */
async function firstSession(lake: ReturnType<typeof lakeOn>): Promise<string> {
  const { columns } = await lake.readSessions();
  const ids = columns[0]!;
  assert(ids.kind === "utf8");
  return new TextDecoder().decode(ids.values.bytes.subarray(ids.values.offsets[0], ids.values.offsets[1]));
}

Deno.test("an erased row leaves in a commit with change data, is retired, and no restore brings it back", async () => {
  await using folder = await temporaryFolder();
  const store = folderStore(folder.path);
  const lake = lakeOn(store);
  await lake.open();
  await lake.commit(nthCommit(1, await lake.stage(1, sessionRows([A]))));
  await lake.commit(nthCommit(2, await lake.stage(2, sessionRows([B], 2))));
  const before = await lake.readSessions();
  const id = await firstSession(lake);
  const erasure = erasureOf({ id: "request", kind: "session_id", salt: "salt" }, id);
  const dry = await lake.erasure.eraseRows(erasure, true);
  assertEquals(dry.version, null);
  assert(dry.rows > 0);
  assertEquals(await lake.readSessions(), before);
  const erased = await lake.erasure.eraseRows(erasure, false);
  assertEquals({ ...erased, version: null }, dry);
  assertEquals(erased.version, 3);
  const left = await lake.readSessions();
  assertEquals(left.rows, before.rows - erased.rows);
  const signed = signedRows((await payloadOf(lake, 3))!);
  assertEquals(signed.length, erased.rows);
  assert(signed.every((row) => row.startsWith("-")));
  assert([...(await lake.retiredEvents()).values()].some((events) => events > 0));
  const commit = JSON.stringify(await actionsOf(store, 3));
  assert(!commit.includes(`"${id}"`), "the log does not name it");
  await assertRejects(() => lake.restore(2), UserError, "Cannot restore version 2 of the Delta table");
  assertEquals((await lake.restore(3)).version, null);
});

Deno.test("an erasure that finds nothing makes a commit too, and the pipeline goes on", async () => {
  await using folder = await temporaryFolder();
  const lake = lakeOn(folderStore(folder.path));
  await lake.open();
  await lake.commit(nthCommit(1, await lake.stage(1, sessionRows([A]))));
  const erasure = erasureOf({ id: "request", kind: "user_id", salt: "salt" }, "4000000000");
  assertEquals(await lake.erasure.eraseRows(erasure, false), {
    ...{ rows: 0, filesRewritten: 0, filesRead: 1, version: 2 },
  });
  await assertRejects(() => lake.restore(1), UserError, "would be back");
  assertEquals((await lake.commit(nthCommit(2))).status, "committed");
});
