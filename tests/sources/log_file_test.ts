import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { SourceError } from "../../schema/errors.ts";
import { inTempDir, openLog, readAll, record, seekAll, withLog } from "./log_support.ts";

/** Asserts that opening is refused with all of `parts` in the sentence, and that the file keeps its bytes. */
function assertRefused(path: string, ...parts: string[]): void {
  const before = Deno.readFileSync(path);
  const error = assertThrows(() => openLog(path), SourceError) as SourceError;
  for (const part of [path, ...parts]) assertStringIncludes(error.message, part);
  assertEquals(Deno.readFileSync(path), before);
}

/** A closed log with some thousand records. */
async function writeLog(path: string): Promise<Map<string, [string | null, string | null]>> {
  const log = openLog(path);
  const producer = log.producer("clicks", { partitions: 3 });
  for (let i = 0; i < 30; i++) {
    await producer.send(
      Array.from({ length: 100 }, (_, n) => record(`k${n}`, `value ${i} ${"x".repeat(100)}`)),
    );
  }
  const source = log.source("clicks");
  await seekAll(source);
  const all = await readAll(source);
  log.close();
  return all;
}

Deno.test("a file that is no database is refused and left as it is", async () => {
  await inTempDir((directory) => {
    const path = `${directory}/events.db`;
    Deno.writeTextFileSync(path, "this is no database at all. ".repeat(100));
    assertRefused(path, "damaged", "does not begin like a SQLite database", "restore it from a backup");
    Deno.writeTextFileSync(path, "");
    assertRefused(path, "damaged", "(0 bytes)");
    assertEquals([...Deno.readDirSync(directory)].map(({ name }) => name), ["events.db"]);
  });
});

Deno.test("another program's SQLite database is refused and left as it is", async () => {
  await inTempDir((directory) => {
    const path = `${directory}/events.db`;
    const other = new DatabaseSync(path);
    other.exec("CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('precious')");
    other.close();
    assertRefused(path, "another program's SQLite database", "name another path");
  });
});

Deno.test("a log of another format version is refused and left as it is", async () => {
  await inTempDir((directory) => {
    const path = `${directory}/events.db`;
    openLog(path).close();
    const db = new DatabaseSync(path);
    db.exec("PRAGMA user_version = 9");
    db.close();
    assertRefused(path, "must have format 1: it has 9");
  });
});

Deno.test("a directory in the log's place is refused", async () => {
  await inTempDir((directory) => {
    Deno.mkdirSync(`${directory}/events.db`);
    assertThrows(() => openLog(`${directory}/events.db`), SourceError, "must be a file");
  });
});

Deno.test("a log cut off at any page is refused and left as it is", async () => {
  await inTempDir(async (directory) => {
    const path = `${directory}/events.db`;
    await writeLog(path);
    const whole = Deno.readFileSync(path);
    for (const share of [0.02, 0.3, 0.5, 0.9, 0.999]) {
      Deno.writeFileSync(path, whole.subarray(0, Math.floor(whole.length * share)));
      assertRefused(path, "damaged");
    }
  });
});

Deno.test("changed bytes anywhere in the file are told, never read as records and never mended", async () => {
  await inTempDir(async (directory) => {
    const path = `${directory}/events.db`;
    const expected = await writeLog(path);
    const whole = Deno.readFileSync(path);
    let told = 0;
    const step = Math.floor(whole.length / 120);
    for (let at = 7; at < whole.length; at += step) {
      const changed = whole.slice();
      changed[at]! ^= 0xff;
      changed[at + 1]! ^= 0xff;
      Deno.writeFileSync(path, changed);
      try {
        const log = openLog(path);
        try {
          const source = log.source("clicks");
          await seekAll(source);
          // Free space may change unnoticed; a record may not.
          assertEquals(await readAll(source), expected, `byte ${at}`);
        } finally {
          log.close();
        }
      } catch (error) {
        if (!(error instanceof SourceError)) throw error;
        assertStringIncludes(error.message, path);
        assertEquals(Deno.readFileSync(path), changed);
        told++;
      }
    }
    assert(told > 60, `${told} of 120 changes were told`);
  });
});

Deno.test("a partition whose end does not agree with its batches is told", async () => {
  for (
    const statement of [
      "UPDATE partitions SET end_offset = end_offset - 1 WHERE id = 2",
      "UPDATE partitions SET start_offset = 3 WHERE id = 1",
      "DELETE FROM partitions WHERE id = 2",
      "DELETE FROM topics",
    ]
  ) {
    await inTempDir(async (directory) => {
      const path = `${directory}/events.db`;
      await writeLog(path);
      const db = new DatabaseSync(path);
      db.exec(`PRAGMA foreign_keys = OFF; ${statement}`);
      db.close();
      assertRefused(path, "does not agree with its batches");
    });
  }
});

Deno.test("a batch missing in the middle stops the reader with its place", async () => {
  await inTempDir(async (directory) => {
    const path = `${directory}/events.db`;
    await writeLog(path);
    const db = new DatabaseSync(path);
    db.exec("DELETE FROM batches WHERE id = 40");
    db.close();
    const log = openLog(path);
    try {
      const source = log.source("clicks");
      await seekAll(source);
      await assertRejects(() => readAll(source), SourceError, "cannot be read as they were written");
    } finally {
      log.close();
    }
  });
});

Deno.test("a full disk refuses the append whole, and what was acknowledged stays", async () => {
  await withLog(async (log) => {
    const producer = log.producer("clicks", { partitions: 2 });
    let acknowledged = 0;
    const fill = async () => {
      for (;;) {
        const records = Array.from({ length: 10 }, (_, n) => record(`k${n}`, "x".repeat(5_000)));
        acknowledged += (await producer.send(records)).length;
      }
    };
    await assertRejects(fill, SourceError, "the disk is full");
    const source = log.source("clicks");
    await seekAll(source);
    assertEquals((await readAll(source)).size, acknowledged);
    assert(acknowledged > 0);
  }, { maxFileBytes: 1024 * 1024 });
});

Deno.test("a log that another process keeps locked is told after the busy timeout", async () => {
  await withLog(async (log, _clock, path) => {
    const producer = log.producer("clicks", { partitions: 1 });
    const other = new DatabaseSync(path);
    try {
      other.exec("BEGIN IMMEDIATE");
      await assertRejects(() => producer.send([record("a", "1")]), SourceError, "another process");
      other.exec("ROLLBACK");
      assertEquals((await producer.send([record("a", "1")])).length, 1);
    } finally {
      other.close();
    }
  });
});

Deno.test("a record beyond 64 MiB is refused with its size", async () => {
  await withLog(async (log) => {
    const value = new Uint8Array(64 * 1024 * 1024 + 1);
    const send = () => log.producer("clicks").send([{ key: null, value }]);
    await assertRejects(send, SourceError, "this one has 67108865");
  });
});
