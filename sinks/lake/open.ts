/** The lake that the configuration names: a bucket of MinIO or S3, or a folder. */
import type { Config } from "../../schema/config.ts";
import { dataPaths } from "../../schema/data_paths.ts";
import { CheckpointStore } from "../checkpoint_store.ts";
import { ErasureStore } from "../erasure_store.ts";
import { readAuthorities } from "../http_pool.ts";
import type { ObjectStore } from "../sink.ts";
import { FolderStore } from "./folder_store.ts";
import { VERSION } from "../../schema/version.ts";
import { Archive } from "./archive.ts";
import { type DeltaLake, openDeltaLake, TABLE_ROOT } from "./lake.ts";
import { Retention } from "./retention.ts";
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
  readonly erasures: ErasureStore;
  readonly upkeep: TableUpkeep;
  readonly retention: Retention;
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

/** Where in a bucket, or which folder instead of one. */
interface StorePlace {
  readonly bucket: string;
  readonly prefix: string | null;
  readonly folder: string;
}

async function openStore(config: Config, { bucket, prefix, folder }: StorePlace): Promise<PreparedStore> {
  const { s3Endpoint: endpoint, s3AccessKey: accessKey, s3SecretKey: secretKey } = config;
  if (endpoint === null || accessKey === null || secretKey === null) {
    // The exclusive link that its commits rest on is tried by each of them.
    return {
      store: new FolderStore({ root: folder, uuid }),
      prepare: async () => {},
    };
  }
  // Loaded only where it is used.
  const { S3Store } = await import("./s3_store.ts");
  const { s3Region: region, s3TimeoutMs: timeoutMs } = config;
  const options = { endpoint, bucket, region, accessKey, secretKey, prefix: prefix ?? "", timeoutMs, uuid };
  const store = new S3Store({ ...options, tlsCa: readAuthorities("S3_TLS_CA", config.s3TlsCa) });
  return { store, prepare: () => store.prepare() };
}

async function openArchive(config: Config, now: () => number): Promise<Archive | null> {
  const { archiveBucket, archivePrefix: prefix, s3Bucket, dataDir } = config;
  if (archiveBucket === null && prefix === null) return null;
  const folder = `${dataPaths(dataDir).archive}/${prefix}`;
  const { store, prepare } = await openStore(config, { bucket: archiveBucket ?? s3Bucket, prefix, folder });
  return new Archive({ store, prepare, now, uuid, engineInfo: `Sessionary/${VERSION}` });
}

/** Opens the lake. Nothing is read or written yet. */
export async function openLake(config: Config, { now, notice }: LakeDeps): Promise<OpenedLake> {
  const { pipeline, topic, s3Bucket: bucket, s3Prefix: prefix, dataDir } = config;
  const { store, prepare } = await openStore(config, { bucket, prefix, folder: dataPaths(dataDir).lake });
  const archive = await openArchive(config, now);
  return {
    lake: openDeltaLake({ store, pipeline, topic, now, uuid, onWarning: notice }),
    erasures: new ErasureStore({ store, pipeline, topic, uuid }),
    checkpoints: new CheckpointStore({ store, pipeline, topic, notice }),
    upkeep: new TableUpkeep({ store, now, uuid }),
    retention: new Retention({ store, pipeline, topic, archive, now, uuid }),
    prepare,
    ping: async () => void await store.get(`${TABLE_ROOT}_delta_log/_last_checkpoint`),
  };
}
