/** A kafkajs client: brokers, TLS, SASL, its log as sentences, and its errors as sentences. */
import { Buffer } from "node:buffer";
import { CompressionCodecs, CompressionTypes, Kafka, type LogEntry, logLevel } from "kafkajs";
import { assertNever, messageOf, SourceError } from "../schema/errors.ts";
import { loadCodecs } from "./kafka_codecs.ts";
import { patchKafkajs } from "./kafkajs_patch.ts";

/** How a client proves who it is. */
export interface KafkaSasl {
  readonly mechanism: "plain" | "scram-sha-256" | "scram-sha-512";
  readonly username: string;
  readonly password: string;
}

/** What reaching a Kafka cluster takes. */
export interface KafkaConnection {
  /** host:port */
  readonly brokers: readonly string[];
  readonly clientId: string;
  readonly tls: boolean;
  /** A PEM file of certificate authorities to trust instead of the system's. */
  readonly tlsCaPath: string | null;
  readonly sasl: KafkaSasl | null;
  /** Wall clock, epoch milliseconds. */
  readonly now: () => number;
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
  /** Tells the operator something. */
  readonly notice: (text: string) => void;
}

const CONNECTION_TIMEOUT_MS = 5_000;
/** Java's default. A broker that hangs is found by it; one that is killed closes its connections. */
const REQUEST_TIMEOUT_MS = 30_000;
/** The same sentence is said once in this time: an outage makes kafkajs repeat itself twice a second. */
const REPEAT_MS = 60_000;

/** What kafkajs warns of and is meant to be so. */
const EXPECTED_WARNINGS = new Set([
  // Our producer sends an unanswered batch again itself, unchanged.
  "Limiting retries for the idempotent producer may invalidate EoS guarantees",
  // Instances come and go, and so do partitions.
  "The group is rebalancing, re-joining",
  "Topic has been updated, resync group",
  "Consumer is not aware of all assigned partitions, refreshing metadata",
]);

/**
 * A client of the cluster; nothing is connected yet.
 *
 * @throws {SourceError} where the file of authorities can't be read
 */
export async function openKafka(connection: KafkaConnection): Promise<Kafka> {
  patchKafkajs();
  const { brokers, clientId, tls, sasl } = connection;
  const { compressSnappy, decompress } = await loadCodecs();
  CompressionCodecs[CompressionTypes.Snappy] = () => ({
    compress: ({ buffer }: { buffer: Uint8Array }) => Promise.resolve(compressSnappy(buffer)),
    decompress: (bytes: Uint8Array) =>
      Promise.resolve(Buffer.from(decompress(CompressionTypes.Snappy, bytes))),
  });
  CompressionCodecs[CompressionTypes.LZ4] = () => ({
    decompress: (bytes: Uint8Array) => Promise.resolve(Buffer.from(decompress(CompressionTypes.LZ4, bytes))),
  });
  return new Kafka({
    brokers: [...brokers],
    clientId,
    ssl: tls && await tlsOptions(connection),
    sasl: sasl === null ? undefined : saslOptions(sasl),
    connectionTimeout: CONNECTION_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    retry: { initialRetryTime: 200, maxRetryTime: 2_000, retries: 5 },
    logLevel: logLevel.WARN,
    logCreator: () => sentenceLogger(connection),
  });
}

async function tlsOptions({ tlsCaPath }: KafkaConnection): Promise<true | { ca: string[] }> {
  if (tlsCaPath === null) return true;
  try {
    return { ca: [await Deno.readTextFile(tlsCaPath)] };
  } catch (error) {
    throw new SourceError(
      `KAFKA_TLS_CA must be a PEM file that can be read: '${tlsCaPath}' can't (${
        messageOf(error)
      }). Name another, ` +
        `or unset it to trust the system's authorities.`,
      { cause: error },
    );
  }
}

/** kafkajs's types want a literal for each mechanism. */
function saslOptions({ mechanism, username, password }: KafkaSasl) {
  switch (mechanism) {
    case "plain":
      return { mechanism, username, password } as const;
    case "scram-sha-256":
      return { mechanism, username, password } as const;
    case "scram-sha-512":
      return { mechanism, username, password } as const;
    default:
      return assertNever(mechanism);
  }
}

/** Why a member that is being closed does not join again; kafkajs takes it for a crash. */
export const LEFT_FOR_GOOD = "The member has left its group for good.";

/** Each answer with an error code, also those that kafkajs then handles; what it can't handle comes back as an error. */
const ANSWERS = /^Response /;

/** kafkajs's warnings and errors as sentences, each at most once a minute. */
function sentenceLogger(connection: KafkaConnection): (entry: LogEntry) => void {
  const say = onceAMinute(connection);
  return ({ namespace, log }) => {
    const { message, error, broker } = log as LogEntry["log"] & { error?: unknown; broker?: string };
    if (EXPECTED_WARNINGS.has(message) || ANSWERS.test(message) || message.includes(LEFT_FOR_GOOD)) return;
    const cause = typeof error === "string" && !message.includes(error) ? ` (${error})` : "";
    say(`Kafka${broker ? ` at ${broker}` : ""}: ${message}${cause} [${namespace || "client"}]`);
  };
}

/** Tells the operator the same sentence at most once a minute. */
export function onceAMinute({ now, notice }: KafkaConnection): (text: string) => void {
  const saidAt = new Map<string, number>();
  return (text) => {
    if (now() - (saidAt.get(text) ?? -Infinity) < REPEAT_MS) return;
    saidAt.set(text, now());
    notice(text);
  };
}

/** The fields by which kafkajs tells its errors apart. */
interface KafkajsError extends Error {
  readonly type?: string;
  readonly cause?: KafkajsError;
  readonly originalError?: KafkajsError;
  readonly errors?: readonly KafkajsError[];
}

/** The error and what caused it, outermost first. */
function chainOf(error: unknown): KafkajsError[] {
  const chain: KafkajsError[] = [];
  let link = error as KafkajsError | undefined;
  while (link instanceof Error && chain.length < 10 && !chain.includes(link)) {
    chain.push(link);
    link = link.errors?.[0] ?? link.cause ?? link.originalError;
  }
  return chain;
}

/** Whether `error`, or what caused it, is of this name or protocol type. */
export function isKafkaError(error: unknown, ...names: readonly string[]): boolean {
  return chainOf(error).some(({ name, type }) =>
    names.includes(name) || type !== undefined && names.includes(type)
  );
}

/** Whether trying again can't help until a person has done something. */
export function isPermanent(error: unknown): boolean {
  return error instanceof SourceError || PERMANENT.some(({ names }) => isKafkaError(error, ...names));
}

/** Whether the sentence tells of an error that may be over when it is tried again. */
export function isPassing(error: unknown): boolean {
  return error instanceof SourceError && error.cause !== undefined && !isPermanent(error.cause);
}

/** What a person can do about which error. */
const PERMANENT: readonly { readonly names: readonly string[]; readonly remedy: string }[] = [
  {
    names: ["KafkaJSSASLAuthenticationError", "SASL_AUTHENTICATION_FAILED", "UNSUPPORTED_SASL_MECHANISM"],
    remedy: "Check KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD",
  },
  {
    names: ["TOPIC_AUTHORIZATION_FAILED", "INVALID_TOPIC_EXCEPTION"],
    remedy: "Give the user the rights to the topic and its .dlq (KAFKA_TOPIC), or name another",
  },
  {
    names: ["GROUP_AUTHORIZATION_FAILED", "INVALID_GROUP_ID"],
    remedy: "Give the user the rights to the group, or name another (KAFKA_GROUP)",
  },
  {
    names: ["CLUSTER_AUTHORIZATION_FAILED"],
    remedy: "Give the user the right to write idempotently and to create topics, or create the topics for it",
  },
  {
    names: ["UNSUPPORTED_VERSION", "KafkaJSServerDoesNotSupportApiKey"],
    remedy: "Use a broker from Kafka 2.3 on",
  },
  {
    names: ["KafkaJSNotImplemented", "KafkaJSInvariantViolation"],
    remedy: "Report this as a bug",
  },
  {
    names: ["MESSAGE_TOO_LARGE", "RECORD_LIST_TOO_LARGE"],
    remedy: "Leave the record out, or raise max.message.bytes of the topic",
  },
];

const UNREACHABLE = [
  "KafkaJSConnectionError",
  "KafkaJSConnectionClosedError",
  "KafkaJSRequestTimeoutError",
  "KafkaJSBrokerNotFound",
  "KafkaJSNoBrokerAvailableError",
];

/**
 * kafkajs's error as a sentence that names the setting to change.
 *
 * @param action what was being done, e.g. "Reading topic 'web_clicks'"
 */
export function kafkaError(action: string, { brokers }: KafkaConnection, error: unknown): SourceError {
  if (error instanceof SourceError) return error;
  const chain = chainOf(error);
  const reason = (chain.at(-1)?.message ?? String(error)).replace(/\.$/, "");
  const remedy = PERMANENT.find(({ names }) => isKafkaError(error, ...names))?.remedy ??
    (isKafkaError(error, ...UNREACHABLE)
      ? "Check KAFKA_BROKERS (host:port, the brokers' own listener) and that they are up; if they want TLS or a " +
        "user, set KAFKA_TLS or KAFKA_SASL_MECHANISM"
      : "See the broker's log");
  return new SourceError(`${action} on Kafka at ${brokers.join(", ")} failed: ${reason}. ${remedy}.`, {
    cause: error,
  });
}
