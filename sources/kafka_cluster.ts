/** kafkajs's cluster and brokers, which its types hardly name: connections with TLS and SASL, metadata, leaders. */
import type { Cluster, Kafka } from "kafkajs";
import { PartitionAssigners } from "kafkajs";
import { invariant } from "../schema/errors.ts";

/** A request with its answer, as a connection takes it. */
export interface ProtocolExchange<T> {
  readonly request: {
    readonly apiKey: number;
    readonly apiVersion: number;
    readonly apiName: string;
    /** The request's body, as kafkajs's `Encoder`. */
    encode(): Promise<unknown>;
  };
  readonly response: {
    /** Gets the body of the answer; `clientSideThrottleTime` is how many milliseconds the connection then waits. */
    decode(body: Uint8Array): Promise<{ readonly clientSideThrottleTime: number; readonly data: T }>;
    parse(decoded: { readonly data: T }): Promise<T>;
  };
  /** Milliseconds, where more than the client's. */
  readonly requestTimeout?: number;
  /** Whether kafkajs logs what `decode` and `parse` throw. */
  readonly logResponseError?: boolean;
}

/** One broker. Of its two connections one is for Fetch alone, so that a long poll holds nothing up. */
export interface ClusterBroker {
  readonly connectionPool: {
    readonly host: string;
    readonly port: number;
    send<T>(exchange: ProtocolExchange<T>): Promise<T>;
  };
  /** By the number of a kind of request. */
  readonly versions: Readonly<Record<number, { readonly minVersion: number; readonly maxVersion: number }>>;
  disconnect(): Promise<void>;
}

/**
 * A cluster of its own: connections and metadata are not shared with any other, so that trouble here does not touch, say,
 * a membership. Nothing is connected yet.
 *
 * @param name what kafkajs is to call the group that is never joined
 */
export function clusterOf(kafka: Kafka, name: string): Cluster {
  let cluster: Cluster | null = null;
  // The one documented way to a cluster is through an assigner, and that through a consumer.
  kafka.consumer({
    groupId: name,
    allowAutoTopicCreation: false,
    partitionAssigners: [(config) => {
      cluster = config.cluster;
      return PartitionAssigners.roundRobin(config);
    }],
  });
  invariant(cluster !== null, "kafkajs makes the assigners with the consumer");
  return cluster;
}

/**
 * A connected broker of the cluster.
 *
 * @throws {Error} kafkajs's, where it can't be reached
 */
export async function clusterBroker(cluster: Cluster, nodeId: number): Promise<ClusterBroker> {
  return await cluster.findBroker({ nodeId: String(nodeId) }) as unknown as ClusterBroker;
}

/** Each partition's leader, as the metadata has it; partitions without one are missing. */
export function partitionLeaders(cluster: Cluster, topic: string): ReadonlyMap<number, number> {
  try {
    const partitions = cluster.findTopicPartitionMetadata(topic).filter(({ leader }) => leader >= 0);
    return new Map(partitions.map(({ partitionId, leader }) => [partitionId, leader]));
  } catch {
    return new Map(); // Nothing is known of the topic yet.
  }
}

/**
 * Gives a broker up after trouble: half an answer may be in its connection, which kafkajs would go on with after the
 * reconnect, and wait for the rest for ever.
 */
export function discardBroker(cluster: Cluster, broker: ClusterBroker): void {
  const { host, port } = broker.connectionPool;
  cluster.removeBroker({ host, port });
  broker.disconnect().catch(() => {});
}
