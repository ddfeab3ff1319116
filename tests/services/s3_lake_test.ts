/** The Delta table, its dead letters and the checkpoints on a real MinIO whose answers get lost on the way. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { EMPTY_LEDGER } from "../../schema/epoch.ts";
import { SinkError } from "../../schema/errors.ts";
import { CheckpointStore } from "../../sinks/checkpoint_store.ts";
import type { DeltaLake } from "../../sinks/lake/lake.ts";
import type { S3Store } from "../../sinks/lake/s3_store.ts";
import { deadLetterRows, epochCommit, lakeOn, nthCommit, sessionRows } from "../sinks/lake/lake_fixture.ts";
import { HttpFaultProxy, type ProxiedRequest } from "./harness/fault_proxy.ts";
import { s3, stopMinio, testStore } from "./harness/minio.ts";

Deno.test.afterAll(stopMinio);

/** A lake behind a proxy, and the same place seen straight. */
interface Scene {
  readonly lake: DeltaLake;
  readonly store: S3Store;
  readonly direct: S3Store;
  readonly proxy: HttpFaultProxy;
}

async function withLake(run: (scene: Scene) => Promise<void>): Promise<void> {
  const credentials = await s3();
  const { hostname, port } = new URL(credentials.endpoint);
  const prefix = crypto.randomUUID();
  const direct = testStore(credentials, { prefix });
  await using proxy = new HttpFaultProxy({ hostname, port: Number(port || 80) });
  const store = testStore(credentials, { prefix, endpoint: proxy.url, timeoutMs: 1_000 });
  try {
    await store.prepare();
    const lake = lakeOn(store);
    await lake.open();
    await run({ lake, store, direct, proxy });
  } finally {
    for (const { key } of await direct.list("")) await direct.delete(key);
    direct.close();
    store.close();
  }
}

const isCommit = ({ path }: ProxiedRequest) => /_delta_log\/\d{20}\.json$/.test(path);
const isCommitPut = (request: ProxiedRequest) => request.method === "PUT" && isCommit(request);

/** The epochs of the log as a reader without a fault sees them, and the sessions' ids. */
async function seen({ direct }: Scene): Promise<{ epochs: number[]; sessions: number }> {
  const reader = lakeOn(direct);
  const epochs = (await reader.epochsAfter(-1)).map(({ record }) => record.epoch);
  return { epochs, sessions: (await reader.readSessions()).rows };
}

/** Stages two sessions and commits them as epoch `n`. */
async function commitNth(lake: DeltaLake, n: number): Promise<number> {
  const rows = sessionRows([1, 2].map((i) => ({ partition: 0, firstOffset: n * 10 + i })), n);
  const outcome = await lake.commit(nthCommit(n, await lake.stage(n, rows)));
  assert(outcome.status === "committed", JSON.stringify(outcome));
  return outcome.version;
}

Deno.test("A commit whose answer is lost is found again by its UUID, and counts once", () =>
  withLake(async (scene) => {
    const { lake, proxy } = scene;
    const happened = proxy.once(isCommitPut, { type: "lose_answer" });
    assertEquals(await commitNth(lake, 1), 1);
    await happened;
    assertEquals(await commitNth(lake, 2), 2);
    assertEquals(await seen(scene), { epochs: [1, 2], sessions: 4 });
  }));

Deno.test("A commit is tried again without harm when its answer and every read-back are lost", () =>
  withLake(async (scene) => {
    const { lake, proxy } = scene;
    const rows = sessionRows([{ partition: 0, firstOffset: 3 }]);
    const commit = nthCommit(1, await lake.stage(1, rows));
    proxy.rule = (request) => isCommit(request) ? { type: "lose_answer" } : { type: "pass" };
    const error = await assertRejects(() => lake.commit(commit), SinkError) as SinkError;
    assert(error.retryable, error.message);
    proxy.rule = () => ({ type: "pass" });
    assertEquals(await lake.commit(commit), { status: "committed", version: 1, conflicts: 0 });
    assertEquals(await commitNth(lake, 2), 2);
    assertEquals(await seen(scene), { epochs: [1, 2], sessions: 3 });
  }));

Deno.test("A commit that reaches the server after its writer gave up on it counts once", () =>
  withLake(async (scene) => {
    const { lake, proxy } = scene;
    const late = proxy.once(isCommitPut, { type: "delay", ms: 1_500 });
    assertEquals(await commitNth(lake, 1), 1);
    await late;
    assertEquals(await commitNth(lake, 2), 2);
    assertEquals(await seen(scene), { epochs: [1, 2], sessions: 4 });
  }));

Deno.test("A commit that was never sent, for the server was away, is made by the next try", () =>
  withLake(async (scene) => {
    const { lake, proxy } = scene;
    const commit = nthCommit(1, await lake.stage(1, sessionRows([{ partition: 0, firstOffset: 3 }])));
    proxy.setState("refuse");
    const error = await assertRejects(() => lake.commit(commit), SinkError, "cannot be reached") as SinkError;
    assert(error.retryable);
    proxy.setState("up");
    assertEquals(await lake.commit(commit), { status: "committed", version: 1, conflicts: 0 });
    assertEquals(await seen(scene), { epochs: [1], sessions: 1 });
  }));

Deno.test("A data file whose upload was lost is uploaded again under another name, and only that one counts", () =>
  withLake(async (scene) => {
    const { lake, proxy } = scene;
    const rows = sessionRows([{ partition: 0, firstOffset: 3 }]);
    const isData = ({ path, method }: ProxiedRequest) => method === "PUT" && path.includes("session_date");
    proxy.once(isData, { type: "lose_answer" });
    await assertRejects(() => lake.stage(1, rows), SinkError);
    await lake.commit(nthCommit(1, await lake.stage(1, rows)));
    assertEquals(await seen(scene), { epochs: [1], sessions: 1 });
    const data = (await scene.direct.list("sessions/session_date=")).length;
    assertEquals(data, 2, "the first one is there, and no commit names it");
  }));

Deno.test("Dead letters count when a commit names their file, also where the upload had to be repeated", () =>
  withLake(async ({ lake, proxy, direct }) => {
    const letters = deadLetterRows(1, [5, 6]);
    proxy.once(({ path, method }) => method === "PUT" && path.includes("dead_letters/"), {
      type: "lose_answer",
    });
    await assertRejects(() => lake.stageDeadLetters(1, letters), SinkError);
    const file = await lake.stageDeadLetters(1, letters);
    await lake.commit(epochCommit(1, [{ partition: 0, from: 0, to: 10, barrierNumber: 1 }], [], file));
    assertEquals((await lakeOn(direct).readDeadLetters(10)).rows, 2);
  }));

Deno.test("Writers of other partitions lose no commit to each other on S3, with their Delta checkpoints", () =>
  withLake(async (scene) => {
    const writers = await Promise.all([1, 2, 3].map(async (partition) => {
      const lake = lakeOn(partition === 1 ? scene.store : scene.direct);
      await lake.open();
      return { partition, lake };
    }));
    await Promise.all(writers.map(async ({ partition, lake }) => {
      for (let n = 1; n <= 8; n++) {
        const rows = sessionRows([{ partition, firstOffset: n }], n);
        const advances = [{ partition, from: (n - 1) * 10, to: n * 10, barrierNumber: n }];
        const outcome = await lake.commit(epochCommit(n, advances, await lake.stage(n, rows)));
        assertEquals(outcome.status, "committed");
      }
    }));
    assertEquals((await seen(scene)).sessions, 24);
    const { version, positions } = await lakeOn(scene.direct).open();
    assertEquals(version, 24);
    assertEquals(positions.map(({ nextOffset }) => nextOffset), [80, 80, 80]);
    assert(await scene.direct.get("sessions/_delta_log/_last_checkpoint") !== null);
  }));

Deno.test("A checkpoint of the state is written again when its answer is lost, and read back whole", () =>
  withLake(async ({ store, direct, proxy }) => {
    const checkpoints = (on: S3Store) =>
      new CheckpointStore({ store: on, pipeline: "web", topic: "web_clicks", notice: () => {} });
    const occurrences = [new TextEncoder().encode('{"a":1}\n{"b":2}\n')];
    for (let n = 1; n <= 5; n++) {
      const { barrier } = epochCommit(n, [{ partition: 0, from: 0, to: n, barrierNumber: n }]).record
        .partitions[0]!;
      const header = {
        semanticsVersion: 1,
        pipeline: "web",
        topic: "web_clicks",
        barrier,
        ledger: EMPTY_LEDGER,
        latestEventTime: null,
        deltaVersion: n,
      };
      proxy.once(({ path, method }) => method === "PUT" && path.includes("checkpoints/"), {
        type: "lose_answer",
      });
      await assertRejects(() => checkpoints(store).write(header, occurrences), SinkError);
      await checkpoints(store).write(header, occurrences);
    }
    const newest = await checkpoints(direct).newest(0, 5);
    assertEquals(newest?.header.barrier.number, 5);
    assertEquals(newest?.occurrences, occurrences[0]);
    assertEquals((await direct.list("checkpoints/")).length, 3);
    assertEquals((await checkpoints(direct).newest(0, 4))?.header.barrier.number, 4);
  }));
