import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { SinkError } from "../../../schema/errors.ts";
import {
  epochCommit,
  FaultyStore,
  folderStore,
  lakeOn,
  nthCommit,
  sessionRows,
  temporaryFolder,
} from "./lake_fixture.ts";

const isCommit = (key: string) => /_delta_log\/\d{20}\.json$/.test(key);
const lostResponse = () => new SinkError("The connection was closed.", true);

Deno.test("twenty committers on one folder each commit once, to versions of their own", async () => {
  await using folder = await temporaryFolder();
  const committers = Array.from({ length: 20 }, () => lakeOn(folderStore(folder.path)));
  await Promise.all(committers.map((lake) => lake.open()));
  const outcomes = await Promise.all(committers.map(async (lake, partition) => {
    const files = await lake.stage(1, sessionRows([{ partition, firstOffset: 1 }]));
    return await lake.commit(epochCommit(1, [{ partition, from: 0, to: 5, barrierNumber: 1 }], files));
  }));
  const versions = outcomes.map((outcome) => (outcome.status === "committed" ? outcome.version : -1));
  assertEquals(versions.toSorted((a, b) => a - b), Array.from({ length: 20 }, (_, i) => i + 1));
  assert(outcomes.some((outcome) => outcome.status === "committed" && outcome.conflicts > 0));
  const reader = lakeOn(folderStore(folder.path));
  const { version, positions } = await reader.open();
  assertEquals(version, 20);
  assertEquals(
    positions.map(({ partition, nextOffset }) => [partition, nextOffset]),
    committers.map((_, i) => [i, 5]),
  );
  assertEquals((await reader.readSessions()).rows, 20);
});

Deno.test("of several instances that race for one partition's barrier exactly one commits it", async () => {
  await using folder = await temporaryFolder();
  const instances = Array.from({ length: 5 }, () => lakeOn(folderStore(folder.path)));
  await Promise.all(instances.map((lake) => lake.open()));
  for (let n = 1; n <= 4; n++) {
    const outcomes = await Promise.all(instances.map((lake) => lake.commit(nthCommit(n))));
    assertEquals(outcomes.filter(({ status }) => status === "committed").length, 1);
    assertEquals(outcomes.filter(({ status }) => status === "fenced").length, 4);
  }
  assertEquals((await instances[0]!.epochsAfter(0)).map(({ record }) => record.epoch), [1, 2, 3, 4]);
});

Deno.test("commits of one instance that are started together are made one after the other", async () => {
  await using folder = await temporaryFolder();
  const lake = lakeOn(folderStore(folder.path));
  await lake.open();
  const outcomes = await Promise.all([1, 2, 3].map((n) => lake.commit(nthCommit(n))));
  assertEquals(outcomes.map((outcome) => outcome.status === "committed" && outcome.version), [1, 2, 3]);
});

Deno.test("a commit whose response was lost is found by its UUID and not written twice", async () => {
  await using folder = await temporaryFolder();
  const store = new FaultyStore(folderStore(folder.path));
  const lake = lakeOn(store);
  await lake.open();
  store.after = (call, key) => {
    if (call === "putIfAbsent" && isCommit(key)) throw lostResponse();
  };
  assertEquals(await lake.commit(nthCommit(1)), { status: "committed", version: 1, conflicts: 0 });
  store.after = () => {};
  assertEquals(await lake.commit(nthCommit(2)), { status: "committed", version: 2, conflicts: 0 });
  assertEquals((await lake.epochsAfter(0)).length, 2);
});

Deno.test("a commit that failed before it had an effect is written by the next try", async () => {
  await using folder = await temporaryFolder();
  const store = new FaultyStore(folderStore(folder.path));
  const lake = lakeOn(store);
  await lake.open();
  let failures = 2;
  store.before = (call, key) => {
    if (call === "putIfAbsent" && isCommit(key) && failures-- > 0) throw lostResponse();
  };
  assertEquals(await lake.commit(nthCommit(1)), { status: "committed", version: 1, conflicts: 0 });
});

Deno.test("where nobody can say whether a commit landed, trying the same one again finds out", async () => {
  await using folder = await temporaryFolder();
  const store = new FaultyStore(folderStore(folder.path));
  const lake = lakeOn(store);
  await lake.open();
  // The write lands, its response is lost, and the store cannot be read until the caller tries again.
  store.after = (call, key) => {
    if (call === "putIfAbsent" && isCommit(key)) throw lostResponse();
  };
  store.before = (call, key) => {
    if (call === "get" && isCommit(key)) throw lostResponse();
  };
  const error = await assertRejects(
    () => lake.commit(nthCommit(1)),
    SinkError,
    "Cannot tell whether version 1",
  );
  assertInstanceOf(error, SinkError);
  assert(error.retryable);
  store.before = () => {};
  store.after = () => {};
  // The next epoch of another partition goes first and finds the lost one on its way.
  const other = epochCommit(1, [{ partition: 9, from: 0, to: 1, barrierNumber: 1 }]);
  assertEquals(await lake.commit(other), { status: "committed", version: 2, conflicts: 1 });
  assertEquals(await lake.commit(nthCommit(1)), { status: "committed", version: 1, conflicts: 0 });
  assertEquals((await lake.epochsAfter(0)).length, 2);
  // The epoch is known to be there now; making it again is a zombie's doing.
  assertEquals(await lake.commit(nthCommit(1)), { status: "fenced", partitions: [0] });
});

Deno.test("a commit that lost its version to another writer in the dark is made on top of it", async () => {
  await using folder = await temporaryFolder();
  const store = new FaultyStore(folderStore(folder.path));
  const [lake, rival] = [lakeOn(store), lakeOn(folderStore(folder.path))];
  await lake.open();
  await rival.open();
  await rival.commit(epochCommit(1, [{ partition: 9, from: 0, to: 1, barrierNumber: 1 }]));
  let failures = 1;
  store.before = (call, key) => {
    if (call === "putIfAbsent" && isCommit(key) && failures-- > 0) throw lostResponse();
  };
  assertEquals(await lake.commit(nthCommit(1)), { status: "committed", version: 2, conflicts: 1 });
});

Deno.test("a full disk is not tried again and again: the error says so, and nothing is half written", async () => {
  await using folder = await temporaryFolder();
  const store = new FaultyStore(folderStore(folder.path));
  const lake = lakeOn(store);
  await lake.open();
  let tries = 0;
  store.before = (call, key) => {
    if (call !== "putIfAbsent" || !isCommit(key)) return;
    tries++;
    throw new SinkError("The disk is full.", false);
  };
  const error = await assertRejects(() => lake.commit(nthCommit(1)), SinkError, "The disk is full.");
  assertInstanceOf(error, SinkError);
  assertEquals([error.retryable, tries], [false, 1]);
  store.before = () => {};
  assertEquals((await lake.commit(nthCommit(1))).status, "committed");
});
