import { assertEquals, assertThrows } from "@std/assert";
import { Buffer } from "node:buffer";
import { gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { compressFrameSync } from "lz4-napi";
import { compressSync } from "snappy";
import { AssertionError } from "../../schema/errors.ts";
import {
  loadCodecs,
  loadPlainCrc32c,
  loadPlainSnappy,
  uncompressSnappy,
} from "../../sources/kafka_codecs.ts";

const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 2_000 }),
  fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 20 }), fc.nat(3_000)).map(([unit, times]) =>
    Uint8Array.from({ length: unit.length * times }, (_, i) => unit[i % unit.length]!)
  ),
);

const plain = (bytes: Uint8Array) => [...bytes];

Deno.test("each compression gives back what was compressed", async () => {
  const codecs = await loadCodecs();
  const compressors = [
    (bytes: Uint8Array) => bytes,
    gzipSync,
    codecs.compressSnappy,
    (bytes: Uint8Array) => compressFrameSync(Buffer.from(bytes)),
    zstdCompressSync,
  ];
  for (const [compression, compress] of compressors.entries()) {
    fc.assert(fc.property(bytes, (given) => {
      assertEquals(plain(codecs.decompress(compression, compress(given))), plain(given));
    }));
  }
  assertThrows(() => codecs.decompress(5, new Uint8Array(1)), AssertionError);
});

Deno.test("Snappy in plain JavaScript and the native one read each other", async () => {
  const [codecs, snappy] = await Promise.all([loadCodecs(), loadPlainSnappy()]);
  fc.assert(fc.property(bytes, (given) => {
    assertEquals(plain(codecs.decompress(2, snappy.compress(given))), plain(given));
    assertEquals(plain(snappy.uncompress(codecs.compressSnappy(given))), plain(given));
  }));
});

Deno.test("the checksum in plain JavaScript and the native one agree, and are CRC-32C", async () => {
  const [{ crc32c }, plainCrc32c] = await Promise.all([loadCodecs(), loadPlainCrc32c()]);
  fc.assert(fc.property(bytes, (given) => assertEquals(crc32c(given), plainCrc32c(given))));
  // RFC 3720, B.4: 32 bytes of ones.
  assertEquals(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
});

Deno.test("what is decompressed is the caller's own, also where nothing was compressed", async () => {
  const codecs = await loadCodecs();
  const given = Uint8Array.of(1, 2, 3);
  codecs.decompress(0, given).fill(9);
  assertEquals(plain(given), [1, 2, 3]);
});

Deno.test("Snappy in Java's framed blocks is joined, in one block, several or none", async () => {
  const { uncompress } = await loadPlainSnappy();
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 5 }), (blocks) => {
      const header = [0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1];
      const framed = blocks.flatMap((block) => {
        const compressed = compressSync(Buffer.from(block));
        return [0, 0, compressed.length >> 8, compressed.length & 255, ...compressed];
      });
      const joined = uncompressSnappy(Uint8Array.from([...header, ...framed]), uncompress);
      assertEquals(plain(joined), blocks.flatMap(plain));
    }),
  );
});
