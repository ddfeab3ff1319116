/** Erasing over a whole pipeline: rows, open sessions, dead letters and checkpoints, and that nothing brings them back. */
import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { zstdDecompressSync } from "node:zlib";
import { runCommandLine } from "../../commands/command_line.ts";
import { verifyData } from "../../commands/verify.ts";
import type { Config } from "../../schema/config.ts";
import { UserError } from "../../schema/errors.ts";
import { decodeParquet } from "../../sinks/lake/parquet.ts";
import { openLake } from "../../sinks/lake/open.ts";
import { openProducer } from "../../sources/open.ts";
import { SimulatedFeed } from "../../sources/simulated_feed.ts";
import { Simulator, virtualTimeline } from "../../sources/simulator.ts";
import { systemClock } from "../../actors/clock.ts";
import { recordingContext, withTempDir } from "../support/command_context.ts";
import {
  configOf,
  deltaRows,
  feedEpochByEpoch,
  ledgerOf,
  runToEnd,
  warehouseRows,
} from "../support/pipeline_run.ts";

async function run(env: Record<string, string>, ...args: readonly string[]): Promise<string> {
  const context = recordingContext(env);
  await runCommandLine(args, context);
  return context.printed.join("\n");
}

async function produceInto(env: Record<string, string>): Promise<void> {
  await run(env, "produce", "--events", "6000", "--seed", "3", "--late", "5", "--rate", "max");
}

/** The session ids of the table's rows, and each one's reader. */
async function readersOf(config: Config): Promise<Map<string, number>> {
  return new Map((await deltaRows(config)).map((row) => [String(row.session_id), Number(row.user_id)]));
}

async function* filesBelow(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) yield* filesBelow(`${folder}/${name}`);
    else yield `${folder}/${name}`;
  }
}

/** What a file says, decoded: Parquet as JSON, a checkpoint without its compression, a database also row by row. */
async function textOf(path: string): Promise<string> {
  const bytes = await Deno.readFile(path);
  if (path.endsWith(".db")) {
    // A value may lie on several pages, so the file's bytes alone prove nothing.
    const db = new DatabaseSync(path, { readOnly: true });
    const rows = db.prepare("SELECT batch FROM batches").all() as { batch: Uint8Array }[];
    db.close();
    return [...rows.map(({ batch }) => batch), bytes].map((part) => new TextDecoder("latin1").decode(part))
      .join("\n");
  }
  if (path.endsWith(".parquet")) {
    const table = decodeParquet(bytes, path);
    const shown = (value: unknown) =>
      typeof value === "bigint"
        ? String(value)
        : value instanceof Uint8Array
        ? new TextDecoder().decode(value)
        : value;
    return JSON.stringify(
      table.toArray().map((row) => Object.entries(row.toJSON()).map(([name, value]) => [name, shown(value)])),
      (_, value) => shown(value),
    );
  }
  if (!path.endsWith(".ckpt")) return new TextDecoder().decode(bytes);
  const bodyAt = 24 + new DataView(bytes.buffer).getUint32(16, true);
  const body = zstdDecompressSync(bytes.subarray(bodyAt));
  return new TextDecoder().decode(bytes.subarray(24, bodyAt)) + new TextDecoder("latin1").decode(body);
}

async function filesWith(config: Config, text: string): Promise<string[]> {
  const found: string[] = [];
  const paths = await Array.fromAsync(filesBelow(`${config.dataDir}/lake`));
  const log = [...Deno.readDirSync(config.dataDir)].filter(({ name }) => name.startsWith("events.db"));
  for (const path of [...paths, ...log.map(({ name }) => `${config.dataDir}/${name}`)]) {
    if ((await textOf(path)).includes(text)) found.push(path);
  }
  return found;
}

Deno.test("an erased reader and an erased open session leave the table, the checkpoints and ClickHouse, and a run does not bring them back", () =>
  withTempDir(async (dir) => {
    const whole = { DATA_DIR: `${dir}/whole` };
    await produceInto(whole);
    await runToEnd(configOf(whole));
    const all = await readersOf(configOf(whole));
    const env = { DATA_DIR: `${dir}/data` };
    const config = configOf(env);
    await produceInto(env);
    await runToEnd(config, false);
    const before = await readersOf(config);
    const [closed, reader] = [...before][0]!;
    const open = [...all].find(([id, user]) => !before.has(id) && user !== reader)![0];
    const holding = await filesWith(config, open);
    assert(holding.some((path) => path.endsWith(".ckpt")), "a checkpoint holds it");
    assert(holding.some((path) => path.endsWith("/events.db")), "the log holds it");
    assert((await filesWith(config, `"user_id":${reader},`)).some((path) => path.endsWith("/events.db")));

    const dry = await run(env, "erase", "--user-id", String(reader), "--dry-run");
    assertMatch(dry, /^[1-9]\d* rows in [1-9]\d* of \d+ files and 0 dead letters would go\.$/);
    assertEquals(await readersOf(config), before);

    const erasures = [["--user-id", String(reader)], ["--session-id", open]] as const;
    for (const named of erasures) {
      const error = await assertRejects(() => run(env, "erase", ...named, "--wait", "0ms"), UserError);
      assertStringIncludes((error as UserError).message, "is not over");
    }
    assert(![...(await readersOf(config)).values()].includes(reader), "its rows are gone at once");
    await runToEnd(config, false);
    for (const named of erasures) {
      const report = JSON.parse(await run(env, "erase", ...named, "--wait", "0ms", "--json"));
      assertEquals([report.openPartitions, report.oldCheckpoints, report.rows], [[], 0, 0]);
      assert(report.records > 0, "the log's records are empty");
    }
    await runToEnd(config);

    const left = await readersOf(config);
    const expected = [...all].filter(([id, user]) => user !== reader && id !== open);
    assertEquals([...left].sort(), expected.sort());
    const inClickHouse = (await warehouseRows(config, ["sessions"])).get("sessions")!;
    assertEquals(inClickHouse.length, left.size);
    const { consumed, held } = await ledgerOf(config);
    assertEquals([consumed, held], [6000, 0]);
    const verified = recordingContext();
    await verifyData(config, { json: false, repair: false }, verified);

    await assertRejects(() => run(env, "table", "restore", "--version", "1"), UserError, "would be back");
    await run(env, "table", "vacuum", "--retention", "0ms", "--force-short-retention");
    assertEquals(await filesWith(config, open), []);
    // The change data of the erasure itself stays as long as the log.
    assert((await filesWith(config, closed)).every((path) => path.includes("/_change_data/")));

    // Versions enough for Delta checkpoints and for newer ones of the state, then the log's cleanup 40 days later.
    await feedEpochByEpoch(
      configOf({ ...env, EPOCH_INTERVAL: "100ms" }),
      new SimulatedFeed(new Simulator({ seed: 9, ...virtualTimeline(2_000, systemClock.now()) }), {
        events: 2_000,
      }),
      40 * 1024,
    );
    const clock = { ...systemClock, now: () => systemClock.now() + 40 * 24 * 3_600_000 };
    const { upkeep } = await openLake(config, { now: clock.now, notice: () => {} });
    const cleanup = await upkeep.cleanLog(() =>
      Promise.resolve(new Set(Array.from({ length: 10_000 }, (_, i) => i)))
    );
    assert(cleanup.filesDeleted > 0, "the log is cleaned");
    await runCommandLine(["table", "vacuum"], { ...recordingContext(env), clock });
    assertEquals(await filesWith(config, closed), []);
    assertEquals(await filesWith(config, `"user_id":${reader},`), []);
    const audits: string[] = [];
    for await (const path of filesBelow(`${config.dataDir}/lake/erased`)) audits.push(await textOf(path));
    assertEquals(audits.length, 2);
    assert(audits.every((audit) => JSON.parse(audit).finishedAtMs > 0));
  }));

Deno.test("an erased session's dead letters lose their bytes and stay counted", () =>
  withTempDir(async (dir) => {
    const env = { DATA_DIR: `${dir}/data` };
    const config = configOf(env);
    const producer = await openProducer(config, systemClock);
    const encoder = new TextEncoder();
    await producer.send([
      { key: encoder.encode("someone"), value: encoder.encode('{"session_id": "someone", "user_id": 70}') },
      { key: encoder.encode("other"), value: encoder.encode('{"session_id": "other", "user_id": 7') },
    ]);
    await producer.close();
    await runToEnd(config);
    // The dead letters' file, and the log with both topics.
    assertEquals((await filesWith(config, "someone")).length, 2);
    const report = await assertRejects(
      () => run(env, "erase", "--session-id", "someone", "--wait", "0ms"),
      UserError,
    );
    assertStringIncludes((report as UserError).message, "is not over");
    const log = `${config.dataDir}/events.db`;
    assertEquals(await filesWith(config, "someone"), [log], "a restart may still read it there");
    await runToEnd(config);
    assertMatch(
      await run(env, "erase", "--session-id", "someone", "--wait", "0ms"),
      /did 2 records of the embedded log/,
    );
    assertEquals(await filesWith(config, "someone"), []);
    // The topic is recognized by the newest record that was read, and that may be an empty one now.
    await runToEnd(config);
    assertEquals((await filesWith(config, '\\"user_id\\": 7')).length, 1);
    assertMatch(await run(env, "erase", "--user-id", "7", "--dry-run"), /1 dead letters would go/);
    assertEquals((await ledgerOf(config)).deadLetters, 2);
    const verified = recordingContext();
    await verifyData(config, { json: false, repair: false }, verified);
  }));

Deno.test("exactly one id is to be named", () =>
  withTempDir(async (dir) => {
    const env = { DATA_DIR: `${dir}/data` };
    for (const named of [[], ["--user-id", "7", "--session-id", "s"]]) {
      await assertRejects(() => run(env, "erase", ...named), UserError, "Either --user-id or --session-id");
    }
  }));
