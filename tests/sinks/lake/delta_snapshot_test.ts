import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { SinkError } from "../../../schema/errors.ts";
import type { AddFile, DeltaAction, MetaData, Protocol } from "../../../sinks/lake/delta_actions.ts";
import {
  decodeCheckpoint,
  decodeTombstones,
  encodeCheckpoint,
} from "../../../sinks/lake/delta_checkpoint.ts";
import {
  assertWritable,
  checkpointActions,
  type Snapshot,
  TableReplay,
  tombstoneRetentionMs,
} from "../../../sinks/lake/delta_snapshot.ts";

const DAY_MS = 86_400_000;
const NOW = Date.UTC(2024, 5, 1);

const PROTOCOL: Protocol = { minReaderVersion: 1, minWriterVersion: 4 };
const METADATA: MetaData = {
  id: "table",
  format: { provider: "parquet", options: {} },
  schemaString: '{"type":"struct","fields":[]}',
  partitionColumns: ["session_date"],
  createdTime: NOW,
  configuration: { "delta.enableChangeDataFeed": "true" },
};

function file(path: string, size = 1): AddFile {
  return {
    path,
    partitionValues: { session_date: "2024-01-01" },
    size,
    modificationTime: NOW,
    dataChange: true,
    stats: '{"numRecords":1}',
  };
}

function replayed(...commits: DeltaAction[][]): Snapshot {
  const replay = new TableReplay();
  const first: DeltaAction[] = [{ protocol: PROTOCOL }, { metaData: METADATA }];
  for (const [version, actions] of [first, ...commits].entries()) replay.apply(version, actions);
  return replay.snapshot();
}

Deno.test("replay keeps the newest action for each file, txn, metaData and protocol", () => {
  const renamed = { ...METADATA, name: "sessions" };
  const snapshot = replayed(
    [{ add: file("a") }, { add: file("b") }, { txn: { appId: "x", version: 1 } }],
    [{ remove: { path: "a", dataChange: true, deletionTimestamp: NOW } }, {
      txn: { appId: "x", version: 2 },
    }],
    [{ add: file("b", 9) }, { metaData: renamed }, {
      protocol: { minReaderVersion: 1, minWriterVersion: 2 },
    }],
  );
  assertEquals(snapshot.version, 3);
  assertEquals([...snapshot.files.values()], [file("b", 9)]);
  assertEquals([...snapshot.tombstones.keys()], ["a"]);
  assertEquals(snapshot.txns.get("x")!.version, 2);
  assertEquals(snapshot.metaData.name, "sessions");
  assertEquals(snapshot.protocol.minWriterVersion, 2);
});

Deno.test("a file that comes back is no tombstone, also where one commit removes and adds it", () => {
  const remove = { remove: { path: "a", dataChange: false, deletionTimestamp: NOW } };
  const later = replayed([{ add: file("a") }], [remove], [{ add: file("a", 2) }]);
  const same = replayed([{ add: file("a") }], [{ add: file("a", 2) }, remove]);
  for (const snapshot of [later, same]) {
    assertEquals([...snapshot.files.values()], [file("a", 2)]);
    assertEquals(snapshot.tombstones.size, 0);
  }
});

Deno.test("two spellings of one path are one file", () => {
  const snapshot = replayed([{ add: file("d=1/a b") }], [{
    remove: { path: "d%3D1/a%20b", dataChange: true },
  }]);
  assertEquals(snapshot.files.size, 0);
});

Deno.test("versions are replayed one after the other", () => {
  const replay = new TableReplay();
  replay.apply(4, [{ protocol: PROTOCOL }, { metaData: METADATA }]);
  assertThrows(() => replay.apply(6, []), Error, "6 follows 4");
});

Deno.test("a protocol above ours is refused with a sentence, for reading and for writing", () => {
  const upgraded = { minReaderVersion: 3, minWriterVersion: 7 };
  assertThrows(() => replayed([{ protocol: upgraded }]), SinkError, "needs reader version 3");
  const snapshot = replayed([{ protocol: { minReaderVersion: 1, minWriterVersion: 7 } }]);
  assertThrows(() => assertWritable(snapshot.protocol), SinkError, "needs writer version 7");
});

Deno.test("a log without a protocol or metaData is refused", () => {
  const replay = new TableReplay();
  replay.apply(0, [{ metaData: METADATA }]);
  assertThrows(() => replay.snapshot(), SinkError, "no protocol action");
});

Deno.test("tombstones leave Delta checkpoints when the retention is over", () => {
  const removed = (path: string, days: number): DeltaAction => ({
    remove: { path, dataChange: true, deletionTimestamp: NOW - days * DAY_MS },
  });
  const snapshot = replayed([removed("old", 8), removed("new", 6), {
    remove: { path: "ancient", dataChange: true },
  }]);
  const kept = checkpointActions(snapshot, NOW).flatMap((
    action,
  ) => ("remove" in action ? [action.remove.path] : []));
  assertEquals(kept, ["new"]);
});

Deno.test("the retention of tombstones is the table's property", () => {
  const retention = (text: string) => tombstoneRetentionMs({ "delta.deletedFileRetentionDuration": text });
  assertEquals(tombstoneRetentionMs({}), 7 * DAY_MS);
  assertEquals(retention("interval 2 days"), 2 * DAY_MS);
  assertEquals(retention("interval 1 week"), 7 * DAY_MS);
  assertEquals(retention("36 HOURS"), 1.5 * DAY_MS);
  assertEquals(retention("a while"), Infinity);
});

Deno.test("a Delta checkpoint comes back with every action it was given", async () => {
  const name = fc.string({ unit: "binary", minLength: 1, maxLength: 12 }).map((text) =>
    encodeURIComponent(text.toWellFormed())
  );
  const number = fc.maxSafeInteger();
  const plain = { noNullPrototype: true } as const;
  const add = fc.record({
    path: name,
    partitionValues: fc.constantFrom<AddFile["partitionValues"]>(
      { session_date: "2024-01-01" },
      { session_date: null },
      {},
    ),
    size: fc.nat(),
    modificationTime: number,
    dataChange: fc.constant(false),
    stats: fc.string(),
  }, plain).map((add) => ({ add }));
  const txn = fc.record({ appId: fc.string({ minLength: 1 }), version: number, lastUpdated: number }, plain)
    .map((txn) => ({ txn }));
  const remove = fc.record({ path: name, deletionTimestamp: number, dataChange: fc.constant(false) }, plain)
    .map((remove) => ({ remove }));
  const kind = (action: DeltaAction) => Object.keys(action)[0]!;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(add, txn, remove), { maxLength: 12 }),
      async (actions: DeltaAction[]) => {
        const all: DeltaAction[] = [{ protocol: PROTOCOL }, { metaData: METADATA }, ...actions];
        const read = await decodeCheckpoint(encodeCheckpoint(all).bytes, "test");
        // The order of a checkpoint's actions means nothing.
        const byKind = (list: readonly DeltaAction[]) => Object.groupBy(list, kind);
        assertEquals({ ...byKind(read) }, { ...byKind(all) });
      },
    ),
    { numRuns: 60 },
  );
});

Deno.test("a start reads a Delta checkpoint without its tombstones, and they are there for who asks", async () => {
  for (const count of [0, 1, 20_000]) {
    const removes = Array.from(
      { length: count },
      (_, i) => ({ path: `d=1/${i}.parquet`, deletionTimestamp: NOW + i }),
    );
    const live: DeltaAction[] = [{ protocol: PROTOCOL }, { metaData: METADATA }, {
      add: file("d=1/live.parquet"),
    }];
    const all = [...live, ...removes.map((remove) => ({ remove: { ...remove, dataChange: false } }))];
    const { bytes, liveRows } = encodeCheckpoint(all);
    const read = await decodeCheckpoint(bytes, "test", liveRows);
    assertEquals(read.length, live.length);
    const replay = new TableReplay();
    replay.applyCheckpoint(10, read, () => decodeTombstones(bytes, "test", liveRows));
    replay.apply(11, [{ add: file("d=1/0.parquet") }, {
      remove: { path: "d=1/live.parquet", dataChange: true },
    }]);
    const { tombstones } = replay.snapshot();
    assertEquals(tombstones.size, Math.max(0, count - 1) + 1);
    assertEquals(tombstones.has("d=1/0.parquet"), false, "it is back in the table");
    replay.expire(NOW + 7 * DAY_MS + 5_000);
    assertEquals(replay.snapshot().tombstones.size, Math.max(0, count - 5_001));
  }
});

Deno.test("a Delta checkpoint without metaData is refused", async () => {
  const { bytes } = encodeCheckpoint([{ protocol: PROTOCOL }, { add: file("a") }]);
  await assertRejects(() => decodeCheckpoint(bytes, "10.checkpoint.parquet"), SinkError, "no metaData");
});
