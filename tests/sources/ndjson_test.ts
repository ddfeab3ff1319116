import { assertEquals, assertRejects } from "@std/assert";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { UserError } from "../../schema/errors.ts";
import { LINE_BYTES_MAX, readChunks, splitLines } from "../../sources/lines.ts";
import { NdjsonFeed, sessionIdOf } from "../../sources/ndjson.ts";
import type { ProducedRecord } from "../../sources/source.ts";
import { inTempDir } from "./log_support.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (value: Uint8Array | null) => value === null ? null : new TextDecoder().decode(value);

async function* chunksOf(...chunks: Uint8Array[]) {
  for (const chunk of chunks) yield await Promise.resolve(chunk);
}

async function linesOf(...chunks: Uint8Array[]): Promise<Uint8Array[]> {
  return (await Array.fromAsync(splitLines(chunksOf(...chunks)))).flat();
}

async function drain(feed: NdjsonFeed, maxRecords = 1_000, maxBytes = 1_000_000): Promise<ProducedRecord[]> {
  const records: ProducedRecord[] = [];
  for (;;) {
    const next = await feed.next(maxRecords, maxBytes);
    if (next.length === 0) return records;
    records.push(...next);
  }
}

Deno.test("lines are split at line feeds only, wherever the chunks are cut, and keep every byte", async () => {
  const line = fc.array(fc.oneof(fc.constant(0x0d), fc.nat({ max: 255 })), { maxLength: 8 })
    .map((numbers) => Uint8Array.from(numbers.filter((byte) => byte !== 0x0a)));
  await fc.assert(
    fc.asyncProperty(fc.array(line), fc.array(fc.nat()), fc.boolean(), async (lines, cuts, final) => {
      const whole = new Uint8Array(lines.flatMap((own) => [...own, 0x0a]));
      const input = final || lines.at(-1)?.length === 0 ? whole : whole.subarray(0, -1);
      const at = [0, ...cuts.map((cut) => cut % (input.length + 1)).sort((a, b) => a - b), input.length];
      const chunks = at.slice(1).map((end, i) => input.slice(at[i], end));
      assertEquals(await linesOf(...chunks), lines);
    }),
  );
});

Deno.test("an empty line is a record, a final line feed is none", async () => {
  const records = await drain(new NdjsonFeed({ path: "-" }, chunksOf(bytes('{"session_id":"a"}\n\n[]\n'))));
  assertEquals(records.map(({ key, value }) => [text(key), text(value)]), [
    ["a", '{"session_id":"a"}'],
    [null, ""],
    [null, "[]"],
  ]);
});

Deno.test("the key is the session_id of a JSON object that has one which is a string, or there is none", () => {
  const cases: [string, string | null][] = [
    ['{"session_id":"s-1"}', "s-1"],
    ['{"session_id":"a","session_id":"b"}', "b"],
    ['{"session_id":"__proto__"}', "__proto__"],
    [' {"session_id" : "\\u00e9\\u0000" }\r', "é\0"],
    ['{"session_id":7}', null],
    ['{"other":"x"}', null],
    ['{"__proto__":{"session_id":"x"}}', null],
    ['["session_id"]', null],
    ['{"session_id":"x"},{}', null],
    ["null", null],
    ["", null],
    ["not json", null],
  ];
  for (const [line, key] of cases) assertEquals(text(sessionIdOf(bytes(line))), key, line);
  assertEquals(sessionIdOf(new Uint8Array([...bytes('{"session_id":"'), 0xff, ...bytes('"}')])), null);
});

Deno.test("with a key separator the key is what stands before its first occurrence", async () => {
  const input = chunksOf(bytes("k::{}\nk:1::a::b\nnone\n::x"));
  const records = await drain(new NdjsonFeed({ path: "-", keySeparator: "::" }, input));
  assertEquals(records.map(({ key, value }) => [text(key), text(value)]), [
    ["k", "{}"],
    ["k:1", "a::b"],
    [null, "none"],
    ["", "x"],
  ]);
});

Deno.test("a pull is bounded in records and bytes, and a larger record comes alone", async () => {
  const input = () => chunksOf(bytes(["a", "bb", "c".repeat(50), "d", "e"].join("\n")));
  const sizes = async (maxRecords: number, maxBytes: number) => {
    const feed = new NdjsonFeed({ path: "-" }, input());
    const pulls: number[][] = [];
    for (let i = 0; i < 8; i++) {
      const pull = await feed.next(maxRecords, maxBytes);
      if (pull.length > 0) pulls.push(pull.map(({ value }) => value!.length));
    }
    return pulls;
  };
  assertEquals(await sizes(2, 1_000), [[1, 2], [50, 1], [1]]);
  assertEquals(await sizes(10, 4), [[1, 2], [50], [1], [1]]);
});

Deno.test("what a pipe has brought is given out before more of it is waited for, and it can be given up", async () => {
  const { promise: never } = Promise.withResolvers<Uint8Array>();
  async function* pipe() {
    yield bytes("one\ntwo\n");
    yield await never;
  }
  const feed = new NdjsonFeed({ path: "-" }, pipe());
  assertEquals((await feed.next(100, 1_000)).map(({ value }) => text(value)), ["one", "two"]);
  const waiting = feed.next(100, 1_000);
  await feed.finish();
  assertEquals(await Promise.race([waiting, Promise.resolve("waiting")]), "waiting");
});

Deno.test("files are read, gzip files in a row too; a line beyond 16 MiB and a missing file are told", async () => {
  await inTempDir(async (directory) => {
    const path = `${directory}/a.ndjson.gz`;
    Deno.writeFileSync(path, new Uint8Array([...gzipSync("one\ntw"), ...gzipSync("o\n")]));
    assertEquals((await drain(new NdjsonFeed({ path }))).map(({ value }) => text(value)), ["one", "two"]);

    Deno.writeFileSync(`${directory}/b`, new Uint8Array(LINE_BYTES_MAX + 2).fill(0x61));
    const long = () => drain(new NdjsonFeed({ path: `${directory}/b` }));
    await assertRejects(long, UserError, "line 1 has more");
    Deno.writeFileSync(`${directory}/b`, new Uint8Array(LINE_BYTES_MAX).fill(0x61));
    assertEquals((await drain(new NdjsonFeed({ path: `${directory}/b` })))[0]!.value!.length, LINE_BYTES_MAX);

    await assertRejects(() => Array.fromAsync(readChunks(`${directory}/none`)), UserError, "Reading '");
    Deno.writeTextFileSync(`${directory}/c.gz`, "not gzip");
    await assertRejects(() => Array.fromAsync(readChunks(`${directory}/c.gz`)), UserError, "c.gz' failed");
  });
});
