/** The settings that reach Kafka: nothing of them counts without the brokers. */
import { choice, path, secret, type SettingTable, text, toggle } from "./setting.ts";

/** The heading they are listed under in `--help`. */
export const KAFKA_HEADING = "Kafka:";

/** How Kafka is reached; a part of the pipeline's settings. */
export const KAFKA_SETTINGS = {
  kafkaBrokers: text(
    {
      env: "KAFKA_BROKERS",
      group: KAFKA_HEADING,
      doc: "brokers to begin with, host:port with commas between; without it the embedded log is used",
    },
    null,
    /^[^\s,:/@]+:\d{1,5}(,[^\s,:/@]+:\d{1,5})*$/,
    "host:port, with commas between several and without spaces",
  ),
  kafkaGroup: text(
    { env: "KAFKA_GROUP", group: KAFKA_HEADING, doc: "consumer group; the pipeline's name by default" },
    null,
    /^[A-Za-z0-9._-]{1,240}$/,
    "1 to 240 letters, digits, dots, underscores or hyphens",
  ),
  kafkaClientId: text(
    {
      env: "KAFKA_CLIENT_ID",
      group: KAFKA_HEADING,
      doc: "name of this program in the brokers' logs and quotas",
    },
    "sessionary",
    /^[A-Za-z0-9._-]{1,240}$/,
    "1 to 240 letters, digits, dots, underscores or hyphens",
  ),
  kafkaTls: toggle({ env: "KAFKA_TLS", group: KAFKA_HEADING, doc: "connect by TLS" }),
  kafkaTlsCa: path(
    {
      env: "KAFKA_TLS_CA",
      group: KAFKA_HEADING,
      doc: "PEM file of authorities to trust; the system's by default",
    },
    null,
  ),
  kafkaSaslMechanism: choice(
    { env: "KAFKA_SASL_MECHANISM", group: KAFKA_HEADING, doc: "how the user is proved to the brokers" },
    "none",
    ["none", "plain", "scram-sha-256", "scram-sha-512"],
  ),
  kafkaSaslUsername: text(
    { env: "KAFKA_SASL_USERNAME", group: KAFKA_HEADING, doc: "the brokers' user" },
    null,
    /^.+$/,
    "a text that is not empty",
  ),
  kafkaSaslPassword: secret({
    env: "KAFKA_SASL_PASSWORD",
    group: KAFKA_HEADING,
    doc: "that user's password",
  }),
} as const satisfies SettingTable;
