/** Runs of the whole pipeline, workers and embedded sinks included, for tests that compare what came out. */
import { systemClock } from "../../actors/clock.ts";
import { startPipeline } from "../../actors/supervisor.ts";
import type { PipelineSummary } from "../../actors/protocol.ts";
import { type Cell, cellAt } from "../../schema/column_batch.ts";
import { type Config, resolveConfig } from "../../schema/config.ts";
import { EMPTY_LEDGER, type Ledger } from "../../schema/epoch.ts";
import { openLake } from "../../sinks/lake/open.ts";
import { TABLE_COLUMNS } from "../../sinks/lake/session_files.ts";
import type { RecordFeed } from "../../sources/feed.ts";
import { openProducer } from "../../sources/open.ts";
import { produce } from "../../sources/produce.ts";
import { openQueryService } from "../../commands/open_query_service.ts";

export type Row = Record<string, Cell>;

const COMMITTED_POLL_MS = 5;

/** The configuration that `env` makes. */
export function configOf(env: Record<string, string>): Config {
  return resolveConfig({ flags: {}, env }).config;
}

/** Sends a feed to the configuration's topic, as fast as it goes. */
export async function feedTopic(config: Config, feed: RecordFeed): Promise<number> {
  const producer = await openProducer(config, systemClock);
  try {
    const { now, sleep } = { now: () => systemClock.monotonic(), sleep: systemClock.sleep };
    return (await produce({ feed, producer, rate: "max", now, sleep })).records;
  } finally {
    await producer.close();
  }
}

/** Runs the pipeline and feeds it, and sends no more before what was sent is committed. Returns the records sent. */
export async function feedEpochByEpoch(config: Config, feed: RecordFeed, sendBytes: number): Promise<number> {
  const pipeline = await startPipeline({ config, untilEnd: false, closeOpen: false });
  let [sent, committed, ended] = [0, 0, false];
  pipeline.onEpoch(({ events }) => committed += events);
  pipeline.finished.catch(() => {}).finally(() => ended = true);
  const producer = await openProducer(config, systemClock);
  await produce({
    feed,
    producer: {
      topic: producer.topic,
      send: async (records) => {
        const positions = await producer.send(records);
        sent += records.length;
        while (committed < sent && !ended) await systemClock.sleep(COMMITTED_POLL_MS);
        return positions;
      },
      close: () => producer.close(),
    },
    sendBytes,
    rate: "max",
    now: systemClock.monotonic,
    sleep: systemClock.sleep,
  });
  await producer.close();
  pipeline.drain();
  await pipeline.finished;
  return sent;
}

/** `run --until-end`, with or without `--close-open`. */
export async function runToEnd(config: Config, closeOpen = true): Promise<PipelineSummary> {
  const pipeline = await startPipeline({ config, untilEnd: true, closeOpen });
  return await pipeline.finished;
}

/** The table's rows, in the order of the log. */
export async function deltaRows(config: Config): Promise<Row[]> {
  const { lake } = await openLake(config, { now: systemClock.now, notice: () => {} });
  const batch = await lake.readSessions();
  return Array.from(
    { length: batch.rows },
    (_, row) =>
      Object.fromEntries(TABLE_COLUMNS.map(({ name }, i) => [name, cellAt(batch.columns[i]!, row)])),
  );
}

/** The dead letters that commits name, newest first. */
export async function deadLetters(config: Config): Promise<Row[]> {
  await using queries = await openQueryService(config);
  const { columns, rows } = await queries.run("dead-letters", { limit: 10_000 });
  return rows.map((row) => Object.fromEntries(columns.map((name, i) => [name, row[i] as Cell])));
}

/** What ClickHouse answers to each of the named queries. */
export async function warehouseRows(config: Config, names: readonly string[]): Promise<Map<string, Row[]>> {
  await using queries = await openQueryService(config);
  const answers = new Map<string, Row[]>();
  for (const name of names) {
    const { columns, rows } = await queries.run(name, { limit: 1_000_000 });
    answers.set(
      name,
      rows.map((row) => Object.fromEntries(columns.map((column, i) => [column, row[i] as Cell]))),
    );
  }
  return answers;
}

/** How many barriers a restart has to replay: those that the log has beyond each partition's newest checkpoint. */
export async function barriersToReplay(config: Config): Promise<number> {
  const { lake, checkpoints } = await openLake(config, { now: systemClock.now, notice: () => {} });
  const { positions } = await lake.open();
  const beyond = await Promise.all(positions.map(async ({ partition, barrierNumber }) => {
    const checkpoint = await checkpoints.newest(partition, barrierNumber);
    return barrierNumber - (checkpoint?.header.barrier.number ?? 0);
  }));
  return beyond.reduce((sum, barriers) => sum + barriers, 0);
}

/** The ledger of all partitions, from the newest commit that mentions each. */
export async function ledgerOf(config: Config): Promise<Ledger> {
  const { lake } = await openLake(config, { now: systemClock.now, notice: () => {} });
  await lake.open();
  const newest = new Map<number, Ledger>();
  for (const { record } of await lake.epochsAfter(-1)) {
    for (const { barrier, ledger } of record.partitions) newest.set(barrier.partition, ledger);
  }
  const sum = (name: keyof Ledger) => [...newest.values()].reduce((total, ledger) => total + ledger[name], 0);
  const names = Object.keys(EMPTY_LEDGER) as (keyof Ledger)[];
  return Object.fromEntries(names.map((name) => [name, sum(name)])) as unknown as Ledger;
}
