import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { murmur3, shardOf } from "../../actors/shard.ts";
import { partitionOfKey } from "../../sources/murmur2.ts";

const encoder = new TextEncoder();

/** Known answers of MurmurHash3_x86_32. */
const VECTORS: readonly (readonly [bytes: string | readonly number[], seed: number, hash: number])[] = [
  ["", 0, 0],
  ["", 1, 0x514e28b7],
  ["", 0xffffffff, 0x81f16f39],
  [[0xff, 0xff, 0xff, 0xff], 0, 0x76293b50],
  [[0x21, 0x43, 0x65, 0x87], 0, 0xf55b516b],
  [[0x21, 0x43, 0x65, 0x87], 0x5082edee, 0x2362f9de],
  [[0x21, 0x43, 0x65], 0, 0x7e4a8634],
  [[0x21, 0x43], 0, 0xa0f7b07a],
  [[0x21], 0, 0x72661cf4],
  [[0, 0, 0, 0], 0, 0x2362f9de],
  [[0, 0, 0], 0, 0x85f0b427],
  [[0, 0], 0, 0x30f4c306],
  [[0], 0, 0x514e28b7],
  ["aaaa", 0x9747b28c, 0x5a97808a],
  ["aaa", 0x9747b28c, 0x283e0130],
  ["aa", 0x9747b28c, 0x5d211726],
  ["a", 0x9747b28c, 0x7fa09ea6],
  ["abcd", 0x9747b28c, 0xf0478627],
  ["Hello, world!", 0x9747b28c, 0x24884cba],
  ["The quick brown fox jumps over the lazy dog", 0x9747b28c, 0x2fa826cd],
];

for (const [input, seed, hash] of VECTORS) {
  Deno.test(`murmur3 of ${JSON.stringify(input)} with seed ${seed} is the published value`, () => {
    const bytes = typeof input === "string" ? encoder.encode(input) : Uint8Array.from(input);
    assertEquals(murmur3(bytes, seed), hash);
  });
}

Deno.test("a key's shard is one of them, always the same, and shard 0 where there is no key", () => {
  fc.assert(fc.property(fc.uint8Array(), fc.integer({ min: 1, max: 64 }), (key, shards) => {
    const shard = shardOf(key, shards);
    assert(Number.isInteger(shard) && shard >= 0 && shard < shards);
    assertEquals(shardOf(key.slice(), shards), shard);
    assertEquals(shardOf(null, shards), 0);
  }));
});

Deno.test("session ids spread evenly over shards, also within each partition of Kafka's partitioner", () => {
  const [partitions, shards, keys] = [8, 4, 32_000];
  const pairs = new Map<string, number>();
  for (let i = 0; i < keys; i++) {
    const key = encoder.encode(`session-${i}`);
    const pair = `${partitionOfKey(key, partitions)}/${shardOf(key, shards)}`;
    pairs.set(pair, (pairs.get(pair) ?? 0) + 1);
  }
  const fair = keys / (partitions * shards);
  assertEquals(pairs.size, partitions * shards);
  for (const [pair, count] of pairs) {
    assert(Math.abs(count - fair) < fair / 5, `${pair} has ${count} of ${fair}`);
  }
});
