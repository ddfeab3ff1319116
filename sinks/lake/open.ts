/** The lake that the configuration names: a bucket of MinIO or S3, or a folder. */
import type { Config } from "../../schema/config.ts";
import { dataPaths } from "../../schema/data_paths.ts";
import { CheckpointStore } from "../checkpoint_store.ts";
import { readAuthorities } from "../http_pool.ts";
import type { ObjectStore } from "../sink.ts";
import { FolderStore } from "./folder_store.ts";
import { type DeltaLake, openDeltaLake, TABLE_ROOT } from "./lake.ts";
import { TableUpkeep } from "./upkeep.ts";

export interface LakeDeps {
  /** Wall clock, epoch milliseconds. */
  readonly now: () => number;
  /** Told of what went wrong and costs nothing but speed. */
  readonly notice: (text: string) => void;
}

/** The Delta table with its dead letters, and the checkpoints beside them. */
export interface OpenedLake {
  readonly lake: DeltaLake;
  readonly checkpoints: CheckpointStore;
  readonly upkeep: TableUpkeep;
  /**
   * Makes sure, before anything is committed, that the store is there and keeps what commits rest on.
   *
   * @throws {SinkError} where it is not or does not
   */
  prepare(): Promise<void>;
  /**
   * Asks the store for a small object of the table, there or not.
   *
   * @throws {SinkError} where the store does not answer
   */
  ping(): Promise<void>;
}

interface PreparedStore {
  readonly store: ObjectStore;
  prepare(): Promise<void>;
}

const uuid = () => crypto.randomUUID();

async function openStore(config: Config): Promise<PreparedStore> {
  const { s3Endpoint: endpoint, s3AccessKey: accessKey, s3SecretKey: secretKey } = config;
  if (endpoint === null || accessKey === null || secretKey === null) {
    // The exclusive link that its commits rest on is tried by each of them.
    return {
      store: new FolderStore({ root: dataPaths(config.dataDir).lake, uuid }),
      prepare: async () => {},
    };
  }
  // Loaded only where it is used.
  const { S3Store } = await import("./s3_store.ts");
  const { s3Bucket: bucket, s3Region: region, s3Prefix: prefix, s3TimeoutMs: timeoutMs } = config;
  const options = { endpoint, bucket, region, accessKey, secretKey, prefix: prefix ?? "", timeoutMs, uuid };
  const store = new S3Store({ ...options, tlsCa: readAuthorities("S3_TLS_CA", config.s3TlsCa) });
  return { store, prepare: () => store.prepare() };
}

/** Opens the lake. Nothing is read or written yet. */
export async function openLake(config: Config, { now, notice }: LakeDeps): Promise<OpenedLake> {
  const { store, prepare } = await openStore(config);
  const { pipeline, topic } = config;
  return {
    lake: openDeltaLake({ store, pipeline, topic, now, uuid, onWarning: notice }),
    checkpoints: new CheckpointStore({ store, pipeline, topic, notice }),
    upkeep: new TableUpkeep({ store, now, uuid }),
    prepare,
    ping: async () => void await store.get(`${TABLE_ROOT}_delta_log/_last_checkpoint`),
  };
}
