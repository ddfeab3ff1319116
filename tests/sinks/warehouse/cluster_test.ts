import { assert, assertEquals, assertMatch } from "@std/assert";
import { clustered } from "../../../sinks/warehouse/cluster.ts";
import { addMissingColumns } from "../../../sinks/warehouse/ddl.ts";
import { clickhouseSchema } from "../../../sinks/warehouse/migrations.ts";
import { withChdb } from "./harness.ts";

const STATEMENTS = [
  ...clickhouseSchema().split(/;\n+/).map((statement) => statement.trim()).filter((statement) =>
    statement !== ""
  ),
  ...addMissingColumns(new Set(["session_id"])).slice(0, 2),
  "CREATE DATABASE IF NOT EXISTS `news`",
  "DROP TABLE IF EXISTS session_metrics SYNC",
];

Deno.test("without a cluster a statement stays as it is", () => {
  for (const statement of STATEMENTS) assertEquals(clustered(statement, null), statement);
});

Deno.test("on a cluster every statement runs on all nodes, every table replicates, and ClickHouse's parser takes it", () =>
  withChdb(async (host) => {
    assert(STATEMENTS.length > 15, "all tables, views, columns, database and drop");
    const access = host.access("default");
    for (const statement of STATEMENTS) {
      const rewritten = clustered(statement, "main-1");
      assertEquals(rewritten.match(/ON CLUSTER `main-1`/g)?.length, 1, rewritten);
      if (statement.includes("ENGINE = ")) assertMatch(rewritten, /^\) ENGINE = Replicated\w*MergeTree/m);
      assertEquals(
        rewritten.replace(" ON CLUSTER `main-1`", "").replace("ENGINE = Replicated", "ENGINE = "),
        statement,
      );
      const parsed = await access.client.query({ query: `EXPLAIN AST ${rewritten}`, format: "TabSeparated" });
      assert((await parsed.text()).length > 0, rewritten);
    }
    await access.client.close();
  }));
