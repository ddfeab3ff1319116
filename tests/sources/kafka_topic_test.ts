import { assertEquals, assertRejects } from "@std/assert";
import type { Admin } from "kafkajs";
import { SourceError } from "../../schema/errors.ts";
import type { KafkaConnection } from "../../sources/kafka_client.ts";
import { ensureKafkaTopic } from "../../sources/kafka_topic.ts";

/** Brokers that have made the topic, and of which the one that is asked answers `error` for the first `asks`. */
function slowBrokers(error: Error, asks: number) {
  const waits: number[] = [];
  let asked = 0;
  const admin = {
    listTopics: () => Promise.resolve([]),
    createTopics: () => Promise.resolve(true),
    fetchTopicMetadata: () => ++asked > asks ? Promise.resolve({ topics: [] }) : Promise.reject(error),
  } as unknown as Admin;
  const sleep = (ms: number) => Promise.resolve(void waits.push(ms));
  const connection = { brokers: ["one:9092"], sleep } as unknown as KafkaConnection;
  return { waits, make: () => ensureKafkaTopic(admin, { topic: "clicks", partitions: 8 }, connection) };
}

function kafkajsError(type: string): Error {
  return Object.assign(new Error("not yet"), { name: "KafkaJSProtocolError", type });
}

Deno.test("a topic that was just made is waited for until the brokers know it and its leaders", async () => {
  for (const type of ["UNKNOWN_TOPIC_OR_PARTITION", "LEADER_NOT_AVAILABLE"]) {
    const { make, waits } = slowBrokers(kafkajsError(type), 20);
    await make();
    assertEquals(waits.length, 20);
  }
});

Deno.test("a topic that the brokers never come to know, and another failure, end the wait with a sentence", async () => {
  const never = slowBrokers(kafkajsError("UNKNOWN_TOPIC_OR_PARTITION"), Infinity);
  await assertRejects(never.make, SourceError, "Making topic 'clicks' on Kafka at one:9092 failed");
  assertEquals(never.waits.reduce((sum, ms) => sum + ms, 0), 30_000);
  const refused = slowBrokers(kafkajsError("TOPIC_AUTHORIZATION_FAILED"), Infinity);
  await assertRejects(refused.make, SourceError, "KAFKA_TOPIC");
  assertEquals(refused.waits, []);
});
