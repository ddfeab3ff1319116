import { assertEquals, assertNotEquals } from "@std/assert";
import { eraseRecords } from "../../sources/embedded_erasure.ts";
import { openEmbeddedLog } from "../../sources/embedded_log.ts";
import { keyAt, valueAt } from "../../sources/source.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

Deno.test("erased records of the log keep their offsets and lose key, value and headers; those from the bound on stay", async () => {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/events.db`;
  const log = openEmbeddedLog({ path, now: () => 1_000, sleep: () => Promise.resolve() });
  try {
    const producer = log.producer("clicks", { partitions: 1 });
    const record = (name: string) => ({
      key: encoder.encode(name),
      value: encoder.encode(`${name}-${"v".repeat(20_000)}`),
      headers: { of: name },
    });
    // More rows than one transaction looks at.
    for (let i = 0; i < 300; i++) await producer.send([record(`kept-${i}`), record(`gone-${i}`)]);
    const isGone = (key: Uint8Array | null) => key !== null && decoder.decode(key).startsWith("gone");
    assertEquals(eraseRecords(log, "clicks", new Map([[0, 590]]), isGone), { records: 295, complete: true });
    assertEquals(eraseRecords(log, "clicks", new Map([[0, 590]]), isGone).records, 0);
    assertEquals(eraseRecords(log, "clicks", new Map(), () => true).records, 0);

    const source = log.source("clicks");
    const [range] = await source.ranges();
    assertEquals([range!.start, range!.end], [0, 600]);
    for (const offset of [0, 1, 588, 589, 590, 591, 599]) {
      const batch = (await source.recordAt(0, offset))!;
      const name = `${offset % 2 === 0 ? "kept" : "gone"}-${Math.floor(offset / 2)}`;
      const [key, value] = [keyAt(batch, 0), valueAt(batch, 0)].map((part) => part && decoder.decode(part));
      const headers = await source.headersAt(0, offset);
      if (offset % 2 === 1 && offset < 590) assertEquals([key, value, headers], [null, null, null]);
      else assertEquals([key, value?.slice(0, name.length), headers], [name, name, { of: name }]);
    }
    const bytes = decoder.decode(await Deno.readFile(path));
    assertEquals(bytes.includes("gone-7"), false);
    assertNotEquals(bytes.indexOf("kept-7"), -1);
  } finally {
    log.close();
    await Deno.remove(folder, { recursive: true });
  }
});
