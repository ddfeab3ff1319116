import { assert, assertEquals, assertFalse, assertInstanceOf, assertRejects } from "@std/assert";
import { SinkError } from "../../../schema/errors.ts";
import { FolderStore } from "../../../sinks/lake/folder_store.ts";
import { objectStoreContract } from "../object_store_contract.ts";
import { temporaryFolder } from "./lake_fixture.ts";

objectStoreContract("FolderStore", async () => {
  const folder = await temporaryFolder();
  const store = new FolderStore({ root: `${folder.path}/lake`, uuid: () => crypto.randomUUID() });
  return { store, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
});

const text = (value: string) => new TextEncoder().encode(value);

Deno.test("FolderStore: what a crash left half written is never listed", async () => {
  await using folder = await temporaryFolder();
  const store = new FolderStore({ root: folder.path, uuid: () => crypto.randomUUID() });
  await store.put("a", text("a"));
  await Deno.writeFile(`${folder.path}/.tmp/half`, text("ha"));
  assertEquals((await store.list("")).map(({ key }) => key), ["a"]);
});

Deno.test("FolderStore: a write leaves no temporary file behind, whether it won, lost or failed", async () => {
  await using folder = await temporaryFolder();
  const store = new FolderStore({ root: folder.path, uuid: () => crypto.randomUUID() });
  await store.put("a", text("a"));
  await store.putIfAbsent("b", text("b"));
  await store.putIfAbsent("b", text("c"));
  await assertRejects(() => store.put("a/below/a/file", text("x")), SinkError);
  await assertRejects(() => store.putIfAbsent("a/below/a/file", text("x")), SinkError);
  assertEquals([...Deno.readDirSync(`${folder.path}/.tmp`)], []);
});

Deno.test("FolderStore: a file where a folder is needed is a sentence that no retry mends", async () => {
  await using folder = await temporaryFolder();
  const store = new FolderStore({ root: folder.path, uuid: () => crypto.randomUUID() });
  await store.put("a", text("a"));
  const error = await assertRejects(() => store.put("a/b", text("x")), SinkError, "Cannot write");
  assertInstanceOf(error, SinkError);
  assertFalse(error.retryable);
  assert(error.message.includes(`${folder.path}/a/b`), error.message);
  assertEquals(await store.get("a"), text("a"));
});

Deno.test("FolderStore: two stores on one folder see each other's objects", async () => {
  await using folder = await temporaryFolder();
  const [one, two] = [1, 2].map(() =>
    new FolderStore({ root: folder.path, uuid: () => crypto.randomUUID() })
  );
  assertEquals(await one!.putIfAbsent("x/1", text("one")), "created");
  assertEquals(await two!.putIfAbsent("x/1", text("two")), "exists");
  assertEquals(await two!.get("x/1"), text("one"));
});
