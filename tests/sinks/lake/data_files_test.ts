import { assertEquals } from "@std/assert";
import { Int32, Table, vectorFromArray } from "apache-arrow";
import { ParquetFile } from "parquet-wasm";
import { SESSION_COLUMNS, SESSION_KINDS } from "../../../schema/session.ts";
import { takeRows } from "../../../schema/take_rows.ts";
import { fromArrow } from "../../../sinks/lake/arrow.ts";
import { DataFiles, rowGroups } from "../../../sinks/lake/data_files.ts";
import { FileStats } from "../../../sinks/lake/delta_stats.ts";
import { decodeParquet } from "../../../sinks/lake/parquet.ts";
import { folderStore, NOW, sessionRows, temporaryFolder } from "./lake_fixture.ts";

Deno.test("a packed file has the rows in their order, group by group, and the statistics of all", async () => {
  await using folder = await temporaryFolder();
  const files = new DataFiles({
    store: folderStore(folder.path),
    root: "sessions/",
    now: () => NOW,
    uuid: () => "u",
  });
  const batches = [0, 1].map((partition) =>
    sessionRows(Array.from({ length: 9_000 }, (_, i) => ({
      partition,
      firstOffset: i,
      sessionId: `${partition}-${i}`,
      city: i === 8_500 ? `Å ${partition}` : null,
      events: 1 + i % 3,
    })))
  );
  // From both batches in turns, and not all of them.
  const count = 17_000;
  const order = {
    batch: Uint32Array.from({ length: count }, (_, i) => i % 2),
    row: Uint32Array.from({ length: count }, (_, i) => 8_999 - (i >> 1)),
  };
  const others = new Table({
    added: vectorFromArray(Array.from({ length: count }, (_, i) => i), new Int32()),
  });
  const staged = await files.writePacked("2024-01-02", rowGroups(batches, order, others));
  const bytes = await files.read(staged.path);
  const metadata = (await ParquetFile.fromFile(new Blob([bytes as BlobPart]))).metadata();
  const groups = Array.from(
    { length: metadata.numRowGroups() },
    (_, i) => metadata.rowGroup(i).numRows(),
  );
  assertEquals(groups, [8_192, 8_192, 616]);
  const table = decodeParquet(bytes, staged.path);
  const expected = takeRows(SESSION_KINDS, batches, order);
  assertEquals(fromArrow(SESSION_COLUMNS, table, staged.path), expected);
  assertEquals(Array.from(table.getChild("added")!), Array.from({ length: count }, (_, i) => i));
  assertEquals(
    { ...staged, path: "", size: 0 },
    {
      path: "",
      size: 0,
      sessionDate: "2024-01-02",
      rows: count,
      stats: new FileStats(SESSION_COLUMNS).add(expected).text(),
      modifiedAtMs: NOW,
    },
  );
  assertEquals(staged.size, bytes.length);
});
