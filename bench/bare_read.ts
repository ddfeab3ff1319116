/** Reading a topic and throwing it away: the ceiling that the job stands beside. */
import { systemClock } from "../actors/clock.ts";
import { openKafka } from "../sources/kafka_client.ts";
import { readEvents } from "./read_events.ts";
import { configOf, type Env } from "./world.ts";

const MAX_BYTES = 16 * 1024 * 1024;

/**
 * Reads the topic of `env` to its `records`, values thrown away: by a bare kafkajs consumer over Kafka, else by the
 * embedded log's source. Events a second.
 */
export async function bareRead(env: Env, records: number): Promise<number> {
  return env.KAFKA_BROKERS === undefined ? await readEmbedded(env, records) : await readKafka(env, records);
}

async function readEmbedded(env: Env, records: number): Promise<number> {
  const read = await readEvents(configOf(env));
  if (read.records !== records) {
    throw new Error(`The log must hold ${records} records: it holds ${read.records}.`);
  }
  return read.rate;
}

/** From its first batch on, so that joining the group is no part of it. */
async function readKafka(env: Env, records: number): Promise<number> {
  const { topic, kafkaBrokers } = configOf(env);
  const { now, sleep } = systemClock;
  const kafka = await openKafka({
    brokers: kafkaBrokers!.split(","),
    clientId: "bench",
    tls: false,
    tlsCaPath: null,
    sasl: null,
    now,
    sleep,
    notice: () => {},
  });
  const consumer = kafka.consumer({ groupId: `bench-${crypto.randomUUID()}`, maxBytes: MAX_BYTES });
  await consumer.connect();
  try {
    await consumer.subscribe({ topics: [topic], fromBeginning: true });
    let [read, first, firstRead] = [0, 0, 0];
    const all = Promise.withResolvers<void>();
    await consumer.run({
      autoCommit: false,
      partitionsConsumedConcurrently: 8,
      eachBatch: ({ batch }) => {
        read += batch.messages.length;
        if (first === 0) [first, firstRead] = [systemClock.monotonic(), read];
        if (read >= records) all.resolve();
        return Promise.resolve();
      },
    });
    await all.promise;
    return 1_000 * (read - firstRead) / (systemClock.monotonic() - first);
  } finally {
    await consumer.disconnect();
  }
}
