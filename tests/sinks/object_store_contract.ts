/** What every implementation of `ObjectStore` must do; each one's test file calls this with a way to make one. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { ObjectStore } from "../../sinks/sink.ts";

/** A store that is empty, and what removes it. */
export interface StoreUnderTest extends AsyncDisposable {
  readonly store: ObjectStore;
}

const text = (value: string) => new TextEncoder().encode(value);

async function keys(store: ObjectStore, prefix: string, startAfter?: string): Promise<string[]> {
  return (await store.list(prefix, startAfter)).map(({ key }) => key);
}

/** Registers the tests of the store that `make` returns; each test gets one of its own. */
export function objectStoreContract(name: string, make: () => Promise<StoreUnderTest>): void {
  const contract = (sentence: string, check: (store: ObjectStore) => Promise<void>) =>
    Deno.test(`${name}: ${sentence}`, async () => {
      await using made = await make();
      await check(made.store);
    });

  contract("an object that was put is read back byte by byte", async (store) => {
    const bytes = Uint8Array.from({ length: 70_000 }, (_, i) => i % 251);
    await store.put("a/b/c.bin", bytes);
    assertEquals(await store.get("a/b/c.bin"), bytes);
  });

  contract("an empty object is an object", async (store) => {
    await store.put("empty", new Uint8Array(0));
    assertEquals(await store.get("empty"), new Uint8Array(0));
    assertEquals((await store.list("")).map(({ key, size }) => [key, size]), [["empty", 0]]);
  });

  contract("get of a missing object is null", async (store) => {
    assertEquals(await store.get("nothing/here"), null);
  });

  contract("put replaces an object", async (store) => {
    await store.put("key", text("a longer first content"));
    await store.put("key", text("second"));
    assertEquals(await store.get("key"), text("second"));
  });

  contract("putIfAbsent creates once and then leaves the object as it is", async (store) => {
    assertEquals(await store.putIfAbsent("log/0.json", text("first")), "created");
    assertEquals(await store.putIfAbsent("log/0.json", text("second")), "exists");
    assertEquals(await store.get("log/0.json"), text("first"));
  });

  contract("of concurrent putIfAbsent of one key exactly one creates it", async (store) => {
    const writers = Array.from(
      { length: 20 },
      (_, i) => store.putIfAbsent("log/7.json", text(`writer ${i}`)),
    );
    const outcomes = await Promise.all(writers);
    const winner = outcomes.indexOf("created");
    assertEquals(outcomes.filter((outcome) => outcome === "created").length, 1);
    assertEquals(await store.get("log/7.json"), text(`writer ${winner}`));
    assertEquals(await keys(store, "log/"), ["log/7.json"]);
  });

  contract("list is recursive, by prefix and in code unit order", async (store) => {
    for (const key of ["t/b.json", "t/a/2", "t/a/10", "t/a-1", "t/Z", "u/1", "t/\u00e9", "ta"]) {
      await store.put(key, text(key));
    }
    assertEquals(await keys(store, "t/"), ["t/Z", "t/a-1", "t/a/10", "t/a/2", "t/b.json", "t/\u00e9"]);
    assertEquals(await keys(store, "t/a"), ["t/a-1", "t/a/10", "t/a/2"]);
    assertEquals(await keys(store, "t"), ["t/Z", "t/a-1", "t/a/10", "t/a/2", "t/b.json", "t/\u00e9", "ta"]);
    assertEquals((await keys(store, "")).length, 8);
    assertEquals(await keys(store, "nothing/"), []);
  });

  contract("list with startAfter leaves out that key and those before it", async (store) => {
    for (const key of ["l/1.json", "l/2.json", "l/3/x", "l/4.json"]) await store.put(key, text(key));
    assertEquals(await keys(store, "l/", "l/2.json"), ["l/3/x", "l/4.json"]);
    assertEquals(await keys(store, "l/", "l/2"), ["l/2.json", "l/3/x", "l/4.json"]);
    assertEquals(await keys(store, "l/", "l/3/x"), ["l/4.json"]);
    assertEquals(await keys(store, "l/", "l/9"), []);
  });

  contract("list tells sizes and times", async (store) => {
    await store.put("x", text("12345"));
    const [info] = await store.list("x");
    assertEquals(info!.size, 5);
    assert(info!.modifiedAtMs > Date.UTC(2020, 0, 1));
  });

  contract("a deleted object is gone, and deleting it again is no error", async (store) => {
    await store.put("d/x", text("x"));
    await store.delete("d/x");
    await store.delete("d/x");
    await store.delete("never/was");
    assertEquals(await store.get("d/x"), null);
    assertEquals(await keys(store, ""), []);
  });

  contract("a key that could leave the root is refused", async (store) => {
    for (
      const key of [
        "",
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a//b",
        "a/",
        ".",
        "a/./b",
        "a\0b",
        "a\\b",
        ".tmp/x",
      ]
    ) {
      await assertRejects(async () => await store.put(key, text("x")), Error, "must stay inside the store");
      await assertRejects(async () => await store.get(key), Error, "must stay inside the store");
    }
  });
}
