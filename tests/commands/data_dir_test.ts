import { assert, assertEquals, assertFalse, assertMatch, assertRejects } from "@std/assert";
import { openDataDir, prepareDataDir, tryDataDir } from "../../commands/data_dir.ts";
import { EXIT, UserError } from "../../schema/errors.ts";
import { DISK_FREE_BYTES_MIN } from "../../schema/limits.ts";
import { withTempDir } from "../support/command_context.ts";

Deno.test("One holder at a time: the second is told who has it, and may have it after the release", () =>
  withTempDir(async (root) => {
    const path = `${root}/made/on/demand`;
    const first = await openDataDir({ path, pid: 11 });
    await first.announce({ pid: 11, url: "http://127.0.0.1:8400" });
    const error = await assertRejects(() => openDataDir({ path, pid: 12 }), UserError) as UserError;
    assertEquals(error.exitCode, EXIT.busy);
    assertMatch(error.message, /is held by process 11 \(http:\/\/127\.0\.0\.1:8400\), and only one process/);
    assertEquals(await tryDataDir({ path, pid: 12 }), {
      status: "held",
      holder: { pid: 11, url: "http://127.0.0.1:8400" },
    });
    await first.release();
    const second = await openDataDir({ path, pid: 12 });
    await second.release();
    assertEquals([...Deno.readDirSync(path)].map(({ name }) => name), ["run.lock"]);
  }));

Deno.test("What a killed process left in run.json does not keep the next one out", () =>
  withTempDir(async (path) => {
    await Deno.writeTextFile(`${path}/run.json`, '{"pid":1,"url":"http://127.0.0.1:1"}');
    const dataDir = await openDataDir({ path, pid: 12 });
    assertEquals(JSON.parse(await Deno.readTextFile(`${path}/run.json`)), { pid: 12, url: null });
    await dataDir.release();
  }));

Deno.test("A holder that has not said who it is yet is told as such, whatever is in run.json", () =>
  withTempDir(async (path) => {
    const first = await openDataDir({ path, pid: 11 });
    for (const content of ["", "{", '{"pid":"x"}', "[]"]) {
      await Deno.writeTextFile(`${path}/run.json`, content);
      assertEquals(await tryDataDir({ path, pid: 12 }), { status: "held", holder: null }, content);
    }
    await first.release();
  }));

Deno.test("Too little room is refused with the figures, and the lock is free again", () =>
  withTempDir(async (path) => {
    const freeBytes = () => Promise.resolve(DISK_FREE_BYTES_MIN - 1);
    const error = await assertRejects(() => openDataDir({ path, pid: 1, freeBytes }), UserError) as UserError;
    assertEquals(error.exitCode, EXIT.sink);
    assertMatch(error.message, /needs at least 64MiB of free space, and it has 65535KiB/);
    await (await openDataDir({ path, pid: 1, freeBytes: () => Promise.resolve(DISK_FREE_BYTES_MIN) }))
      .release();
  }));

Deno.test("A file where the folder should be is refused with a sentence, and left alone", () =>
  withTempDir(async (root) => {
    const path = `${root}/file`;
    await Deno.writeTextFile(path, "mine");
    for (const use of [openDataDir, prepareDataDir]) {
      const error = await assertRejects(() => use({ path, pid: 1 }).then(() => {}), UserError) as UserError;
      assertEquals(error.exitCode, EXIT.usage);
      assertMatch(error.message, /^DATA_DIR must be a folder that this user can write to, and .*file is not/);
    }
    assertEquals(await Deno.readTextFile(path), "mine");
  }));

Deno.test("Preparing for a producer takes no lock and leaves no file", () =>
  withTempDir(async (path) => {
    const holder = await openDataDir({ path, pid: 1 });
    const before = [...Deno.readDirSync(path)].map(({ name }) => name).sort();
    await prepareDataDir({ path, pid: 2 });
    assertEquals([...Deno.readDirSync(path)].map(({ name }) => name).sort(), before);
    await holder.release();
    assertFalse([...Deno.readDirSync(path)].some(({ name }) => name === "run.json"));
    assert(Deno.statSync(`${path}/run.lock`).isFile);
  }));
