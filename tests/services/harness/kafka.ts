/** A Kafka broker of the tests' own: Apache Kafka from its Maven artifacts, one KRaft node; or the environment's. */
import { Kafka, logLevel } from "kafkajs";
import { patchKafkajs } from "../../../sources/kafkajs_patch.ts";
import { cached, runTool } from "./cache.ts";
import { freePort } from "./ports.ts";

/** The versions that the program is tested with: all tests run on the first, or on the one that the environment names. */
export const KAFKA_VERSIONS = ["4.1.1", "4.0.2", "3.9.2"] as const;
export type KafkaVersion = typeof KAFKA_VERSIONS[number];
/** Every run starts a broker of this one too. */
export const OLDEST_KAFKA = "3.9.2";

const MAVEN_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";
const OTHERWISE = "install Java (17 or later) and Maven, or name brokers by KAFKA_BROKERS.";
const START_TRIES_MAX = 3;
const ANSWER_TRIES_MAX = 300;
const ANSWER_INTERVAL_MS = 200;
/** By default the console producer gives a busy broker 1.5 s and three tries, then drops the records. */
const PATIENCE = [
  ["--request-timeout-ms", "60000"],
  ["--max-block-ms", "300000"],
  ["--message-send-max-retries", "1000000"],
  ["--producer-property", "delivery.timeout.ms=300000"],
].flat();

/** The user that the SASL listeners know. */
export const SASL_USER = { username: "sessionary", password: "hush-hush" } as const;
const STORE_PASSWORD = "changeit";

/** `SESSIONARY_KAFKA_VERSION`, or the first of {@linkcode KAFKA_VERSIONS}. */
export function kafkaVersion(): KafkaVersion {
  const named = Deno.env.get("SESSIONARY_KAFKA_VERSION");
  if (!named) return KAFKA_VERSIONS[0];
  const version = KAFKA_VERSIONS.find((known) => known === named);
  if (version !== undefined) return version;
  throw new Error(`SESSIONARY_KAFKA_VERSION must be one of ${KAFKA_VERSIONS.join(", ")}, and is '${named}'.`);
}

/** Kafka, its tools, and a log of their errors on the terminal, without which they keep silent about them. */
const pom = (version: KafkaVersion) =>
  `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>sessionary</groupId><artifactId>kafka-for-tests</artifactId><version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>${version}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>${version}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.24.3</version>
    </dependency>
  </dependencies>
</project>
`;

/** The folder with Kafka's jars; fetched by Maven the first time. */
export async function kafkaJars(version: KafkaVersion): Promise<string> {
  return await cached(`kafka-${version}-log4j`, async (folder) => {
    await Deno.writeTextFile(`${folder}/pom.xml`, pom(version));
    const args = ["-B", "-q", "-f", `${folder}/pom.xml`, MAVEN_PLUGIN, `-DoutputDirectory=${folder}`];
    await runTool("mvn", { args: [...args, "-DincludeScope=runtime"], otherwise: OTHERWISE });
  });
}

interface Ports {
  readonly plain: number;
  readonly sasl: number;
  readonly tls: number;
  /** Where the broker listens for a proxy, and where clients are told to find it. */
  readonly proxied: number;
  readonly proxy: number;
  readonly controller: number;
}

/** A broker on loopback ports, with its data in a temporary folder; both are gone when it is disposed of. */
export class KafkaBroker implements AsyncDisposable {
  #process: Deno.ChildProcess | null = null;

  private constructor(
    private readonly version: KafkaVersion,
    private readonly jars: string,
    private readonly folder: string,
    private readonly ports: Ports,
  ) {}

  /** `host:port` of the listener without TLS and user. */
  get brokers(): string {
    return `127.0.0.1:${this.ports.plain}`;
  }

  /** `host:port` of the listener that wants {@linkcode SASL_USER}. */
  get saslBrokers(): string {
    return `127.0.0.1:${this.ports.sasl}`;
  }

  /** `host:port` of the listener that wants {@linkcode SASL_USER} by TLS. */
  get tlsBrokers(): string {
    return `127.0.0.1:${this.ports.tls}`;
  }

  /** The port that a proxy forwards to, and the one that it must listen on: the broker tells clients so. */
  get proxyPorts(): { readonly broker: number; readonly proxy: number } {
    return { broker: this.ports.proxied, proxy: this.ports.proxy };
  }

  /** The certificate of the TLS listener, PEM. */
  get caPath(): string {
    return `${this.folder}/broker.pem`;
  }

  /** Fetches Kafka where the cache lacks it, and starts a broker. */
  static async start(version = kafkaVersion()): Promise<KafkaBroker> {
    const jars = await kafkaJars(version);
    for (let tries = 1;; tries++) {
      const [plain, sasl, tls] = [freePort(), freePort(), freePort()];
      const [proxied, proxy, controller] = [freePort(), freePort(), freePort()];
      const ports = { plain, sasl, tls, proxied, proxy, controller };
      const broker = new KafkaBroker(version, jars, await Deno.makeTempDir(), ports);
      try {
        await broker.#prepare();
        await broker.startAgain();
        return broker;
      } catch (error) {
        await broker[Symbol.asyncDispose]();
        if (tries === START_TRIES_MAX) throw error;
      }
    }
  }

  /** Makes the certificate and formats the data folder. */
  async #prepare(): Promise<void> {
    const { folder } = this;
    const store = ["-alias", "broker", "-keystore", `${folder}/broker.p12`, "-storepass", STORE_PASSWORD];
    const subject = ["-dname", "CN=127.0.0.1", "-ext", "san=ip:127.0.0.1", "-validity", "2"];
    const key = ["-keyalg", "EC", "-groupname", "secp256r1", "-storetype", "PKCS12"];
    await runTool("keytool", { args: ["-genkeypair", ...key, ...store, ...subject], otherwise: OTHERWISE });
    const certificate = ["-exportcert", "-rfc", "-file", this.caPath, ...store];
    await runTool("keytool", { args: certificate, otherwise: OTHERWISE });
    await Deno.writeTextFile(`${folder}/server.properties`, serverProperties(folder, this.ports));
    const { username, password } = SASL_USER;
    const scram = ["SCRAM-SHA-256", "SCRAM-SHA-512"].flatMap((
      mechanism,
    ) => ["--add-scram", `${mechanism}=[name="${username}",password="${password}"]`]);
    const format = [
      "format",
      "--cluster-id",
      "4L6g3nShT-eMCtK--X86sw",
      "--config",
      `${folder}/server.properties`,
    ];
    await this.tool("kafka.tools.StorageTool", [...format, ...scram]);
  }

  /**
   * Lets Kafka's own console producer, which shares nothing with ours, send the lines of `stdin` to a topic. Throws where
   * it says that it has dropped some: it exits with success all the same.
   */
  async produce(
    topic: string,
    stdin: Uint8Array | ReadableStream<Uint8Array>,
    options: readonly string[],
  ): Promise<void> {
    const producer = this.version.startsWith("3.")
      ? "kafka.tools.ConsoleProducer"
      : "org.apache.kafka.tools.ConsoleProducer";
    const to = ["--bootstrap-server", this.brokers, "--topic", topic];
    const { printed, problems } = await this.tool(producer, [...to, ...PATIENCE, ...options], stdin);
    const said = `${printed}${problems}`;
    if (/\bERROR\b/.test(said)) throw new Error(`Kafka's producer dropped records:\n${said.slice(-4_000)}`);
  }

  /** Runs one of Kafka's own command line tools to its end; returns what it printed, and its complaints. */
  async tool(
    main: string,
    args: readonly string[],
    stdin?: Uint8Array | ReadableStream<Uint8Array>,
  ): Promise<{ printed: string; problems: string }> {
    const child = this.#java(main, args, stdin === undefined ? "null" : "piped");
    const input = stdin instanceof Uint8Array ? new Blob([stdin as BlobPart]).stream() : stdin;
    const written = input?.pipeTo(child.stdin);
    written?.catch(() => {}); // A tool that ends before it has read all says why.
    const { success, stdout, stderr } = await child.output();
    const decoder = new TextDecoder();
    const [printed, problems] = [decoder.decode(stdout), decoder.decode(stderr)];
    if (!success) {
      throw new Error(`Kafka's ${main} failed (${OTHERWISE}):\n${`${printed}${problems}`.slice(-4_000)}`);
    }
    return { printed, problems };
  }

  #java(main: string, args: readonly string[], stdin: "null" | "piped", log: "null" | "piped" = "piped") {
    const memory = ["-Xms128m", "-Xmx768m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
    // What Java unpacks or notes elsewhere would outlive a broker that is killed.
    const tidy = [`-Djava.io.tmpdir=${this.folder}`, "-XX:-UsePerfData"];
    return new Deno.Command("java", {
      args: [...memory, ...tidy, "-cp", `${this.jars}/*`, main, ...args],
      stdin,
      stdout: log,
      stderr: log,
    }).spawn();
  }

  /** Starts the broker that was stopped, on the same ports and data, and waits until it answers. */
  async startAgain(): Promise<void> {
    const process = this.#java("kafka.Kafka", [`${this.folder}/server.properties`], "null", "null");
    this.#process = process;
    let exited = false;
    process.status.then(() => exited = true);
    for (let tries = 0; tries < ANSWER_TRIES_MAX && !exited; tries++) {
      if (await answers(this.brokers)) return;
      await new Promise((resolve) => setTimeout(resolve, ANSWER_INTERVAL_MS));
    }
    throw new Error(
      exited ? "Kafka stopped at once: a port may be taken." : "Kafka did not start within 60 s.",
    );
  }

  /** Stops the broker as an operator would: it hands over and closes its files. Its data stays. */
  async stop(): Promise<void> {
    await this.#end("SIGTERM");
  }

  /** Stops the broker as a crash would. Its data stays. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  async #end(signal: Deno.Signal): Promise<void> {
    const process = this.#process;
    this.#process = null;
    try {
      process?.kill(signal);
    } catch {
      // It has stopped by itself.
    }
    await process?.status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await Deno.remove(this.folder, { recursive: true });
  }
}

function serverProperties(folder: string, ports: Ports): string {
  const { username, password } = SASL_USER;
  const scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
  const users =
    `org.apache.kafka.common.security.plain.PlainLoginModule required user_${username}="${password}";`;
  const { plain, sasl, tls, proxied, proxy, controller } = ports;
  const at = (port: number) => `://127.0.0.1:${port}`;
  const open = `PLAIN${at(plain)},USER${at(sasl)},SECURE${at(tls)}`;
  const lines = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.quorum.voters": `1@127.0.0.1:${controller}`,
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAIN",
    "listeners": `${open},PROXIED${at(proxied)},CONTROLLER${at(controller)}`,
    "advertised.listeners": `${open},PROXIED${at(proxy)}`,
    "listener.security.protocol.map":
      "PLAIN:PLAINTEXT,USER:SASL_PLAINTEXT,SECURE:SASL_SSL,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
    ...Object.fromEntries(["user", "secure"].flatMap((listener) => [
      [`listener.name.${listener}.plain.sasl.jaas.config`, users],
      [`listener.name.${listener}.scram-sha-256.sasl.jaas.config`, scram],
      [`listener.name.${listener}.scram-sha-512.sasl.jaas.config`, scram],
    ])),
    "listener.name.secure.ssl.keystore.location": `${folder}/broker.p12`,
    "listener.name.secure.ssl.keystore.password": STORE_PASSWORD,
    "log.dirs": `${folder}/logs`,
    "auto.create.topics.enable": "false",
    "num.partitions": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    "log.cleaner.enable": "false",
    "log.retention.check.interval.ms": "1000",
  };
  return Object.entries(lines).map(([name, value]) => `${name}=${value}\n`).join("");
}

/** Whether a broker answers at `brokers`. */
async function answers(brokers: string): Promise<boolean> {
  patchKafkajs();
  const kafka = new Kafka({ brokers: [brokers], logLevel: logLevel.NOTHING, retry: { retries: 0 } });
  const admin = kafka.admin();
  try {
    await admin.connect();
    return (await admin.describeCluster()).brokers.length > 0;
  } catch {
    return false;
  } finally {
    await admin.disconnect().catch(() => {});
  }
}

let shared: Promise<KafkaBroker> | null = null;

/** The broker that the tests of one file share; started with the first call. */
export function sharedBroker(): Promise<KafkaBroker> {
  return shared ??= KafkaBroker.start();
}

/** `host:port` of the environment's brokers, or of the shared one. */
export async function kafkaBrokers(): Promise<string> {
  return Deno.env.get("KAFKA_BROKERS") || (await sharedBroker()).brokers;
}

/** Ends the shared broker; for `Deno.test.afterAll`. */
export async function stopKafka(): Promise<void> {
  const broker = await shared?.catch(() => null);
  shared = null;
  await broker?.[Symbol.asyncDispose]();
}

let topics = 0;

/** A topic name that no other test has, also on brokers that outlive the run. */
export function newTopic(): string {
  return `test-${topics++}-${crypto.randomUUID()}`;
}
