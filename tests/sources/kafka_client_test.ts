import { assert, assertEquals, assertMatch } from "@std/assert";
import { isPermanent, type KafkaConnection, kafkaError } from "../../sources/kafka_client.ts";
import { SourceError } from "../../schema/errors.ts";

const connection: KafkaConnection = {
  brokers: ["one:9092", "two:9092"],
  clientId: "test",
  tls: false,
  tlsCaPath: null,
  sasl: { mechanism: "plain", username: "me", password: "hush" },
  now: () => 0,
  sleep: () => Promise.resolve(),
  notice: () => {},
};

/** An error as kafkajs makes it. */
function kafkajsError(name: string, message: string, fields: object = {}): Error {
  return Object.assign(new Error(message), { name, ...fields });
}

Deno.test("each error that a person can mend names the setting to change, however deep it lies", () => {
  const cases: [Error, RegExp, boolean][] = [
    [kafkajsError("KafkaJSSASLAuthenticationError", "refused"), /KAFKA_SASL_PASSWORD\.$/, true],
    [kafkajsError("KafkaJSProtocolError", "no", { type: "TOPIC_AUTHORIZATION_FAILED" }), /KAFKA_TOPIC/, true],
    [kafkajsError("KafkaJSProtocolError", "no", { type: "GROUP_AUTHORIZATION_FAILED" }), /KAFKA_GROUP/, true],
    [kafkajsError("KafkaJSProtocolError", "no", { type: "MESSAGE_TOO_LARGE" }), /max\.message\.bytes/, true],
    [kafkajsError("KafkaJSConnectionError", "ECONNREFUSED"), /KAFKA_BROKERS/, false],
    [kafkajsError("KafkaJSGroupCoordinatorNotFound", "none"), /See the broker's log\.$/, false],
  ];
  for (const [error, remedy, permanent] of cases) {
    const wrapped = kafkajsError("KafkaJSNumberOfRetriesExceeded", "gave up", { cause: error });
    for (const one of [error, wrapped]) {
      const sentence = kafkaError("Reading topic 'clicks'", connection, one);
      assert(sentence instanceof SourceError);
      assertMatch(sentence.message, /^Reading topic 'clicks' on Kafka at one:9092, two:9092 failed: /);
      assert(sentence.message.includes(error.message));
      assertMatch(sentence.message, remedy);
      assertEquals(isPermanent(one), permanent, error.message);
    }
  }
});

Deno.test("a sentence is not wrapped in another one", () => {
  const sentence = new SourceError("That is that.");
  assertEquals(kafkaError("Reading", connection, sentence), sentence);
  assert(isPermanent(sentence));
});
