/** The oldest Kafka that is supported: producing, reading, the group and its offsets. All else is tested on the newest. */
import { assert, assertEquals } from "@std/assert";
import { openKafkaProducer } from "../../sources/kafka_producer.ts";
import { openKafkaSource } from "../../sources/kafka_source.ts";
import { record, textsOf } from "../sources/log_support.ts";
import { KafkaBroker, newTopic, OLDEST_KAFKA, SASL_USER } from "./harness/kafka.ts";
import { plainKafka, testConnection } from "./harness/kafka_world.ts";

const PARTITIONS = 3;
const RECORDS = 3_000;
const WAIT_MS = 500;
/** Polls after which the test fails instead of going on for ever. */
const POLLS_MAX = 200;

Deno.test(`Kafka ${OLDEST_KAFKA}: what is produced, with a user by TLS, is read once in order, and its offsets are committed`, async () => {
  await using broker = await KafkaBroker.start(OLDEST_KAFKA);
  const topic = newTopic();
  const secure = { ...testConnection(broker.tlsBrokers), tls: true, tlsCaPath: broker.caPath };
  const sasl = { mechanism: "scram-sha-512", ...SASL_USER } as const;
  const producer = await openKafkaProducer({
    connection: { ...secure, sasl },
    topic,
    partitions: PARTITIONS,
  });
  for (let sent = 0; sent < RECORDS; sent += 300) {
    await producer.send(Array.from({ length: 300 }, (_, i) => record(`key ${i % 20}`, `${sent + i}`)));
  }
  await producer.close();

  const connection = testConnection(broker.brokers);
  const source = await openKafkaSource({ connection, topic, partitions: PARTITIONS, groupId: topic });
  for (let partition = 0; partition < PARTITIONS; partition++) await source.seek(partition, 0);
  const values: number[] = [];
  const positions = new Map<number, number>();
  for (let polls = 0; values.length < RECORDS; polls++) {
    assert(polls < POLLS_MAX, `read ${values.length} of ${RECORDS}`);
    for (const batch of (await source.poll(100_000, WAIT_MS)).batches) {
      assertEquals(batch.offsets[0], positions.get(batch.partition) ?? 0);
      positions.set(batch.partition, batch.nextOffset);
      values.push(...textsOf(batch).map(([, value]) => Number(value)));
    }
  }
  assertEquals(values.sort((a, b) => a - b), Array.from({ length: RECORDS }, (_, i) => i));
  await source.commitOffsets(positions);
  await source.close();

  const admin = plainKafka(broker.brokers).admin();
  await admin.connect();
  const [committed] = await admin.fetchOffsets({ groupId: topic, topics: [topic] });
  await admin.disconnect();
  const found = committed!.partitions.map(({ partition, offset }) => [partition, Number(offset)] as const);
  assertEquals(new Map(found), positions);
});
