/**
 * `deno task test:services`: fetches what the services need, once, then runs the test files, several at a time, because
 * most of their time is waiting. Each starts services of its own. A service that cannot start fails the run.
 */
import { deltaRsPackages } from "./harness/delta_rs.ts";
import { kafkaJars, type KafkaVersion, kafkaVersion, OLDEST_KAFKA } from "./harness/kafka.ts";
import { minioProgram } from "./harness/minio.ts";
import { sparkPackages } from "./harness/spark.ts";

const FILES_AT_ONCE = 4;
const FOLDER = new URL(".", import.meta.url);
/** The longest first: whatever is begun last decides when all is done. */
const LONG = [
  "crash",
  "clickhouse_outages",
  "clickhouse_faults",
  "table",
  "kafka_pipeline",
  "kafka_test",
  "kafka_group",
  "readers",
];

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

async function runFile(file: string): Promise<boolean> {
  // Types are checked by `deno task ok`. Not -q, which would hide the counts that the fault tests print.
  const args = ["test", "--no-prompt", "--no-check", "-P=services", file];
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args, stdin: "null" })
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

await prepare();
const waiting = testFiles();
let failed = 0;
await Promise.all(Array.from({ length: FILES_AT_ONCE }, async () => {
  for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
    if (!await runFile(file)) failed++;
  }
}));
if (failed > 0) throw new Error(`${failed} of the services' test files failed: see above.`);
