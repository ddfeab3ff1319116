/** Old dates that go into an archive in another bucket, as delta-rs reads both tables. */
import { assertEquals } from "@std/assert";
import { resolveConfig } from "../../schema/config.ts";
import { sessionColumnIndex } from "../../schema/session.ts";
import { cellAt } from "../../schema/column_batch.ts";
import { openLake } from "../../sinks/lake/open.ts";
import { NOW, nthCommit, sessionRows } from "../sinks/lake/lake_fixture.ts";
import { ALL_FOLLOWED, DAY_MS } from "../sinks/lake/upkeep_fixture.ts";
import { runDeltaRs } from "./harness/delta_rs.ts";
import { s3, stopMinio, testStore } from "./harness/minio.ts";

const READER = new URL("readers/delta_rs_retention.py", import.meta.url).pathname;
const ARCHIVE_BUCKET = "sessionary-tests-archive";

interface DeltaRsView {
  readonly version: number;
  readonly ids: readonly string[];
  readonly changes: Readonly<Record<string, number>>;
  readonly columns: readonly string[];
}

Deno.test.afterAll(stopMinio);

Deno.test("delta-rs reads what was retired from the archive's bucket, and its deletion from the table's changes", async () => {
  const credentials = await s3();
  const prefix = crypto.randomUUID();
  const stores = [{}, { bucket: ARCHIVE_BUCKET }].map((where) =>
    testStore(credentials, { prefix, ...where })
  );
  const { config } = resolveConfig({
    flags: {},
    env: {
      PIPELINE: "web",
      S3_ENDPOINT: credentials.endpoint,
      S3_ACCESS_KEY: credentials.accessKey,
      S3_SECRET_KEY: credentials.secretKey,
      S3_REGION: credentials.region,
      S3_BUCKET: "sessionary-tests",
      S3_PREFIX: prefix,
      ARCHIVE_BUCKET,
      ARCHIVE_PREFIX: prefix,
    },
  });
  const { lake, retention, prepare } = await openLake(config, { now: () => NOW, notice: () => {} });
  const look = async (bucket: string, from: number): Promise<DeltaRsView> =>
    JSON.parse(await runDeltaRs(READER, [`s3://${bucket}/${prefix}/sessions`, String(from)], credentials));
  try {
    await prepare();
    await lake.open();
    for (const n of [1, 2, 3]) {
      const sessions = [0, 1, 2].map((days) => ({
        partition: 0,
        firstOffset: 10 * n + days,
        start: NOW - days * DAY_MS,
      }));
      await lake.commit(nthCommit(n, await lake.stage(n, sessionRows(sessions, n))));
    }
    const rows = await lake.readSessions();
    const ids = Array.from(
      { length: rows.rows },
      (_, row) => cellAt(rows.columns[sessionColumnIndex("session_id")]!, row) as string,
    );
    const retire = (horizon: string) =>
      retention.retire({ horizon, writtenBeforeMs: Infinity }, ALL_FOLLOWED);
    assertEquals((await retire("2024-01-01")).version, 4);
    assertEquals((await retire("2024-01-02")).version, 5);
    const [table, archive] = [await look("sessionary-tests", 4), await look(ARCHIVE_BUCKET, 0)];
    assertEquals([table.ids.length, archive.ids.length], [3, 6]);
    assertEquals([...table.ids, ...archive.ids].sort(), ids.sort());
    assertEquals(table.changes, { "4 delete": 3, "5 delete": 3 });
    assertEquals(archive.changes, { "1 insert": 3, "2 insert": 3 });
    assertEquals(archive.columns, table.columns);
  } finally {
    for (const store of stores) {
      for (const { key } of await store.list("")) await store.delete(key);
      store.close();
    }
  }
});
