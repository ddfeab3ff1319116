/**
 * The whole pipeline over a MinIO that stops, stands still and loses its answers while readers go on clicking: in the
 * end delta-rs finds every session in the bucket once and right, and so does ClickHouse.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { systemClock } from "../../actors/clock.ts";
import type { EpochReport } from "../../actors/protocol.ts";
import { type Pipeline, startPipeline } from "../../actors/supervisor.ts";
import { openQueryService } from "../../commands/open_query_service.ts";
import { type Config, resolveConfig } from "../../schema/config.ts";
import { EPOCHS_IN_FLIGHT_MAX } from "../../schema/limits.ts";
import { openProducer } from "../../sources/open.ts";
import { produce, type ProduceResult } from "../../sources/produce.ts";
import { SimulatedFeed } from "../../sources/simulated_feed.ts";
import { Simulator, virtualTimeline } from "../../sources/simulator.ts";
import { withTempDir } from "../support/command_context.ts";
import { runDeltaRs } from "./harness/delta_rs.ts";
import { HttpFaultProxy, type ProxiedRequest } from "./harness/fault_proxy.ts";
import { Minio, type S3Credentials } from "./harness/minio.ts";
import { until } from "./harness/pipeline_run.ts";

const BUCKET = "clicks";
const PREFIX = "team/web";
/** More than are ever sent: the readers go on until the faults are over. */
const EVENTS_MAX = 600_000;
/** Some 450 events at a time, with pauses in which the rest of this thread gets its turn. */
const SEND_BYTES = 256 * 1024;
const SEND_PAUSE_MS = 60;
const MIB = 1024 * 1024;
/** EPOCH_BYTES_MAX, and the poll that passes it. */
const EPOCH_BYTES = (1 + 4) * MIB;
/** How often, a second apart, reading must be seen standing still. */
const STILL_SEEN = 3;
const COMPARE = new URL("../oracle/compare_truth.py", import.meta.url).pathname;

function configOf(dataDir: string, { accessKey, secretKey }: S3Credentials, endpoint: string): Config {
  return resolveConfig({
    flags: {},
    env: {
      DATA_DIR: dataDir,
      EPOCH_INTERVAL: "1s",
      EPOCH_BYTES_MAX: "1MiB",
      MAILBOX_BYTES_MAX: "256KiB",
      S3_ENDPOINT: endpoint,
      S3_BUCKET: BUCKET,
      S3_PREFIX: PREFIX,
      S3_ACCESS_KEY: accessKey,
      S3_SECRET_KEY: secretKey,
      S3_TIMEOUT: "1s",
    },
  }).config;
}

/** What a run tells while it goes. */
interface Watched {
  readonly pipeline: Pipeline;
  readonly reports: EpochReport[];
  readonly warnings: string[];
}

async function start(config: Config, untilEnd: boolean): Promise<Watched> {
  const pipeline = await startPipeline({ config, untilEnd, closeOpen: untilEnd });
  const watched: Watched = { pipeline, reports: [], warnings: [] };
  pipeline.onEpoch((report) => watched.reports.push(report));
  pipeline.onNotice(({ text }) => watched.warnings.push(text));
  return watched;
}

/** Feeds simulated readers until `signal`, with their truth, and one record that is no event. */
async function feed(config: Config, truthPath: string, signal: AbortSignal): Promise<ProduceResult> {
  const producer = await openProducer(config, systemClock);
  try {
    const text = (value: string) => new TextEncoder().encode(value);
    await producer.send([{ key: text("nobody"), value: text("not JSON") }]);
    const simulator = new Simulator({ seed: 11, ...virtualTimeline(EVENTS_MAX, systemClock.now()) });
    return await produce({
      feed: new SimulatedFeed(simulator, { events: EVENTS_MAX, truthPath }),
      producer: {
        topic: producer.topic,
        send: async (records) => {
          const positions = await producer.send(records);
          await systemClock.sleep(SEND_PAUSE_MS, signal);
          return positions;
        },
        close: () => producer.close(),
      },
      sendBytes: SEND_BYTES,
      rate: "max",
      now: systemClock.monotonic,
      sleep: systemClock.sleep,
      signal,
    });
  } finally {
    await producer.close();
  }
}

const isCommitPut = ({ method, path }: ProxiedRequest) =>
  method === "PUT" && /_delta_log\/\d{20}\.json$/.test(path);

/** Waits for so many more committed epochs. */
function more({ reports }: Watched, count: number): Promise<void> {
  const target = reports.length + count;
  return until(`epoch report ${target}`, () => reports.length >= target);
}

/** Stops and starts MinIO in every way that an epoch can be hit, while `watched` runs. */
async function injectFaults(watched: Watched, minio: Minio, proxy: HttpFaultProxy): Promise<void> {
  await more(watched, 2);
  // Between upload and commit: the commit itself meets a dead server.
  await proxy.once(isCommitPut, { type: "reset" });
  await minio.kill();
  await untilReadingWaits(watched);
  await minio.startAgain();
  await more(watched, 2);
  // During the commit's answer: it is made, nobody is told, and the server is away when it is asked.
  await proxy.once(isCommitPut, { type: "lose_answer" });
  await minio.kill();
  await systemClock.sleep(2_000);
  await minio.startAgain();
  await more(watched, 2);
  // The same without an outage: only the answer is lost.
  await proxy.once(isCommitPut, { type: "lose_answer" });
  await more(watched, 1);
  // It stands still, longer than the time out.
  minio.pause();
  await systemClock.sleep(3_000);
  minio.resume();
  await more(watched, 2);
}

/** Waits until ingest has read what it may hold, and stands still although the readers go on. */
async function untilReadingWaits({ pipeline, reports }: Watched): Promise<void> {
  let [seen, still] = [-1, 0];
  await until("ingest to wait for the lake", async () => {
    await systemClock.sleep(1_000);
    const { records, partitions } = pipeline.stats().ingest!;
    const behind = partitions.some(({ position, end }) => position < end);
    still = behind && records === seen ? still + 1 : 0;
    seen = records;
    return still === STILL_SEEN;
  });
  const { records, bytes } = pipeline.stats().ingest!;
  const heldBytes = (records - sum(reports)) * bytes / records;
  const heldBytesMax = (EPOCHS_IN_FLIGHT_MAX + 1) * EPOCH_BYTES;
  assert(heldBytes <= heldBytesMax, `${heldBytes} bytes are held, at most ${heldBytesMax}`);
  console.log(
    `Without the lake ingest waited, with ${Math.round(heldBytes / MIB)} MiB read and not committed.`,
  );
}

Deno.test("Every session is in the bucket once and right after MinIO stopped, stood still and lost its answers", () =>
  withTempDir(async (dataDir) => {
    await using minio = await Minio.start();
    await using proxy = new HttpFaultProxy({ hostname: "127.0.0.1", port: minio.port });
    const config = configOf(dataDir, minio.credentials, proxy.url);
    const truth = `${dataDir}/truth.json`;

    const watched = await start(config, false);
    const feeding = new AbortController();
    const fed = feed(config, truth, feeding.signal);
    await injectFaults(watched, minio, proxy).finally(() => feeding.abort());
    const produced = await fed;
    watched.pipeline.drain();
    await watched.pipeline.finished;
    assert(watched.reports.some(({ closedBy }) => closedBy === "size"), "epochs were filled to their bound");
    const warnings = watched.warnings.join("\n");
    assertStringIncludes(warnings, "S3_ENDPOINT");
    assertStringIncludes(warnings, "The Delta commit of epoch");

    // What was open at the drain is in a checkpoint in the bucket: the second run takes it up and closes it.
    const second = await start(config, true);
    const { deadLetters } = await second.pipeline.finished;
    assertEquals(
      sum(watched.reports) + sum(second.reports),
      produced.records + 1,
      "each record is in one epoch",
    );

    const table = `s3://${BUCKET}/${PREFIX}/sessions`;
    const compared = await runDeltaRs(COMPARE, [table, truth], minio.credentials);
    assertStringIncludes(compared, "; 0 differences");
    const { sessions } = JSON.parse(await Deno.readTextFile(truth)) as { sessions: readonly unknown[] };

    await using service = await openQueryService(config);
    const { columns, rows } = await service.run("sessions", { limit: 1_000_000 });
    const identity = ["session_id", "source_partition", "first_offset"].map((name) => columns.indexOf(name));
    const identities = new Set(rows.map((row) => identity.map((at) => row[at]).join(" ")));
    assertEquals([rows.length, identities.size], [sessions.length, sessions.length]);
    const letters = await service.run("dead-letters", { limit: 10 });
    assertEquals([deadLetters, letters.rows.length], [0, 1]);
    console.log(
      `${compared.trim()}\n${produced.records} records in ${
        watched.reports.length + second.reports.length
      } epochs; ` +
        `${rows.length} sessions in ClickHouse; ${watched.warnings.length} warnings`,
    );
  }));

function sum(reports: readonly EpochReport[]): number {
  return reports.reduce((total, { events }) => total + events, 0);
}
