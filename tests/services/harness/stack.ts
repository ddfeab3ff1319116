/** A broker, an object store and a ClickHouse that one pipeline of the program's uses together. */
import { type ClickHouseServer, dropDatabase, newDatabase, openClickHouse } from "./clickhouse.ts";
import { KafkaBroker, newTopic } from "./kafka.ts";
import { Minio } from "./minio.ts";

const BUCKET = "session-metrics";

/** Names in the services that belong to one pipeline, as the settings have them. */
export type PipelineEnv = Readonly<Record<string, string>>;

/** Services of the tests' own, but a ClickHouse that the environment names. */
export class Stack implements AsyncDisposable {
  readonly #databases: string[] = [];

  private constructor(
    readonly broker: KafkaBroker,
    readonly minio: Minio,
    readonly clickhouse: ClickHouseServer,
  ) {}

  /** Starts all three. */
  static async start(): Promise<Stack> {
    await using started = new AsyncDisposableStack();
    const [broker, minio, clickhouse] = await Promise.all([
      KafkaBroker.start().then((broker) => started.use(broker)),
      Minio.start().then((minio) => started.use(minio)),
      openClickHouse().then((server) => started.use(server)),
    ]);
    started.move();
    return new Stack(broker, minio, clickhouse);
  }

  /** The variables of a new pipeline: a topic, a prefix and a database that nothing else uses. */
  newPipeline(dataDir: string, topic = newTopic()): PipelineEnv {
    const { accessKey, secretKey, region, endpoint } = this.minio.credentials;
    const { url, user, password } = this.clickhouse;
    const database = newDatabase();
    this.#databases.push(database);
    return {
      DATA_DIR: dataDir,
      HTTP_PORT: "0",
      KAFKA_BROKERS: this.broker.brokers,
      KAFKA_TOPIC: topic,
      KAFKA_GROUP: database,
      S3_ENDPOINT: endpoint,
      S3_BUCKET: BUCKET,
      S3_PREFIX: database,
      S3_ACCESS_KEY: accessKey,
      S3_SECRET_KEY: secretKey,
      S3_REGION: region,
      CLICKHOUSE_URL: url,
      CLICKHOUSE_USER: user,
      ...(password === "" ? {} : { CLICKHOUSE_PASSWORD: password }),
      CLICKHOUSE_DATABASE: database,
    };
  }

  /** Where delta-rs finds a pipeline's table. */
  tableUri({ S3_PREFIX }: PipelineEnv): string {
    return `s3://${BUCKET}/${S3_PREFIX}/sessions`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const database of this.#databases) await dropDatabase(this.clickhouse, database).catch(() => {});
    await Promise.all([this.broker, this.minio, this.clickhouse].map((one) => one[Symbol.asyncDispose]()));
  }
}
