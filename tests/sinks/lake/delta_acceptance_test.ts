/**
 * The public acceptance tables of Delta Lake (tests/data/README.md): our log replay and our Parquet reader find, at each
 * version that they have expectations of, the rows that Spark wrote down for it.
 */
import { assert, assertEquals } from "@std/assert";
import type { Table } from "apache-arrow";
import { DataFiles } from "../../../sinks/lake/data_files.ts";
import type { AddFile } from "../../../sinks/lake/delta_actions.ts";
import { DeltaLog } from "../../../sinks/lake/delta_log.ts";
import { FolderStore } from "../../../sinks/lake/folder_store.ts";
import { decodeParquet } from "../../../sinks/lake/parquet.ts";

const ROOT = new URL("../../data/delta_acceptance/", import.meta.url).pathname;

/** What `table_version_metadata.json` says. */
interface Expected {
  readonly version: number;
  readonly min_reader_version: number;
  readonly min_writer_version: number;
}

type Cells = Record<string, unknown>;

/** A cell as partition values have it, so that both compare. */
function comparable(value: unknown): unknown {
  if (value instanceof Uint8Array) return new TextDecoder().decode(value);
  return value;
}

/** The rows of a file; a column that it has not is null, and those that it is partitioned by come from the log. */
function rowsOf(table: Table, columns: readonly string[], add?: AddFile): Cells[] {
  return Array.from({ length: table.numRows }, (_, row) =>
    Object.fromEntries(columns.map((name) => {
      const own = add?.partitionValues[name];
      return [name, own === undefined ? comparable(table.getChild(name)?.get(row) ?? null) : own];
    })));
}

function sorted(rows: readonly Cells[]): string[] {
  return rows.map((row) => JSON.stringify(row, (_, value) => typeof value === "bigint" ? `${value}n` : value))
    .sort();
}

/** Dates of the expected file as the log writes them. */
function withDates(rows: readonly Cells[], dates: ReadonlySet<string>): Cells[] {
  return rows.map((row) =>
    Object.fromEntries(
      Object.entries(row).map(([name, value]) => {
        if (value === null || !dates.has(name)) return [name, value];
        return [name, new Date(value as number).toISOString().slice(0, 10)];
      }),
    )
  );
}

const names = (folder: string) => [...Deno.readDirSync(folder)].map(({ name }) => name).sort();

for (const table of names(ROOT)) {
  Deno.test(`Delta's acceptance table '${table}' is read with the expected rows at every version`, async () => {
    const store = new FolderStore({ root: `${ROOT}${table}/delta`, uuid: () => crypto.randomUUID() });
    const log = new DeltaLog(store, "");
    const files = new DataFiles({ store, root: "", now: () => 0, uuid: () => crypto.randomUUID() });
    const cases = names(`${ROOT}${table}/expected`);
    assert(cases.includes("latest"));
    for (const name of cases) {
      const folder = `${ROOT}${table}/expected/${name}`;
      const expected = JSON.parse(
        await Deno.readTextFile(`${folder}/table_version_metadata.json`),
      ) as Expected;
      const snapshot = (await log.load(name === "latest" ? undefined : expected.version))!.snapshot();
      assertEquals(snapshot.version, expected.version, name);
      assertEquals(snapshot.protocol.minReaderVersion, expected.min_reader_version, name);
      assertEquals(snapshot.protocol.minWriterVersion, expected.min_writer_version, name);
      const { fields } = JSON.parse(snapshot.metaData.schemaString) as {
        fields: { name: string; type: string }[];
      };
      const columns = fields.map((field) => field.name);
      const dates = new Set(fields.filter(({ type }) => type === "date").map((field) => field.name));
      const found: Cells[] = [];
      for (const [path, add] of snapshot.files) {
        found.push(...rowsOf(decodeParquet(await files.read(path), path), columns, add));
      }
      const content = `${folder}/table_content.parquet`;
      const wanted = rowsOf(decodeParquet(await Deno.readFile(content), content), columns);
      assert(wanted.length > 0, name);
      assertEquals(sorted(found), sorted(withDates(wanted, dates)), name);
    }
  });
}
