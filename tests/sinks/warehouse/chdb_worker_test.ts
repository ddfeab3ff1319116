import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { SinkError } from "../../../schema/errors.ts";
import { ChdbEngine, libraryMissingSentence } from "../../../sinks/warehouse/chdb_engine.ts";
import { ChdbHost, rowsOf, withFolder } from "./harness.ts";

/** The path of the first file of that name below `folder`. */
function findFile(folder: string, name: string): string | undefined {
  for (const entry of Deno.readDirSync(folder)) {
    const path = `${folder}/${entry.name}`;
    const found = entry.isDirectory ? findFile(path, name) : entry.name === name ? path : undefined;
    if (found !== undefined) return found;
  }
}

Deno.test("what was written is there when the folder is opened again", () =>
  withFolder(async (folder) => {
    for (const expected of [[], [[1]], [[1], [1]]]) {
      const host = await ChdbHost.open(folder);
      const access = host.access();
      await access.client.command({
        query: "CREATE TABLE IF NOT EXISTS t (a UInt8) ENGINE = MergeTree ORDER BY a",
      });
      assertEquals(await rowsOf(access, "SELECT a FROM t"), expected);
      await access.client.command({ query: "INSERT INTO t VALUES (1)" });
      await access.client.close();
      await host.close();
    }
  }));

Deno.test("closing waits for the statement that runs", () =>
  withFolder(async (folder) => {
    const host = await ChdbHost.open(folder);
    const { client } = host.access();
    await client.command({ query: "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a" });
    const insert = client.command({ query: "INSERT INTO t SELECT number FROM numbers(1000000)" });
    await Promise.all([insert, client.ping().then(() => host.close())]);
    const again = await ChdbHost.open(folder);
    assertEquals(await rowsOf(again.access(), "SELECT count() FROM t"), [[1_000_000]]);
    await again.close();
  }));

Deno.test("a folder that another process holds is refused in a sentence", () =>
  withFolder(async (folder) => {
    await (await ChdbHost.open(folder)).close();
    // The engine locks this file while it holds the folder.
    using status = await Deno.open(`${folder}/status`, { write: true, create: true });
    await status.lock(true);
    await assertRejects(
      () => ChdbHost.open(folder),
      Error,
      `can't open its folder '${folder}': another process holds it; stop that one`,
    );
  }));

Deno.test("a damaged folder is refused in a sentence, and left as it is", () =>
  withFolder(async (folder) => {
    const host = await ChdbHost.open(folder);
    const access = host.access();
    await access.client.command({ query: "CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a" });
    await host.close();
    const file = findFile(`${folder}/store`, "t.sql")!;
    await Deno.writeTextFile(file, "garbage");
    await assertRejects(() => ChdbHost.open(folder), Error, "it is damaged or can't be written");
    assertEquals(await Deno.readTextFile(file), "garbage");
  }));

Deno.test("a folder that is a file is refused in a sentence", () =>
  withFolder(async (folder) => {
    await Deno.mkdir(folder.slice(0, folder.lastIndexOf("/")), { recursive: true });
    await Deno.writeTextFile(folder, "");
    await assertRejects(() => ChdbHost.open(folder), Error, `can't open its folder '${folder}'`);
  }));

Deno.test("a second folder in the same process is refused in a sentence", () =>
  withFolder(async (folder) => {
    // In this thread: a second worker would take the first one's engine with it when it ends.
    const engine = await ChdbEngine.open(`${folder}/one`);
    try {
      await assertRejects(
        () => ChdbEngine.open(`${folder}/two`),
        SinkError,
        "this process already holds another one",
      );
    } finally {
      await engine.close();
    }
  }));

Deno.test("without a library for the platform the sentence says what to set", () => {
  const sentence = libraryMissingSentence("darwin-aarch64", new Error("dlopen failed: wrong ELF\nmore"));
  assertStringIncludes(sentence, "can't be loaded on darwin-aarch64: set CLICKHOUSE_URL");
  assertStringIncludes(sentence, '"overrides" in package.json');
  assertStringIncludes(sentence, "(dlopen failed: wrong ELF).");
});
