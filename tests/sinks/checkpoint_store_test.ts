import { assertEquals, assertStringIncludes } from "@std/assert";
import { crc32, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { EMPTY_LEDGER, SEMANTICS_VERSION } from "../../schema/epoch.ts";
import { type CheckpointHeader, CheckpointStore } from "../../sinks/checkpoint_store.ts";
import { MemoryStore } from "../support/memory_store.ts";
import { barrierOf, T0 } from "../support/records.ts";

const encoder = new TextEncoder();
const PREFIX = "checkpoints/clicks/web_clicks/";
const keyOf = (number: number, partition = 0) =>
  `${PREFIX}${partition}/${String(number).padStart(16, "0")}.ckpt`;
const lines = (...texts: string[]) =>
  encoder.encode(texts.map((text) => `${JSON.stringify(text)}\n`).join(""));

function headerOf(number: number, partition = 0): CheckpointHeader {
  return {
    semanticsVersion: SEMANTICS_VERSION,
    pipeline: "clicks",
    topic: "web_clicks",
    barrier: barrierOf({ partition, number, to: 10 * number, lastRecord: { offset: 9, crc32: 0xffffffff } }),
    ledger: { ...EMPTY_LEDGER, consumed: 10 * number, held: 10 * number },
    latestEventTime: T0,
    deltaVersion: number + 3,
  };
}

class World {
  readonly store = new MemoryStore();
  readonly notices: string[] = [];
  readonly checkpoints = new CheckpointStore({
    store: this.store,
    pipeline: "clicks",
    topic: "web_clicks",
    notice: (text) => this.notices.push(text),
  });

  /** Checkpoints at these barriers, each with one occurrence that names it. */
  async write(...numbers: number[]): Promise<void> {
    for (const number of numbers) await this.checkpoints.write(headerOf(number), [lines(`at ${number}`)]);
  }

  async newestNumber(maxBarrier = 1000): Promise<number | null> {
    return (await this.checkpoints.newest(0, maxBarrier))?.header.barrier.number ?? null;
  }

  damage(number: number, change: (bytes: Uint8Array) => Uint8Array): void {
    this.store.objects.set(keyOf(number), change(this.store.objects.get(keyOf(number))!));
  }
}

Deno.test("a checkpoint is read back as it was written, the shards' parts joined", async () => {
  const w = new World();
  await w.checkpoints.write(headerOf(5), [lines("a", "\n\u{1f600}"), new Uint8Array(), lines("b")]);
  assertEquals(await w.checkpoints.newest(0, 5), {
    header: headerOf(5),
    occurrences: lines("a", "\n\u{1f600}", "b"),
  });
  assertEquals([...w.store.objects.keys()], [keyOf(5)]);
});

Deno.test("what is read back may be viewed as numbers of eight bytes", async () => {
  const w = new World();
  await w.checkpoints.write(headerOf(5), [new Uint8Array(new Float64Array([1.5, -2]).buffer)]);
  const { buffer, byteOffset, length } = (await w.checkpoints.newest(0, 5))!.occurrences;
  assertEquals([...new Float64Array(buffer, byteOffset, length / 8)], [1.5, -2]);
});

Deno.test("a checkpoint of no occurrence is a checkpoint", async () => {
  const w = new World();
  await w.checkpoints.write(headerOf(1), []);
  assertEquals((await w.checkpoints.newest(0, 1))?.occurrences, new Uint8Array());
});

Deno.test("where there is none there is none, and nobody is bothered", async () => {
  const w = new World();
  assertEquals(await w.checkpoints.newest(0, 1000), null);
  assertEquals(w.notices, []);
});

Deno.test("the newest is the one of the highest barrier, not of the last text in order", async () => {
  const w = new World();
  await w.write(9, 10, 100);
  assertEquals(await w.newestNumber(), 100);
  assertEquals(await w.newestNumber(99), 10);
  assertEquals(await w.newestNumber(9), 9);
  assertEquals(await w.newestNumber(8), null);
});

Deno.test("three are kept of each partition, the oldest go", async () => {
  const w = new World();
  await w.checkpoints.write(headerOf(1, 1), []);
  await w.write(5, 10, 15, 20, 25);
  assertEquals([...w.store.objects.keys()].sort(), [keyOf(15), keyOf(20), keyOf(25), keyOf(1, 1)]);
});

Deno.test("partitions, topics and pipelines do not see each other's", async () => {
  const w = new World();
  await w.write(5);
  assertEquals(await w.checkpoints.newest(1, 1000), null);
  for (const other of [{ pipeline: "other", topic: "web_clicks" }, { pipeline: "clicks", topic: "web" }]) {
    const store = new CheckpointStore({ store: w.store, notice: () => {}, ...other });
    assertEquals(await store.newest(0, 1000), null);
  }
});

/** The bytes with a fitting checksum: only what they say is wrong. */
function sealed(bytes: Uint8Array): Uint8Array {
  new DataView(bytes.buffer).setUint32(12, crc32(bytes.subarray(16)), true);
  return bytes;
}

/** With the body changed: nothing but its length tells. */
function withBody(bytes: Uint8Array, change: (body: Uint8Array) => Uint8Array): Uint8Array {
  const bodyAt = 24 + new DataView(bytes.buffer).getUint32(16, true);
  const body = zstdCompressSync(change(new Uint8Array(zstdDecompressSync(bytes.subarray(bodyAt)))));
  return sealed(new Uint8Array([...bytes.subarray(0, bodyAt), ...body]));
}

const DAMAGES: Readonly<Record<string, (bytes: Uint8Array) => Uint8Array>> = {
  "has a changed byte": (bytes) => bytes.map((byte, i) => i === bytes.length - 12 ? byte ^ 1 : byte),
  "is torn": (bytes) => bytes.slice(0, bytes.length / 2),
  "is empty": () => new Uint8Array(0),
  "is something else": (bytes) => bytes.map((byte) => byte ^ 0xff),
  "lacks a part of its body": (bytes) => withBody(bytes, (body) => body.subarray(0, 4)),
  "has a body that does not unpack": (bytes) => sealed(bytes.slice(0, -4)),
  "has a header that is no JSON": (bytes) => sealed(bytes.map((byte, i) => i === 24 ? 0 : byte)),
  "is of another format": (bytes) => bytes.map((byte, i) => i === 8 ? 3 : byte),
};

for (const [damage, change] of Object.entries(DAMAGES)) {
  Deno.test(`a checkpoint that ${damage} is told, and the one before it is used`, async () => {
    const w = new World();
    await w.write(5, 10);
    w.damage(10, change);
    assertEquals(await w.newestNumber(), 5);
    assertEquals(w.notices.length, 1);
    assertStringIncludes(w.notices[0]!, `Cannot use the checkpoint ${keyOf(10)} (`);
    w.damage(5, change);
    assertEquals(await w.newestNumber(), null);
    assertEquals(w.notices.length, 3);
  });
}

Deno.test("whichever byte of a checkpoint is changed, nothing is read", async () => {
  const w = new World();
  await w.write(5);
  const intact = w.store.objects.get(keyOf(5))!;
  for (let at = 0; at < intact.length; at++) {
    w.store.objects.set(keyOf(5), intact.map((byte, i) => i === at ? byte ^ 0x41 : byte));
    const found = await w.checkpoints.newest(0, 5);
    assertEquals(found, null, `byte ${at}`);
  }
  assertEquals(w.notices.length, intact.length);
});

Deno.test("one that vanishes between listing and reading is passed over", async () => {
  const w = new World();
  await w.write(5, 10);
  const list = w.store.list.bind(w.store);
  w.store.list = async (prefix, startAfter) => {
    const found = await list(prefix, startAfter);
    await w.store.delete(keyOf(10));
    return found;
  };
  assertEquals(await w.newestNumber(), 5);
});

Deno.test("checkpoints below a barrier are deleted only where one at or above it can be read", async () => {
  const w = new World();
  await w.write(3, 5);
  assertEquals(await w.checkpoints.deleteBefore(0, 6), 2);
  await w.write(7);
  w.damage(7, (bytes) => bytes.slice(0, -1));
  assertEquals(await w.checkpoints.deleteBefore(0, 6), 2);
  await w.write(7);
  assertEquals(await w.checkpoints.deleteBefore(0, 6), 0);
  assertEquals([...w.store.objects.keys()], [keyOf(7)]);
});
