import { assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { UserError } from "../../../schema/errors.ts";
import { serializeActions } from "../../../sinks/lake/delta_actions.ts";
import { DeltaLog } from "../../../sinks/lake/delta_log.ts";
import { versionAt } from "../../../sinks/lake/version_at.ts";
import { folderStore, temporaryFolder } from "./lake_fixture.ts";

/** A log whose commits say these times, from version `first` on; null: its writer did not say. */
async function logOf(path: string, times: readonly (number | null)[], first = 0): Promise<DeltaLog> {
  const store = folderStore(path);
  for (const [i, timestamp] of times.entries()) {
    const info = timestamp === null ? {} : { timestamp };
    const key = `t/_delta_log/${String(first + i).padStart(20, "0")}.json`;
    await store.put(key, serializeActions([{ commitInfo: { operation: "WRITE", ...info } }]));
  }
  return new DeltaLog(store, "t/");
}

Deno.test("a time is the newest version made until then; one before the log's begin is refused", async () => {
  await using folder = await temporaryFolder();
  const log = await logOf(folder.path, [1000, 2000, 2000, 3000], 5);
  const found = await Promise.all([1000, 1999, 2000, 2999, 9999].map((time) => versionAt(log, time)));
  assertEquals(found, [5, 5, 7, 7, 8]);
  await assertRejects(() => versionAt(log, 999), UserError, "begins with version 5, of 1970-01-01T00:00:01");
});

Deno.test("a commit that does not say its time has that of its file", async () => {
  await using folder = await temporaryFolder();
  const log = await logOf(folder.path, [1000, null]);
  const [, second] = await log.listCommits();
  assertEquals(await versionAt(log, second!.modifiedAtMs - 1), 0);
  assertEquals(await versionAt(log, second!.modifiedAtMs), 1);
});

Deno.test("property: a version counts as made no earlier than the ones before it, whatever its writer's clock said", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat({ max: 40 }), { minLength: 1, maxLength: 30 }),
      fc.nat({ max: 45 }),
      async (times, at) => {
        await using folder = await temporaryFolder();
        const log = await logOf(folder.path, times);
        const later = times.findIndex((time) => time > at);
        const expected = (later < 0 ? times.length : later) - 1;
        if (expected < 0) await assertRejects(() => versionAt(log, at), UserError);
        else assertEquals(await versionAt(log, at), expected);
      },
    ),
    { numRuns: 40 },
  );
});
