import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { AssertionError } from "../../schema/errors.ts";
import { hash64, joinLanes, textHash64 } from "../../schema/hash64.ts";

/** From mmh3 5.2 for Python: `mmh3.hash_bytes(text, 0, False)[:8]`, little-endian. */
const REFERENCE: Readonly<Record<string, bigint>> = {
  "": 0n,
  "a": 0x5556b01ba794933cn,
  "abc": 0xa2b006a575cdc6d1n,
  "0123456789abcde": 0x4d0818c03c76c46dn,
  "0123456789abcdef": 0x36aed30afb7d4409n,
  "0123456789abcdefg": 0x516b38767f1f9836n,
  "9b2d5c1e-3f4a-4b6c-8d7e-0f1a2b3c4d5e": 0x28ead5663e8129d0n,
  "\u20ac\u{1f600} \u00e9": 0x43bdce6a043c878bn,
};

Deno.test("the hash is the first half of MurmurHash3_x86_128", () => {
  for (const [text, hash] of Object.entries(REFERENCE)) assertEquals(textHash64(text), hash, text);
});

Deno.test("what lies around the bytes does not matter", () => {
  const bytes = fc.uint8Array({ maxLength: 40 });
  fc.assert(fc.property(bytes, bytes, bytes, (before, middle, after) => {
    const [alone, within] = [new Uint32Array(2), new Uint32Array(2)];
    hash64(new DataView(middle.buffer, middle.byteOffset, middle.length), 0, middle.length, alone);
    const all = new Uint8Array([...before, ...middle, ...after]);
    hash64(
      new DataView(all.buffer, all.byteOffset, all.length),
      before.length,
      before.length + middle.length,
      within,
    );
    assertEquals(within, alone);
  }));
});

Deno.test("any changed byte changes both lanes' number, and the lanes join without loss", () => {
  const out = new Uint32Array(2);
  const seen = new Set<bigint>();
  const bytes = new Uint8Array(37);
  for (let at = 0; at < bytes.length; at++) {
    for (let value = 1; value < 256; value++) {
      bytes[at] = value;
      hash64(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length, out);
      seen.add(joinLanes(out[0]!, out[1]!));
    }
    bytes[at] = 0;
  }
  assertEquals(seen.size, 37 * 255);
  assertEquals(joinLanes(0xffffffff, 0x80000001), 0x80000001ffffffffn);
});

Deno.test("a text with a lone surrogate has no UTF-8, so it has no hash", () => {
  assertThrows(() => textHash64("\ud800"), AssertionError, "lone surrogate");
});
