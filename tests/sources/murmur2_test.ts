import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { murmur2, partitionOfKey } from "../../sources/murmur2.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("murmur2 gives the hashes of Kafka's own tests", () => {
  const vectors: [string, number][] = [
    ["21", -973932308],
    ["foobar", -790332482],
    ["a-little-bit-long-string", -985981536],
    ["a-little-bit-longer-string", -1486304829],
    ["lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971],
    ["abc", 479470107],
    // From kafkajs and Akka, which generated theirs with the Java client.
    ["0", 971027396],
    ["1", -1993445489],
    ["12", 126087238],
    ["123", -267702483],
    ["1234", -1614185708],
    ["12345", -1188365604],
    ["2187", -1508407203],
    ["823543", -2014198330],
  ];
  for (const [key, hash] of vectors) assertEquals(murmur2(bytes(key)), hash, key);
});

Deno.test("a key's partition is its hash without the sign bit, modulo the partitions", () => {
  assertEquals(partitionOfKey(bytes("21"), 8), (-973932308 & 0x7fffffff) % 8);
  fc.assert(fc.property(fc.uint8Array(), fc.integer({ min: 1, max: 1000 }), (key, partitions) => {
    const partition = partitionOfKey(key, partitions);
    assert(Number.isInteger(partition) && partition >= 0 && partition < partitions);
  }));
});

Deno.test("bytes beyond the ASCII range hash as unsigned bytes, and a view hashes as its own bytes only", () => {
  const whole = new Uint8Array([9, 9, 255, 128, 254, 129, 200, 9]);
  assertEquals(murmur2(whole.subarray(2, 7)), murmur2(new Uint8Array([255, 128, 254, 129, 200])));
  assert(murmur2(new Uint8Array([255])) !== murmur2(new Uint8Array([127])));
});
