/**
 * `deno task test:services`: fetches what the services need, once, then runs the test files, those of one service after the
 * other and three services at a time, because most of their time is waiting. A service that cannot start fails the run.
 */
import { deltaRsPackages } from "./harness/delta_rs.ts";
import { kafkaJars, type KafkaVersion, kafkaVersion, OLDEST_KAFKA } from "./harness/kafka.ts";
import { minioProgram } from "./harness/minio.ts";
import { sparkPackages } from "./harness/spark.ts";

const GROUPS_AT_ONCE = 3;
const FOLDER = new URL(".", import.meta.url);

/** The test files by the service that their name begins with. */
function testGroups(): string[][] {
  const groups = new Map<string, string[]>();
  for (const { name } of Deno.readDirSync(FOLDER)) {
    if (!name.endsWith("_test.ts")) continue;
    const service = name.split("_")[0]!;
    groups.set(service, [...groups.get(service) ?? [], new URL(name, FOLDER).pathname]);
  }
  return [...groups].sort(([a], [b]) => a < b ? -1 : 1).map(([, files]) => files.sort());
}

async function runGroup(files: readonly string[]): Promise<boolean> {
  // Not -q, which would hide the counts that the fault tests print.
  const args = ["test", "--no-prompt", "-P=services", ...files];
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args, stdin: "null" })
    .output();
  await Deno.stdout.write(stdout);
  await Deno.stderr.write(stderr);
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
const waiting = testGroups();
let failed = 0;
await Promise.all(Array.from({ length: GROUPS_AT_ONCE }, async () => {
  for (let group = waiting.shift(); group !== undefined; group = waiting.shift()) {
    if (!await runGroup(group)) failed++;
  }
}));
if (failed > 0) throw new Error(`${failed} of the services' test runs failed: see above.`);
