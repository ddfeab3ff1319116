import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { runCommandLine } from "../../commands/command_line.ts";
import { UserError } from "../../schema/errors.ts";
import { recordingContext, withTempDir } from "../support/command_context.ts";
import { configOf, runToEnd } from "../support/pipeline_run.ts";
import { LATER_NAMES, laterVersion } from "../support/program_copy.ts";

/** Small epochs, so that late events find their sessions committed by the other version. */
const SMALL = {
  EPOCH_BYTES_MAX: "1MiB",
  MAILBOX_BYTES_MAX: "256KiB",
  REVISION_INTERVAL: "0ms",
  HTTP_PORT: "0",
};

Deno.test("a later version with more columns goes on where this one stopped: both sinks get them, and the books balance", () =>
  withTempDir(async (dir) => {
    const env = { DATA_DIR: `${dir}/data`, ...SMALL };
    const produce = (seed: string) =>
      runCommandLine(
        ["produce", "--events", "6000", "--seed", seed, "--late", "10", "--rate", "max"],
        recordingContext(env),
      );
    await produce("3");
    await runToEnd(configOf(env), false);
    await produce("4");
    const later = await laterVersion();
    try {
      const run = (...args: readonly string[]) => later.run({ ...env, SESSIONIZER: "plain" }, ...args);
      await run("run", "--until-end", "--close-open");
      const history: { operation: string }[] = JSON.parse(await run("table", "history", "--json"));
      assertEquals(history.filter(({ operation }) => operation === "ADD COLUMNS").length, 1);
      assertStringIncludes(await run("verify"), "Everything agrees.");
      assertStringIncludes(await run("verify", "--repair"), "Everything agrees.");
      const sessions: Record<string, unknown>[] = JSON.parse(await run("query", "sessions", "--json"));
      const isNew = ({ categorized_events }: Record<string, unknown>) => categorized_events !== null;
      assert(sessions.some(isNew) && !sessions.every(isNew));
      for (const row of sessions) {
        const [page, events, pages] = LATER_NAMES.map((name) => row[name]);
        if (isNew(row)) assert(Number(events) <= Number(row.total_events));
        else assertEquals([page, pages], ["", "[]"]);
        if (page !== "") assert(JSON.parse(String(pages)).includes(page));
      }
      const asOf: unknown[] = JSON.parse(await run("query", "sessions", "--as-of", "2", "--json"));
      assert(asOf.length > 0 && asOf.length < sessions.length);
    } finally {
      await later.remove();
    }
    // Back to the version before: it says so, and touches nothing.
    await assertRejects(
      () => runToEnd(configOf(env)),
      UserError,
      "was made by a newer version of Sessionary",
    );
  }));
