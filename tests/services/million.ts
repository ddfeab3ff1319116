/**
 * `deno task test:million [EVENTS]`: a million events over real services, produced by this program and by Kafka's own Java
 * producer with each compression. Each time delta-rs must find in the bucket what the truth says, and `verify` that
 * ClickHouse agrees. It takes minutes, so it is no part of `test:services`.
 */
import { systemClock } from "../../actors/clock.ts";
import { openKafkaProducer } from "../../sources/kafka_producer.ts";
import { openKafkaSource } from "../../sources/kafka_source.ts";
import { keyAt, valueAt } from "../../sources/source.ts";
import { runDeltaRs } from "./harness/delta_rs.ts";
import { newTopic } from "./harness/kafka.ts";
import { testConnection } from "./harness/kafka_world.ts";
import { runProgram } from "./harness/program.ts";
import { type PipelineEnv, Stack } from "./harness/stack.ts";

const EVENTS = Number(Deno.args[0] ?? 1_000_000);
const PARTITIONS = 8;
const POLL_BYTES = 4 * 1024 * 1024;
const COMPARE = new URL("../oracle/compare_truth.py", import.meta.url).pathname;
const SEPARATOR = "|";
const [SEPARATOR_BYTE, LINE_BREAK] = [SEPARATOR.charCodeAt(0), 10];

async function timed<T>(what: string, work: () => Promise<T>): Promise<T> {
  const start = systemClock.monotonic();
  const result = await work();
  console.log(`  ${what}: ${((systemClock.monotonic() - start) / 1_000).toFixed(1)} s`);
  return result;
}

/** Writes a topic's records as lines for the console producer, each partition's in their order. */
async function writeLines(brokers: string, topic: string, path: string): Promise<void> {
  const connection = testConnection(brokers);
  const source = await openKafkaSource({ connection, topic, partitions: PARTITIONS, groupId: newTopic() });
  using file = await Deno.open(path, { write: true, createNew: true });
  const writer = file.writable.getWriter();
  let left = 0;
  for (const { partition, start, end } of await source.ranges()) {
    await source.seek(partition, start);
    left += end - start;
  }
  while (left > 0) {
    for (const batch of (await source.poll(POLL_BYTES, 1_000)).batches) {
      left -= batch.count;
      const bytes = new Uint8Array(batch.keys.length + batch.values.length + 2 * batch.count);
      let at = 0;
      for (let i = 0; i < batch.count; i++) {
        for (
          const [text, end] of [[keyAt(batch, i)!, SEPARATOR_BYTE], [valueAt(batch, i)!, LINE_BREAK]] as const
        ) {
          bytes.set(text, at);
          at += text.length;
          bytes[at++] = end;
        }
      }
      await writer.write(bytes);
    }
  }
  await source.close();
}

/** Lets Kafka's console producer send the lines to a new topic: same keys, same partitions, same order in each. */
async function produceWithJava({ broker }: Stack, path: string, compression: string): Promise<string> {
  const topic = newTopic();
  const connection = testConnection(broker.brokers);
  await (await openKafkaProducer({ connection, topic, partitions: PARTITIONS })).close(); // makes the topic
  const to = ["--bootstrap-server", broker.brokers, "--topic", topic, "--compression-codec", compression];
  const keys = ["--property", "parse.key=true", "--property", `key.separator=${SEPARATOR}`];
  const patience = ["--max-block-ms", "300000", "--producer-property", "delivery.timeout.ms=300000"];
  const sending = ["--request-timeout-ms", "60000", ...patience, "--batch-size", "65536"];
  const file = await Deno.open(path);
  await broker.tool(broker.consoleProducer, [...to, ...keys, ...sending], file.readable);
  return topic;
}

/** Runs the pipeline over a topic, and compares both of its sinks with the truth. */
async function runAndCompare(stack: Stack, env: PipelineEnv, truth: string): Promise<void> {
  await timed("run", () => runProgram(["run", "--until-end", "--close-open"], env));
  const compared = await timed(
    "comparison",
    () => runDeltaRs(COMPARE, [stack.tableUri(env), truth], stack.minio.credentials),
  );
  console.log(`  ${compared.trim().split("\n").at(-1)}`);
  const verified = await timed("verify", () => runProgram(["verify"], env));
  console.log(`  ${verified.trim().split("\n").at(-1)}`);
}

const folder = await Deno.makeTempDir();
try {
  await using stack = await Stack.start();
  const truth = `${folder}/truth.json`;
  const own: PipelineEnv = { ...stack.newPipeline(`${folder}/own`), KAFKA_PARTITIONS: String(PARTITIONS) };
  console.log(`${EVENTS} events, by produce --rate max`);
  const production = [
    "produce",
    "--events",
    String(EVENTS),
    "--seed",
    "7",
    "--rate",
    "max",
    "--truth",
    truth,
  ];
  await timed("production", () => runProgram(production, own));
  await runAndCompare(stack, own, truth);
  const lines = `${folder}/events.txt`;
  await writeLines(stack.broker.brokers, own.KAFKA_TOPIC!, lines);
  for (const compression of ["none", "gzip", "snappy", "lz4", "zstd"]) {
    console.log(`The same events, by Kafka's Java producer with compression ${compression}`);
    const topic = await timed("production", () => produceWithJava(stack, lines, compression));
    await runAndCompare(stack, stack.newPipeline(`${folder}/${compression}`, topic), truth);
  }
} finally {
  await Deno.remove(folder, { recursive: true });
}
