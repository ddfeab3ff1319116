/** Fetching over kafkajs's connections, which keep TLS, SASL and throttling: one request to one broker. */
import { Buffer } from "node:buffer";
import type { KafkaJSProtocolError } from "kafkajs";
import Encoder from "kafkajs/src/protocol/encoder.js";
import { createErrorFromCode } from "kafkajs/src/protocol/error.js";
import { SourceError } from "../schema/errors.ts";
import type { ClusterBroker } from "./kafka_cluster.ts";
import {
  decodeFetchResponse,
  encodeFetchRequest,
  FETCH_API_KEY,
  FETCH_VERSION_MAX,
  FETCH_VERSION_MIN,
  type FetchedPartition,
  type FetchRequest,
} from "./kafka_fetch_protocol.ts";

interface ProtocolEncoder {
  writeBuffer(buffer: Buffer): ProtocolEncoder;
}

/**
 * The newest version that both sides know.
 *
 * @throws {SourceError} where there is none
 */
export function fetchVersion({ versions }: Pick<ClusterBroker, "versions">): number {
  const { minVersion, maxVersion } = versions[FETCH_API_KEY] ?? { minVersion: 0, maxVersion: 0 };
  const version = Math.min(maxVersion, FETCH_VERSION_MAX);
  if (version >= Math.max(minVersion, FETCH_VERSION_MIN)) return version;
  throw new SourceError(
    `Reading from Kafka needs brokers that answer Fetch in a version from ${FETCH_VERSION_MIN} to ` +
      `${FETCH_VERSION_MAX}, and this one knows ${minVersion} to ${maxVersion}. Use Kafka 0.11 to 4.`,
  );
}

/**
 * Asks one broker for records. The records are views of kafkajs's own buffer: they are to be copied, not transferred.
 *
 * @throws {Error} kafkajs's, where the broker can't be asked or refuses the request as a whole
 */
export async function fetchFrom(
  broker: ClusterBroker,
  request: FetchRequest,
): Promise<readonly FetchedPartition[]> {
  const apiVersion = fetchVersion(broker);
  const { errorCode, partitions } = await broker.connectionPool.send({
    request: {
      apiKey: FETCH_API_KEY,
      apiVersion,
      apiName: "Fetch",
      encode() {
        const body = encodeFetchRequest(apiVersion, request);
        const encoder = new (Encoder as new (size: number) => ProtocolEncoder)(body.length);
        return Promise.resolve(encoder.writeBuffer(Buffer.from(body.buffer, body.byteOffset, body.length)));
      },
    },
    response: {
      decode(body) {
        const data = decodeFetchResponse(apiVersion, body);
        // Before version 8 the broker itself has waited.
        return Promise.resolve({ data, clientSideThrottleTime: apiVersion >= 8 ? data.throttleMs : 0 });
      },
      parse: ({ data }) => Promise.resolve(data),
    },
    logResponseError: false,
  });
  if (errorCode !== 0) throw protocolError(errorCode);
  return partitions;
}

/** kafkajs's error for a code of the protocol. */
export function protocolError(code: number): KafkaJSProtocolError {
  return (createErrorFromCode as (code: number) => KafkaJSProtocolError)(code);
}
