/** Reading and producing on a real broker, beyond what the contracts ask. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { systemClock } from "../../actors/clock.ts";
import { SourceError } from "../../schema/errors.ts";
import type { KafkaConnection } from "../../sources/kafka_client.ts";
import { openKafkaProducer } from "../../sources/kafka_producer.ts";
import { openKafkaSource } from "../../sources/kafka_source.ts";
import type { Source } from "../../sources/source.ts";
import { record, textsOf } from "../sources/log_support.ts";
import { type KafkaBroker, newTopic, SASL_USER, sharedBroker, stopKafka } from "./harness/kafka.ts";
import { KafkaProxy } from "./harness/kafka_proxy.ts";
import { kafkaWorld, plainKafka, testConnection } from "./harness/kafka_world.ts";

Deno.test.afterAll(stopKafka);

const WAIT_MS = 500;
/** Polls after which a test fails instead of going on for ever. */
const POLLS_MAX = 200;

/** All values of partition 0 from `from` on, with the position after them; ends when the source says that it is at the end. */
async function valuesOf(source: Source, from = 0): Promise<{ values: (string | null)[]; position: number }> {
  await source.seek(0, from);
  const values: (string | null)[] = [];
  let position = from;
  for (let polls = 0;; polls++) {
    assert(polls < POLLS_MAX, `read up to ${position}`);
    const { batches, atEnd } = await source.poll(4_000_000, WAIT_MS);
    for (const batch of batches) {
      values.push(...textsOf(batch).map(([, value]) => value));
      position = batch.nextOffset;
    }
    if (batches.length === 0 && atEnd.includes(0)) return { values, position };
  }
}

/** What Kafka's own console producer makes of lines of headers, key and value. */
async function produceWithJava(
  broker: KafkaBroker,
  topic: string,
  lines: Iterable<string>,
  options: readonly string[] = [],
): Promise<void> {
  const reader = [
    "parse.key=true",
    "key.separator=|",
    "parse.headers=true",
    "headers.delimiter=#",
    "null.marker=NULL",
  ];
  const properties = reader.flatMap((property) => ["--property", property]);
  const stdin = new TextEncoder().encode([...lines].join("\n") + "\n");
  await broker.produce(topic, stdin, [...options, ...properties]);
}

for (const compression of ["none", "gzip", "snappy", "lz4", "zstd"]) {
  Deno.test(`what Java produced with compression ${compression} is read right: keys, values, nulls, headers left out`, async () => {
    const broker = await sharedBroker();
    await using world = await kafkaWorld(1);
    const lines = Array.from({ length: 3_000 }, (_, i) => {
      const value = i % 10 === 0 ? "NULL" : `value ${i} ${"ä".repeat(i % 200)}`;
      return `a:1,b:${i}#${i % 7 === 0 ? "NULL" : `key ${i}`}|${value}`;
    });
    await produceWithJava(broker, world.topic, lines, ["--compression-codec", compression]);
    assertEquals(await world.source.ranges(), [{ partition: 0, start: 0, end: lines.length }]);
    await world.source.seek(0, 0);
    const texts: [string | null, string | null][] = [];
    for (let polls = 0; texts.length < lines.length; polls++) {
      assert(polls < POLLS_MAX, `read ${texts.length} of ${lines.length}`);
      const { batches } = await world.source.poll(50_000, WAIT_MS);
      for (const batch of batches) texts.push(...textsOf(batch));
    }
    const expected = lines.map((line) =>
      line.split("#")[1]!.split("|").map((text) => text === "NULL" ? null : text)
    );
    assertEquals(texts, expected as [string | null, string | null][]);
    assertEquals((await world.source.recordAt(0, 1_234))?.offsets[0], 1_234);
  });
}

Deno.test("a record batch of some 150,000 records is read whole, in bounded polls", async () => {
  const broker = await sharedBroker();
  await using world = await kafkaWorld(1);
  // Twice as many come near the broker's limit of 1 MB for a batch, and its producer fails when it is to divide one.
  const lines = Array.from({ length: 150_000 }, (_, i) => `h:1#k|${i}`);
  const one = [
    "--batch-size",
    "33554432",
    "--timeout",
    "5000",
    "--producer-property",
    "max.request.size=67108864",
  ];
  await produceWithJava(broker, world.topic, lines, ["--compression-codec", "zstd", ...one]);
  assertEquals(await world.source.ranges(), [{ partition: 0, start: 0, end: lines.length }]);
  await world.source.seek(0, 0);
  let [count, polls] = [0, 0];
  const times = new Set<number>();
  for (; count < lines.length; polls++) {
    assert(polls < POLLS_MAX, `read ${count} of ${lines.length}`);
    for (const batch of (await world.source.poll(250_000, WAIT_MS)).batches) {
      assertEquals(textsOf(batch)[0], ["k", `${count}`]);
      count += batch.count;
      for (const time of batch.timestamps) times.add(time);
    }
  }
  assertEquals(count, lines.length);
  // One append, so one batch; a busy machine's producer needs more than its --timeout to read its input.
  assert(times.size <= 3, `${times.size} appends`);
  assert(polls > times.size);
});

Deno.test("transactions: what was committed is read, what was aborted and the markers are passed, up to the end", async () => {
  await using world = await kafkaWorld(1);
  const producer = plainKafka(world.brokers).producer({
    transactionalId: crypto.randomUUID(),
    idempotent: true,
    maxInFlightRequests: 1,
  });
  await producer.connect();
  const expected: string[] = [];
  for (let round = 0; round < 6; round++) {
    const transaction = await producer.transaction();
    const value = `round ${round}`;
    for (let i = 0; i < 3; i++) {
      await transaction.send({ topic: world.topic, messages: [{ key: "k", value }] });
    }
    if (round % 2 === 0) {
      await transaction.commit();
      expected.push(value, value, value);
    } else {
      await transaction.abort();
    }
  }
  await producer.disconnect();
  const { values, position } = await valuesOf(world.source);
  assertEquals(values, expected);
  assertEquals(position, 24); // six times three records and a marker
  assertEquals((await world.source.ranges())[0]!.end, 24);
  assertEquals(await world.source.recordAt(0, 3), null); // a marker
  assertEquals(await world.source.recordAt(0, 5), null); // aborted
  assertEquals((await world.source.recordAt(0, 8))?.offsets[0], 8);
  assertEquals(await valuesOf(world.source, 20), { values: [], position: 24 });
});

Deno.test("a new topic has the brokers' timestamps; one that has not is read with a warning", async () => {
  await using world = await kafkaWorld(1);
  const before = Date.now();
  await world.producer.send([record("k", "v")]);
  const found = await world.source.recordAt(0, 0);
  assert(Math.abs(found!.timestamps[0]! - before) < 60_000);
  assertEquals(world.notices, []);

  const topic = newTopic();
  const admin = plainKafka(world.brokers).admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic, numPartitions: 2 }] });
  await admin.disconnect();
  const notices: string[] = [];
  const connection = testConnection(world.brokers, notices);
  const producer = await openKafkaProducer({ connection, topic, partitions: 8 });
  const partitions = (await producer.send(Array.from({ length: 50 }, (_, i) => record(`${i}`, "v"))))
    .map(({ partition }) => partition);
  await producer.close();
  assertEquals(new Set(partitions), new Set([0, 1]));
  assertMatch(notices[0]!, /keeps its producers' timestamps \(message\.timestamp\.type=CreateTime\)/);
});

Deno.test("committed offsets are there for lag tools once the source is closed", async () => {
  const { brokers } = await sharedBroker();
  const topic = newTopic();
  const connection = testConnection(brokers);
  const source = await openKafkaSource({ connection, topic, partitions: 2, groupId: topic });
  for (let offset = 1; offset <= 5; offset++) {
    await source.commitOffsets(new Map([[0, offset], [1, 2 * offset]]));
  }
  await source.close();
  const admin = plainKafka(brokers).admin();
  await admin.connect();
  const [committed] = await admin.fetchOffsets({ groupId: topic, topics: [topic] });
  await admin.disconnect();
  assertEquals(committed!.partitions.map(({ offset }) => offset).sort(), ["10", "5"]);
});

Deno.test("a topic that is deleted stops its reader, and the sentence names KAFKA_TOPIC", async () => {
  await using world = await kafkaWorld(1);
  await world.source.seek(0, 0);
  const admin = plainKafka(world.brokers).admin();
  await admin.connect();
  await admin.deleteTopics({ topics: [world.topic] });
  await admin.disconnect();
  const error = await assertRejects(async () => {
    for (let polls = 0; polls < 60; polls++) await world.source.poll(1_000, WAIT_MS);
  }, SourceError);
  assertMatch((error as Error).message, /brokers no longer have it.*KAFKA_TOPIC/);
});

/** What opening a topic over `connection` is refused with. */
async function refusal(connection: KafkaConnection): Promise<string> {
  const open = () => openKafkaSource({ connection, topic: newTopic(), partitions: 1, groupId: "refused" });
  return (await assertRejects(open, SourceError) as Error).message;
}

Deno.test("SASL with each mechanism, plain or by TLS, reads and produces", async () => {
  const broker = await sharedBroker();
  const ways = [
    { mechanism: "plain", tls: false },
    { mechanism: "scram-sha-256", tls: false },
    { mechanism: "scram-sha-512", tls: true },
  ] as const;
  for (const { mechanism, tls } of ways) {
    const connection: KafkaConnection = {
      ...testConnection(tls ? broker.tlsBrokers : broker.saslBrokers),
      tls,
      tlsCaPath: tls ? broker.caPath : null,
      sasl: { mechanism, ...SASL_USER },
    };
    const topic = newTopic();
    const producer = await openKafkaProducer({ connection, topic, partitions: 1 });
    await producer.send([record("k", mechanism)]);
    await producer.close();
    const source = await openKafkaSource({ connection, topic, partitions: 1, groupId: topic });
    assertEquals((await valuesOf(source)).values, [mechanism]);
    await source.close();
  }
});

Deno.test("a wrong password, an unknown authority, a missing file and a wrong address are each refused by name", async () => {
  const broker = await sharedBroker();
  const wrong = { mechanism: "scram-sha-512", ...SASL_USER, password: "wrong" } as const;
  const plain = { ...wrong, mechanism: "plain" } as const;
  for (const sasl of [wrong, plain]) {
    const message = await refusal({ ...testConnection(broker.saslBrokers), sasl });
    assertMatch(message, /Check KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD\.$/);
    assert(!message.includes("wrong"), message);
  }
  assertMatch(await refusal(testConnection(broker.saslBrokers)), /set KAFKA_TLS or KAFKA_SASL_MECHANISM\.$/);
  const tls = { ...testConnection(broker.tlsBrokers), tls: true, sasl: { ...wrong, ...SASL_USER } };
  assertMatch(await refusal(tls), /KAFKA_TLS/);
  assertMatch(await refusal({ ...tls, tlsCaPath: "/nowhere/ca.pem" }), /^KAFKA_TLS_CA must be a PEM file/);
  assertMatch(
    await refusal(testConnection("127.0.0.1:1")),
    /on Kafka at 127\.0\.0\.1:1 failed: .*Check KAFKA_BROKERS/,
  );
});

Deno.test("an answer that is lost costs nothing: each record is stored once, in order", async () => {
  const broker = await sharedBroker();
  const { proxy: port, broker: brokerPort } = broker.proxyPorts;
  await using proxy = new KafkaProxy(port, brokerPort);
  const topic = newTopic();
  const connection = testConnection(`127.0.0.1:${port}`);
  const producer = await openKafkaProducer({ connection, topic, partitions: 1 });
  const expected: string[] = [];
  for (let send = 0; send < 6; send++) {
    // One lost answer is within kafkajs's retries, five are beyond them.
    proxy.loseProduceAnswers(send === 2 ? 1 : send === 4 ? 5 : 0);
    const values = Array.from({ length: 300 }, (_, i) => `${send}: ${i}`);
    const positions = await producer.send(values.map((value) => record("k", value)));
    assertEquals(positions[0], { partition: 0, offset: send * 300 });
    expected.push(...values);
  }
  await producer.close();
  assertEquals(proxy.lost, 6);
  const reader = { connection: testConnection(broker.brokers), topic, partitions: 1, groupId: topic };
  const source = await openKafkaSource(reader);
  assertEquals((await valuesOf(source)).values, expected);
  await source.close();
});

Deno.test("a record that the brokers find too large is refused by name, and nothing is sent after it", async () => {
  await using world = await kafkaWorld(1);
  const bytes = crypto.getRandomValues(new Uint8Array(65_536));
  const large = new Uint8Array(3_000_000);
  for (let at = 0; at < large.length; at += 65_000) large.set(bytes.subarray(0, large.length - at), at);
  for (let i = 0; i < large.length; i++) large[i]! ^= i >> 8;
  const error = await assertRejects(() => world.producer.send([{ key: null, value: large }]), SourceError);
  assertMatch((error as Error).message, /raise max\.message\.bytes/);
  await assertRejects(() => world.producer.send([record("k", "v")]), SourceError, "max.message.bytes");
});

for (const how of ["stop", "kill"] as const) {
  Deno.test(`a broker's ${how} and restart in the middle of producing and reading loses and repeats nothing`, async () => {
    const broker = await sharedBroker();
    await using world = await kafkaWorld(3);
    const [SENDS, PER_SEND] = [60, 300];
    const producing = (async () => {
      for (let send = 0; send < SENDS; send++) {
        const records = Array.from(
          { length: PER_SEND },
          (_, i) => record(`key ${i % 20}`, `${send * PER_SEND + i}`),
        );
        await world.producer.send(records);
        await systemClock.sleep(30);
      }
    })();
    const values: number[] = [];
    const positions = [0, 0, 0];
    const read = async () => {
      const { batches, assigned } = await world.source.poll(20_000, WAIT_MS);
      // An outage longer than the group's patience takes the partitions away, and gives them back.
      for (const partition of assigned) await world.source.seek(partition, positions[partition]!);
      for (const batch of batches) {
        assertEquals(batch.offsets[0], positions[batch.partition]);
        positions[batch.partition] = batch.nextOffset;
        values.push(...textsOf(batch).map(([, value]) => Number(value)));
      }
    };
    while (values.length < 3_000) await read();
    const restarting = broker[how]().then(() => systemClock.sleep(2_000)).then(() => broker.startAgain());
    for (let polls = 0; values.length < SENDS * PER_SEND; polls++) {
      assert(polls < POLLS_MAX * 10, `read ${values.length} of ${SENDS * PER_SEND}`);
      await read();
    }
    await Promise.all([producing, restarting]);
    for (let settle = 0; settle < 3; settle++) await read();
    assertEquals(values.length, SENDS * PER_SEND);
    assertEquals(values.sort((a, b) => a - b), Array.from({ length: SENDS * PER_SEND }, (_, i) => i));
    assertEquals((await world.source.ranges()).reduce((sum, { end }) => sum + end, 0), SENDS * PER_SEND);
  });
}
