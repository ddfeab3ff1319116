/**
 * A table with everything that can happen to it (revisions, OPTIMIZE, restores, columns of a later version), as others read
 * it: delta-rs and ClickHouse's Delta reader find the rows of every version that our own reader finds, Spark those of
 * eleven versions and more, and `session_metrics` holds those of the newest.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { systemClock } from "../../actors/clock.ts";
import { startEmbeddedWarehouse } from "../../actors/supervisor.ts";
import { runCommandLine } from "../../commands/command_line.ts";
import { cellAt } from "../../schema/column_batch.ts";
import type { Config } from "../../schema/config.ts";
import { dataPaths } from "../../schema/data_paths.ts";
import { openLake } from "../../sinks/lake/open.ts";
import { TABLE_COLUMNS } from "../../sinks/lake/session_files.ts";
import { openAccess } from "../../sinks/warehouse/open.ts";
import { SimulatedFeed } from "../../sources/simulated_feed.ts";
import { Simulator, virtualTimeline } from "../../sources/simulator.ts";
import { recordingContext, withTempDir } from "../support/command_context.ts";
import { configOf, feedEpochByEpoch, feedTopic } from "../support/pipeline_run.ts";
import { LATER_NAMES, laterVersion } from "../support/program_copy.ts";
import { runDeltaRs } from "./harness/delta_rs.ts";
import { runSpark } from "./harness/spark.ts";

const EVENTS = 1_500;
/** 100 s of event time: a late event comes after the epoch that its session left with. */
const SEND_BYTES = 210 * 1024;
const END_MS = Date.UTC(2024, 5, 1, 0, 8);
const READER = new URL("readers/delta_rs_rows.py", import.meta.url).pathname;
const SPARK_READER = new URL("readers/spark_rows.py", import.meta.url).pathname;
/** Besides the newest. */
const SPARK_VERSIONS = 10;

type Row = Record<string, unknown>;

/** A value with the names in objects, however deep, in their order. */
function ordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(ordered);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([name, item]) => [name, ordered(item)]));
}

/** Rows as text, without the later version's columns. */
function texts(rows: readonly Row[]): string[] {
  return rows.map((row) => {
    const known = Object.entries(row).filter(([name]) => !LATER_NAMES.some((later) => later === name));
    return JSON.stringify(ordered(Object.fromEntries(known)));
  }).sort();
}

async function ourRows(config: Config, version: number): Promise<Row[]> {
  const { lake } = await openLake(config, { now: systemClock.now, notice: () => {} });
  const { rows, columns } = await lake.readSessions(version);
  return Array.from(
    { length: rows },
    (_, row) => Object.fromEntries(TABLE_COLUMNS.map(({ name }, i) => [name, cellAt(columns[i]!, row)])),
  );
}

const COMPARED = ["source_partition", "first_offset", "session_id", "brand", "total_events", "revision"];

/** Rows at each version as ClickHouse's own Delta reader finds them, the columns that are compared. */
async function clickhouseRows(config: Config, newest: number): Promise<string[][]> {
  const before = Deno.cwd();
  // Its local reader takes tables below the working directory only.
  Deno.chdir(config.dataDir);
  const embedded = await startEmbeddedWarehouse(dataPaths(config.dataDir).warehouse);
  const { client } = openAccess(config, embedded.connect());
  try {
    const tables: string[][] = [];
    for (let version = 0; version <= newest; version++) {
      const result = await client.query({
        query: `SELECT ${COMPARED.join(", ")} FROM deltaLakeLocal('${await Deno.realPath(
          config.dataDir,
        )}/lake/sessions')
         SETTINGS delta_lake_snapshot_version = ${version}, output_format_json_quote_64bit_integers = 0`,
        format: "JSONCompactEachRow",
      });
      tables.push((await result.json() as unknown[]).map((row) => JSON.stringify(row)).sort());
    }
    return tables;
  } finally {
    await client.close();
    await embedded.close();
    Deno.chdir(before);
  }
}

async function linesOf(file: string): Promise<Row[]> {
  return (await Deno.readTextFile(file)).split("\n").slice(0, -1).map((line) => JSON.parse(line));
}

/** Compares what Spark reads with what delta-rs has read, at ten versions, at the newest and at `others`; how many they are. */
async function assertSparkReads(
  { dataDir }: Config,
  dir: string,
  newest: number,
  others: readonly number[],
): Promise<number> {
  const sampled = Array.from({ length: SPARK_VERSIONS }, (_, i) => Math.floor(i * newest / SPARK_VERSIONS));
  const versions = [...new Set([...sampled, ...others, newest])].map(String);
  await Deno.mkdir(`${dir}/spark`);
  await runSpark(SPARK_READER, [`${dataDir}/lake/sessions`, `${dir}/out`, ...versions], `${dir}/spark`);
  for (const version of versions) {
    assertEquals(
      await linesOf(`${dir}/out/spark-${version}.jsonl`),
      await linesOf(`${dir}/out/delta-rs-${version}.jsonl`),
      `version ${version}, by Spark`,
    );
  }
  return versions.length;
}

Deno.test("delta-rs reads every version of a table that was restored, packed and given columns, and ClickHouse has the newest", () =>
  withTempDir(async (dir) => {
    const env = {
      DATA_DIR: `${dir}/data`,
      EPOCH_INTERVAL: "500ms",
      REVISION_INTERVAL: "500ms",
      KAFKA_PARTITIONS: "2",
      HTTP_PORT: "0",
    };
    const config = configOf(env);
    const feed = (seed: number) =>
      new SimulatedFeed(new Simulator({ seed, ...virtualTimeline(EVENTS, END_MS), late: 0.05 }), {
        events: EVENTS,
      });
    const table = async (...args: readonly string[]) => {
      const context = recordingContext(env);
      // As if it were later: OPTIMIZE leaves files alone that may be revised.
      const clock = { ...systemClock, now: () => systemClock.now() + 3_600_000 };
      await runCommandLine(["table", ...args], { ...context, clock });
      return context.printed.join("\n");
    };
    await feedEpochByEpoch(config, feed(23), SEND_BYTES);
    const before = JSON.parse(await table("show", "--json")).summary;
    await table("optimize");
    // Past the OPTIMIZE: the small files come back, the large ones go.
    await table("restore", "--version", String(Math.floor(before.version / 2) + 1));
    await feedTopic(config, feed(24));
    const later = await laterVersion();
    try {
      await later.run({ ...env, SESSIONIZER: "plain" }, "run", "--until-end", "--close-open");
      await later.run(env, "table", "restore", "--version", String(before.version));
      await later.run({ ...env, SESSIONIZER: "plain" }, "run", "--until-end");
      assertStringIncludes(await later.run(env, "verify"), "Everything agrees.");
    } finally {
      await later.remove();
    }
    await Deno.mkdir(`${dir}/out`);
    const newest = Number(await runDeltaRs(READER, [`${config.dataDir}/lake/sessions`, `${dir}/out`], null));
    const operations: { version: number; operation: string }[] = JSON.parse(await table("history", "--json"));
    const of = (name: string) =>
      operations.filter(({ operation }) => operation === name).map(({ version }) => version);
    assertEquals([of("RESTORE").length, of("ADD COLUMNS").length], [2, 1]);
    assert(of("OPTIMIZE").length > 0);
    const [added] = of("ADD COLUMNS");
    const byClickHouse = await clickhouseRows(config, newest);
    for (let version = 0; version <= newest; version++) {
      const compared = (await ourRows(config, version)).map((row) =>
        JSON.stringify(COMPARED.map((name) => row[name]))
      );
      assertEquals(byClickHouse[version], compared.sort(), `version ${version}, by ClickHouse`);
      const read = await linesOf(`${dir}/out/delta-rs-${version}.jsonl`);
      assertEquals(read.length, (await ourRows(config, version)).length, `rows of version ${version}`);
      assertEquals(texts(read), texts(await ourRows(config, version)), `version ${version}`);
      for (const row of read) assertEquals(LATER_NAMES.every((name) => name in row), version >= added!);
    }
    // What is on both sides of each turn that the table took.
    const turns = ["RESTORE", "ADD COLUMNS", "OPTIMIZE"].flatMap(of).flatMap((
      version,
    ) => [version - 1, version]);
    const bySpark = await assertSparkReads(config, dir, newest, turns);
    const rows = await linesOf(`${dir}/out/delta-rs-${newest - 1}.jsonl`);
    assert(
      rows.some(({ pages_seen }) => pages_seen !== null) &&
        rows.some(({ pages_seen }) => pages_seen === null),
    );
    // What the changes say, summed up, is the table.
    const sums = new Map<string, number>();
    for (
      const { _change_type: type, _commit_version: _, ...row } of await linesOf(`${dir}/out/changes.jsonl`)
    ) {
      const [text] = texts([row]);
      sums.set(text!, (sums.get(text!) ?? 0) + (type === "insert" || type === "update_postimage" ? 1 : -1));
    }
    const left = [...sums].filter(([, count]) => count !== 0);
    assertEquals(left.map(([text]) => text).sort(), texts(await ourRows(config, newest)));
    assert(left.every(([, count]) => count === 1));
    console.log(
      `${newest + 1} versions, ${bySpark} of them by Spark, ${left.length} rows at the newest`,
    );
  }));
