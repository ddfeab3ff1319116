/**
 * The whole pipeline over a real broker that stops for 30 s, and that is killed while it is produced to: in the end
 * every session is in the Delta table once, as the simulator's truth has it.
 */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { systemClock } from "../../actors/clock.ts";
import { startPipeline } from "../../actors/supervisor.ts";
import type { Config } from "../../schema/config.ts";
import { deadLetterTopicOf, openProducer } from "../../sources/open.ts";
import { produce } from "../../sources/produce.ts";
import { SimulatedFeed } from "../../sources/simulated_feed.ts";
import { Simulator, virtualTimeline } from "../../sources/simulator.ts";
import { record } from "../sources/log_support.ts";
import { withTempDir } from "../support/command_context.ts";
import { configOf, deltaRows, ledgerOf, type Row, runToEnd } from "../support/pipeline_run.ts";
import { byPlace, comparable } from "../support/truth_rows.ts";
import { newTopic, sharedBroker, stopKafka } from "./harness/kafka.ts";
import { plainKafka } from "./harness/kafka_world.ts";
import { until } from "./harness/pipeline_run.ts";

Deno.test.afterAll(stopKafka);

const OUTAGE_MS = 30_000;

function kafkaConfig(dataDir: string, brokers: string): Config {
  const topic = newTopic();
  return configOf({
    DATA_DIR: dataDir,
    EPOCH_INTERVAL: "1s",
    KAFKA_BROKERS: brokers,
    KAFKA_TOPIC: topic,
    KAFKA_GROUP: topic,
    KAFKA_PARTITIONS: "4",
  });
}

/** Produces simulated events with their truth; resolves when all are acknowledged. */
async function feedSimulated(
  config: Config,
  { events, seed, rate, truthPath }: {
    events: number;
    seed: number;
    rate: number | "max";
    truthPath: string;
  },
): Promise<void> {
  const producer = await openProducer(config, systemClock);
  try {
    const simulator = new Simulator({ seed, ...virtualTimeline(events, systemClock.now()) });
    const feed = new SimulatedFeed(simulator, { events, truthPath });
    await produce({ feed, producer, rate, now: systemClock.monotonic, sleep: systemClock.sleep });
  } finally {
    await producer.close();
  }
}

/** Every session of the truth is in the table once, every column right; and the ledger balances. */
async function assertEqualsTruth(config: Config, truthPath: string): Promise<void> {
  const truth = JSON.parse(await Deno.readTextFile(truthPath)) as { records: number; sessions: Row[] };
  const rows = await deltaRows(config);
  assertEquals(rows.length, truth.sessions.length);
  assertEquals(rows.map(comparable).sort(byPlace), truth.sessions.sort(byPlace));
  const ledger = await ledgerOf(config);
  assertEquals([ledger.consumed, ledger.held, ledger.deadLetters], [truth.records, 0, 0]);
  assertEquals(ledger.inSessions + ledger.duplicates, truth.records);
}

Deno.test("a broker that stops for 30 s in mid-stream and starts again costs nothing and repeats nothing", () =>
  withTempDir(async (dir) => {
    const broker = await sharedBroker();
    const config = kafkaConfig(`${dir}/data`, broker.brokers);
    const truthPath = `${dir}/truth.json`;
    const pipeline = await startPipeline({ config, untilEnd: false, closeOpen: false });
    const warnings: string[] = [];
    let epochs = 0;
    let events = 0;
    pipeline.onNotice(({ text }) => warnings.push(text));
    pipeline.onEpoch((report) => {
      epochs++;
      events += report.events;
    });
    const fed = feedSimulated(config, { events: 12_000, seed: 41, rate: 1_000, truthPath });
    await until("three epochs", () => epochs >= 3);
    await broker.stop();
    const before = events;
    await systemClock.sleep(OUTAGE_MS);
    await broker.startAgain();
    await fed;
    await until("events after the outage", () => events > before + 1_000);
    pipeline.drain();
    await pipeline.finished;
    assert(warnings.some((text) => text.startsWith("Kafka")), "the outage was told");
    await runToEnd(config);
    await assertEqualsTruth(config, truthPath);
  }));

Deno.test("a broker that is killed while it is produced to at full speed stores each event once", () =>
  withTempDir(async (dir) => {
    const broker = await sharedBroker();
    const config = kafkaConfig(`${dir}/data`, broker.brokers);
    const truthPath = `${dir}/truth.json`;
    const fed = feedSimulated(config, { events: 100_000, seed: 43, rate: "max", truthPath });
    const admin = plainKafka(broker.brokers).admin();
    await admin.connect();
    await until("a tenth of the events", async () => {
      const offsets = await admin.fetchTopicOffsets(config.topic).catch(() => []);
      return offsets.reduce((sum, { high }) => sum + Number(high), 0) > 10_000;
    });
    await admin.disconnect();
    await broker.kill();
    await broker.startAgain();
    await fed;
    await runToEnd(config);
    await assertEqualsTruth(config, truthPath);
  }));

Deno.test("dead letters go to the .dlq topic with their bytes, their key, and headers that say why and whence", () =>
  withTempDir(async (dir) => {
    const broker = await sharedBroker();
    const config = kafkaConfig(`${dir}/data`, broker.brokers);
    const producer = await openProducer(config, systemClock);
    const [position] = await producer.send([record("a key", "not an event \u0001")]);
    await producer.close();
    await runToEnd(config);
    const printed = ["print.headers=true", "print.key=true", "headers.separator=|"].flatMap((property) => [
      "--property",
      property,
    ]);
    const one = ["--from-beginning", "--max-messages", "1", "--timeout-ms", "30000"];
    const topic = ["--bootstrap-server", broker.brokers, "--topic", deadLetterTopicOf(config.topic)];
    const consumer = "org.apache.kafka.tools.consumer.ConsoleConsumer";
    const shown = await broker.tool(consumer, [...topic, ...one, ...printed]);
    const [headersText, key, value] = shown.printed.trim().split("\t");
    assertEquals([key, value], ["a key", "not an event \u0001"]);
    const headers = new Map(headersText!.split("|").map((pair) => pair.split(/:(.*)/) as [string, string]));
    const { partition, offset } = position!;
    assertEquals(headers.get("reason"), "invalid_json");
    assertEquals(headers.get("id"), `${config.topic}-${partition}-${offset}`);
    assertEquals(
      ["topic", "partition", "offset"].map((name) => headers.get(name)),
      [config.topic, `${partition}`, `${offset}`],
    );
  }));

Deno.test("a pipeline whose brokers are not there does not start, and names KAFKA_BROKERS", () =>
  withTempDir(async (dir) => {
    const config = kafkaConfig(`${dir}/data`, "127.0.0.1:1");
    const start = () => startPipeline({ config, untilEnd: false, closeOpen: false });
    const error = await assertRejects(start) as Error;
    assertStringIncludes(error.message, "Check KAFKA_BROKERS");
  }));
