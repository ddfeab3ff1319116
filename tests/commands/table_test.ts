import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { runCommandLine } from "../../commands/command_line.ts";
import { verifyData } from "../../commands/verify.ts";
import type { Config } from "../../schema/config.ts";
import { UserError } from "../../schema/errors.ts";
import { recordingContext, withTempDir } from "../support/command_context.ts";
import { configOf, ledgerOf, runToEnd, warehouseRows } from "../support/pipeline_run.ts";

const NAMES = ["sessions", "brand_analytics", "page_analytics", "session_summary", "subscription_analytics"];
/** Small epochs, so that late events find their sessions committed. */
const SMALL = { EPOCH_BYTES_MAX: "1MiB", MAILBOX_BYTES_MAX: "256KiB", REVISION_INTERVAL: "0ms" };

/** A command's output. */
async function run(env: Record<string, string>, ...args: readonly string[]): Promise<string> {
  const context = recordingContext(env);
  await runCommandLine(args, context);
  return context.printed.join("\n");
}

async function verified(config: Config): Promise<string> {
  const context = recordingContext();
  await verifyData(config, { json: false, repair: false }, context);
  return context.printed.join("\n");
}

/** What ClickHouse answers, as `query --json` shows it. */
async function answers(config: Config): Promise<Map<string, unknown>> {
  return new Map(await warehouseRows(config, NAMES));
}

Deno.test("history, as-of and restore over a whole pipeline: the past is what ClickHouse said then, and after a restore it says so again", () =>
  withTempDir(async (dir) => {
    const env = { DATA_DIR: `${dir}/data`, ...SMALL };
    const config = configOf(env);
    const seen: { version: number; answers: Map<string, unknown> }[] = [];
    for (const seed of ["3", "4"]) {
      await run(env, "produce", "--events", "9000", "--seed", seed, "--late", "10", "--rate", "max");
      await runToEnd(config, seed === "4");
      const [newest] = JSON.parse(await run(env, "table", "history", "--limit", "1", "--json"));
      seen.push({ version: newest.version, answers: await answers(config) });
    }
    const [early, late] = seen as [typeof seen[number], typeof seen[number]];
    assert(early.version > 1 && late.version > early.version);
    const history = await run(env, "table", "history");
    assertEquals(history.split("\n").length, Math.min(20, late.version + 1) + 1);
    assertMatch(history, /STREAMING UPDATE/);
    const all: { details: Record<string, string> }[] = JSON.parse(
      await run(env, "table", "history", "--json"),
    );
    assert(all.some(({ details }) => details.outputMode === "Update"), "there were revisions");
    for (const name of ["brand_analytics", "session_summary"]) {
      const asked = await run(env, "query", name, "--json", "--as-of", String(early.version));
      assertEquals(JSON.parse(asked), early.answers.get(name), name);
    }
    const shown = JSON.parse(await run(env, "table", "show", "--version", String(early.version), "--json"));
    const made = new Date(shown.commit.timestampMs).toISOString();
    const byTime = JSON.parse(await run(env, "query", "sessions", "--json", "--as-of", made));
    assertEquals(byTime, early.answers.get("sessions"));
    assertEquals(shown.summary.rows, byTime.length);

    const ledger = await ledgerOf(config);
    for (const { version, answers: then } of [early, late]) {
      // No ClickHouse runs meanwhile: it hears of the restore at the next start.
      assertStringIncludes(
        await run(env, "table", "restore", "--version", String(version)),
        `Restored version ${version} as`,
      );
      await assertRejects(() => verified(config), UserError, "Verification found");
      await runToEnd(config);
      assertStringIncludes(await verified(config), "Everything agrees.");
      assertEquals(await answers(config), then);
      assertEquals(await ledgerOf(config), ledger);
    }
    assertStringIncludes(
      await run(env, "table", "restore", "--version", String(late.version)),
      "are those of version",
    );
  }));

Deno.test("changes shows what a revision replaced, from change data, and what an epoch added, from its files", () =>
  withTempDir(async (dir) => {
    const env = { DATA_DIR: `${dir}/data`, ...SMALL };
    await run(env, "produce", "--events", "15000", "--seed", "5", "--late", "10", "--rate", "max");
    await runToEnd(configOf(env));
    const changes: Record<string, unknown>[] = JSON.parse(
      await run(env, "table", "changes", "--from", "0", "--json"),
    );
    const types = new Set(changes.map(({ _change_type }) => _change_type));
    assertEquals([...types].sort(), ["insert", "update_postimage", "update_preimage"]);
    const sums = new Map<string, number>();
    for (const { _change_type: type, _commit_version: version, _commit_timestamp: time, ...row } of changes) {
      assert(Number.isInteger(version) && typeof time === "string");
      const text = JSON.stringify(row);
      sums.set(text, (sums.get(text) ?? 0) + (type === "update_preimage" || type === "delete" ? -1 : 1));
    }
    const rows = [...sums].filter(([, count]) => count !== 0);
    assert(rows.every(([, count]) => count === 1));
    const summary = JSON.parse(await run(env, "table", "show", "--json")).summary;
    assertEquals(rows.length, summary.rows);
    const one = await run(env, "table", "changes", "--from", "1", "--to", "1", "--limit", "2");
    assertEquals(one.split("\n").length, 3);
    assertMatch(one, /^_change_type +_commit_version/);
  }));

Deno.test("versions and times that the table does not have are refused with a sentence", () =>
  withTempDir(async (dir) => {
    const env = { DATA_DIR: `${dir}/data` };
    const refusal = async (...args: readonly string[]) =>
      (await assertRejects(() => run(env, ...args), UserError) as UserError).message;
    assertMatch(await refusal("table", "restore", "--version", "0"), /^There is no Delta table/);
    await runToEnd(configOf(env));
    assertMatch(await refusal("table", "show", "--version", "99"), /its newest is \d+\.$/);
    assertMatch(await refusal("query", "sessions", "--as-of", "99"), /its newest is \d+\.$/);
    assertMatch(
      await refusal("query", "sessions", "--as-of", "2001-01-01"),
      /must have a version from 2001-01-01T00:00:00.000Z or earlier, and its log begins with version 0, of/,
    );
    assertMatch(await refusal("query", "sessions", "--as-of", "yesterday"), /must be a version's number/);
    assertMatch(await refusal("table", "show", "--timestamp", "2024-02-31"), /that exist/);
    assertMatch(
      await refusal("table", "show", "--version", "0", "--timestamp", "2024-02-01"),
      /do not go together/,
    );
    assertMatch(await refusal("table", "restore"), /^--version or --timestamp must say/);
    assertMatch(await refusal("table", "changes"), /^--from must name/);
    assertMatch(await refusal("table", "changes", "--from", "5", "--to", "4"), /found 5 to 4\.$/);
    assertEquals(
      JSON.parse(await run(env, "table", "show", "--timestamp", "2100-01-01", "--json")).summary.version,
      JSON.parse(await run(env, "table", "show", "--json")).summary.version,
    );
  }));
