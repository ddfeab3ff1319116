import { assertEquals, assertThrows } from "@std/assert";
import { crc32 } from "node:zlib";
import { makePart, type PartCounts, readParts } from "../../actors/checkpoint_part.ts";
import { AssertionError } from "../../schema/errors.ts";

const COUNTS: PartCounts = { occurrences: 3, events: 5, profiles: 1, pages: 2, strings: 7, stringBytes: 13 };

/** Every column with numbers of its own. */
function filled(counts: PartCounts, from: number) {
  const part = makePart(counts);
  let next = from;
  for (const column of Object.values(part.columns)) {
    for (let i = 0; i < column.length; i++) column[i] = next++ % 251;
  }
  return part;
}

Deno.test("columns are read back as they were filled, whatever parts come before", () => {
  const parts = [
    filled(COUNTS, 1),
    filled({ ...COUNTS, occurrences: 0, events: 0 }, 7),
    filled({ ...COUNTS, pages: 9, stringBytes: 1 }, 99),
  ];
  const joined = new Uint8Array(parts.flatMap(({ bytes }) => [...bytes]));
  assertEquals([...readParts(joined)], parts);
  assertEquals([...readParts(new Uint8Array(0))], []);
});

Deno.test("the layout is the one that checkpoints of this format have: another needs another FORMAT", () => {
  const { bytes } = filled(COUNTS, 1);
  assertEquals([bytes.length, crc32(bytes)], [496, 384119594]);
});

Deno.test("a part whose size is not what its counts ask for is not read", () => {
  const { bytes } = makePart(COUNTS);
  new Uint32Array(bytes.buffer)[1]!++;
  assertThrows(() => [...readParts(bytes)], AssertionError, "the size that its counts ask for");
});
