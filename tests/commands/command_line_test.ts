import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { QUERY_NAMES, runCommandLine } from "../../commands/command_line.ts";
import { deadLetterRows } from "../../commands/open_query_service.ts";
import { environmentVariables, secretFileVariable } from "../../schema/config.ts";
import { ColumnBatchBuilder } from "../../schema/column_batch.ts";
import { DEAD_LETTER_KINDS } from "../../schema/epoch.ts";
import { UserError } from "../../schema/errors.ts";
import type { Setting } from "../../schema/setting.ts";
import { ALL_TABLES, SETTINGS } from "../../schema/settings.ts";
import { NAMED_QUERIES } from "../../sinks/warehouse/queries.ts";
import { recordingContext, withTempDir } from "../support/command_context.ts";

async function run(args: string[], env: Record<string, string> = {}) {
  const context = recordingContext(env);
  await runCommandLine(args, context);
  return context;
}

async function refusal(args: string[], env: Record<string, string> = {}): Promise<string> {
  const error = await assertRejects(() => run(args, env).then(() => {}), UserError) as UserError;
  assertEquals(error.exitCode, 2);
  return error.message;
}

Deno.test("Help names every command, and every setting with its variable where it can be used", async () => {
  const main = (await run(["--help"])).printed.join("\n");
  for (const command of ["dev", "produce", "run", "query", "schema", "verify", "erase", "table", "config"]) {
    assertMatch(main, new RegExp(`^  ${command} `, "m"));
  }
  const help = await Promise.all(
    [
      "dev",
      "produce",
      "run",
      "query",
      "verify",
      "erase",
      "config",
      "table history",
      "table show",
      "table changes",
      "table optimize",
      "table vacuum",
      "table retain",
    ]
      .map((name) => run([...name.split(" "), "--help"])),
  );
  const text = help.map(({ printed }) => printed.join("\n")).join("\n");
  const secrets = Object.values<Setting>(SETTINGS).filter(({ secret }) => secret);
  const hidden = new Set(secrets.flatMap((setting) => [setting.env, secretFileVariable(setting)]));
  for (const variable of environmentVariables(...ALL_TABLES)) {
    if (!hidden.has(variable)) {
      assert(text.includes(variable), variable);
    }
  }
  assert(!text.includes("--clickhouse-password"), "a secret is no flag");
});

Deno.test("Wrong commands, flags and values are refused with one sentence", async () => {
  assertMatch(await refusal(["qeury"]), /^Unknown command 'qeury' \(Did you mean query\?\)/);
  assertMatch(await refusal(["run", "--until"]), /^Unknown option '--until'/);
  assertMatch(await refusal(["query"]), /^Missing required argument 'name'/);
  assertMatch(await refusal(["query", "sales"]), /'sales' is invalid .* brand_analytics, .*dead-letters/);
  assertMatch(await refusal(["schema", "events"]), /Allowed choices are event, delta, clickhouse/);
  assertMatch(
    await refusal(["config", "--session-actors", "65"]),
    /^--session-actors must be .*: found "65"\.$/,
  );
  assertMatch(
    await refusal(["config"], { LOG_LEVEL: "loud" }),
    /^LOG_LEVEL must be one of .*: found "loud"\.$/,
  );
  assertMatch(await refusal(["run", "--close-open"]), /^--close-open must come with --until-end/);
});

Deno.test("config shows each effective value and where it came from", async () => {
  const { printed } = await run(["config", "--json", "--epoch-interval", "2s"], { KAFKA_TOPIC: "clicks" });
  const settings: { variable: string; value: string; origin: string }[] = JSON.parse(printed[0]!);
  const origin = (name: string) => {
    const found = settings.find(({ variable }) => variable === name)!;
    return [found.value, found.origin];
  };
  assertEquals(origin("EPOCH_INTERVAL"), ["2s", "flag --epoch-interval"]);
  assertEquals(origin("KAFKA_TOPIC"), ["clicks", "variable KAFKA_TOPIC"]);
  assertEquals(origin("PIPELINE"), ["sessionary", "default"]);
});

Deno.test("The three contracts are printed as other programs read them", async () => {
  const event = JSON.parse((await run(["schema", "event"])).printed[0]!);
  assertEquals(event.required, ["event_id", "session_id", "user_id", "event_type", "timestamp"]);
  const delta = JSON.parse((await run(["schema", "delta"])).printed[0]!);
  assertEquals(delta.type, "struct");
  assertMatch(
    (await run(["schema", "clickhouse"])).printed[0]!,
    /CREATE TABLE IF NOT EXISTS session_metrics/,
  );
});

Deno.test("The command line offers the warehouse's queries and the dead letters", () => {
  assertEquals([...QUERY_NAMES].sort(), [...NAMED_QUERIES.keys(), "dead-letters"].sort());
});

Deno.test("produce fills the log from simulated readers, and writes their truth", () =>
  withTempDir(async (path) => {
    const truth = `${path}/truth.json`;
    const args = ["produce", "--data-dir", path, "--events", "500", "--seed", "7", "--truth", truth];
    const { printed } = await run(args);
    assertMatch(printed[0]!, /^Produced 500 events \(0\.\d MB\) into web_clicks in /);
    assertEquals(printed[1], "The readers' seed was 7.");
    const { seed, events } = JSON.parse(await Deno.readTextFile(truth));
    assertEquals([seed, events], [7, 500]);
  }));

Deno.test("produce replays a file and an access log, and prints the lines that do not parse", () =>
  withTempDir(async (path) => {
    const ndjson = `${path}/events.ndjson`;
    await Deno.writeTextFile(ndjson, '{"session_id":"a"}\n\nnot json\n');
    const file = await run(["produce", "--data-dir", path, "--ndjson", ndjson]);
    assertMatch(file.printed[0]!, /^Produced 3 events/);
    const log = `${path}/access.log`;
    const line = '1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5 "-" "x"';
    await Deno.writeTextFile(log, `${line}\n\u001b[31mred\n`);
    const access = await run(["produce", "--data-dir", path], { PRODUCE_ACCESS_LOG: log });
    assertMatch(access.printed[0]!, /^Produced 1 events/);
    assertEquals(access.printed[1], "1 lines did not parse.");
    assertEquals(access.warned, ["Line 2 does not parse: \\u001b[31mred"]);
  }));

Deno.test("produce refuses flags of another kind of input", async () => {
  assertEquals(
    await refusal(["produce", "--ndjson", "a", "--events", "5"]),
    "--events does not go together with --ndjson: leave one of them out.",
  );
  assertMatch(
    await refusal(["produce", "--ndjson", "a", "--access-log", "b"]),
    /^--access-log does not go together/,
  );
  assertMatch(await refusal(["produce", "--session-key", "host"]), /^--session-key .* simulated readers/);
});

Deno.test("Dead letters show their bytes as text where they are UTF-8, and always in base64", () => {
  const builder = new ColumnBatchBuilder(DEAD_LETTER_KINDS);
  const bytes = new Uint8Array([0xff, 0x00]);
  const letter = ["web_clicks", 3, 41, 1_700_000_000_000, "invalid_utf8", "No UTF-8."] as const;
  builder.push([...letter, null, bytes, 9]);
  builder.push([...letter, new TextEncoder().encode("k"), new TextEncoder().encode("\ufeffé"), 9]);
  const { columns, rows } = deadLetterRows(builder.finish());
  assertEquals(columns.slice(5), ["detail", "key_text", "key_base64", "value_text", "value_base64", "epoch"]);
  assertEquals(rows[0], [
    "web_clicks",
    3,
    41,
    "2023-11-14T22:13:20.000Z",
    "invalid_utf8",
    "No UTF-8.",
    null,
    null,
    null,
    "/wA=",
    9,
  ]);
  assertEquals(rows[1]!.slice(6), ["k", "aw==", "\ufeffé", "77u/w6k=", 9]);
});
