/**
 * `deno task test:services`: fetches what the services need, once, then runs the test files, several at a time, because
 * most of their time is waiting. They share a broker, an object store and a ClickHouse, those that the environment names
 * or ones that are started here; tests that stop a service or count on its settings start their own. A service that
 * cannot start fails the run.
 */
import { openClickHouse } from "./harness/clickhouse.ts";
import { deltaRsPackages } from "./harness/delta_rs.ts";
import {
  kafkaBrokers,
  kafkaJars,
  type KafkaVersion,
  kafkaVersion,
  OLDEST_KAFKA,
  stopKafka,
} from "./harness/kafka.ts";
import { minioProgram, s3, stopMinio } from "./harness/minio.ts";
import { sparkPackages } from "./harness/spark.ts";

const FILES_AT_ONCE = 3;
const FOLDER = new URL(".", import.meta.url);
/** The longest first: whatever is begun last decides when all is done. */
const LONG = ["clickhouse_faults", "kafka_pipeline", "readers", "kafka_test", "crash", "kafka_group"];

function testFiles(): string[] {
  const names = [...Deno.readDirSync(FOLDER)].map(({ name }) => name).filter((name) =>
    name.endsWith("_test.ts")
  );
  const rank = (name: string) => {
    const at = LONG.findIndex((prefix) => name.startsWith(prefix));
    return at === -1 ? LONG.length : at;
  };
  return names.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1)).map((name) =>
    new URL(name, FOLDER).pathname
  );
}

async function runFile(file: string, env: Readonly<Record<string, string>>): Promise<boolean> {
  // Types are checked by `deno task ok`. Not -q, which would hide the counts that the fault tests print.
  const args = ["test", "--no-prompt", "--no-check", "-P=services", file];
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args, env, stdin: "null" })
    .output();
  // Whole and at once: others print too.
  for (let at = 0; at < stdout.length;) at += Deno.stdout.writeSync(stdout.subarray(at));
  for (let at = 0; at < stderr.length;) at += Deno.stderr.writeSync(stderr.subarray(at));
  return success;
}

/** Fetches what the tests start: some stop and restart their service, so these are of their own in any case. */
async function prepare(): Promise<void> {
  await Promise.all([
    ...[...new Set<KafkaVersion>([kafkaVersion(), OLDEST_KAFKA])].map(kafkaJars),
    minioProgram(),
    deltaRsPackages(),
    sparkPackages(),
  ]);
}

/** The services that files share, as the environment names them. */
async function startShared(services: AsyncDisposableStack): Promise<Record<string, string>> {
  services.defer(stopKafka);
  services.defer(stopMinio);
  const [brokers, { endpoint, accessKey, secretKey, region }, { url, user, password }] = await Promise.all([
    kafkaBrokers(),
    s3(),
    openClickHouse().then((server) => services.use(server)),
  ]);
  return {
    KAFKA_BROKERS: brokers,
    S3_ENDPOINT: endpoint,
    S3_ACCESS_KEY: accessKey,
    S3_SECRET_KEY: secretKey,
    S3_REGION: region,
    CLICKHOUSE_URL: url,
    CLICKHOUSE_USER: user,
    CLICKHOUSE_PASSWORD: password,
  };
}

await prepare();
const waiting = testFiles();
let failed = 0;
{
  await using services = new AsyncDisposableStack();
  const env = await startShared(services);
  await Promise.all(Array.from({ length: FILES_AT_ONCE }, async () => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      if (!await runFile(file, env)) failed++;
    }
  }));
}
if (failed > 0) throw new Error(`${failed} of the services' test files failed: see above.`);
