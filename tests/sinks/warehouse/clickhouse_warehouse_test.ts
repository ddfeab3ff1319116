import { assertEquals, assertRejects } from "@std/assert";
import { SinkError } from "../../../schema/errors.ts";
import { createWarehouse } from "../../../sinks/warehouse/clickhouse_warehouse.ts";
import { warehouseContract } from "../warehouse_contract.ts";
import {
  addedRows,
  ChdbHost,
  expectedTotals,
  forgetDone,
  parquetOf,
  sessionRow,
  sessionRows,
  totals,
  withChdb,
  withFolder,
} from "./harness.ts";

const TABLE_ID = "7b0d3d7c-0000-4000-8000-000000000001";

warehouseContract("chDB by its port", async () => {
  const root = await Deno.makeTempDir();
  const host = await ChdbHost.open(`${root}/warehouse`);
  return {
    connect: () => host.access("sessionary"),
    async [Symbol.asyncDispose]() {
      await host.close();
      await Deno.remove(root, { recursive: true });
    },
  };
});

Deno.test("a retry after a restart of chDB, and after its merges, still counts once", () =>
  withFolder(async (folder) => {
    const parquet = parquetOf(sessionRows(300));
    for (let start = 0; start < 3; start++) {
      const host = await ChdbHost.open(folder);
      const access = host.access("sessionary");
      const warehouse = createWarehouse({ access });
      await warehouse.open();
      await warehouse.follow(TABLE_ID, 1, addedRows(300, parquet));
      await warehouse.follow(
        TABLE_ID,
        2 + start,
        addedRows(100, parquetOf(sessionRows(100, 300 + 100 * start))),
      );
      assertEquals(await totals(access), expectedTotals(300 + 100 * (start + 1)));
      await access.client.command({ query: "OPTIMIZE TABLE session_metrics FINAL" });
      await access.client.command({ query: "OPTIMIZE TABLE brand_analytics FINAL" });
      await forgetDone(access);
      await warehouse.close();
      await host.close();
    }
  }));

Deno.test("no file stays in the warehouse folder, after success, failure or a crash", () =>
  withChdb(async (host) => {
    const warehouse = createWarehouse({ access: host.access("sessionary") });
    await warehouse.open();
    const incoming = `${host.folder}/incoming`;
    const left = () => [...Deno.readDirSync(incoming)].map(({ name }) => name);
    await Deno.writeTextFile(`${incoming}/left.parquet`, "of a crash");
    await warehouse.open();
    assertEquals(left(), []);
    await warehouse.follow(TABLE_ID, 1, addedRows(1, parquetOf([sessionRow(0)])));
    await assertRejects(
      () => warehouse.follow(TABLE_ID, 2, addedRows(1, new TextEncoder().encode("no Parquet"))),
      SinkError,
    );
    assertEquals(left(), []);
    await warehouse.close();
  }));
