import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { AddFile } from "../../../sinks/lake/delta_actions.ts";
import { resolveConfig } from "../../../schema/config.ts";
import {
  optimizePlan,
  planBins,
  type PlanOptions,
  ROWS_PER_BIN_MAX,
} from "../../../sinks/lake/optimize_plan.ts";

const MiB = 1024 * 1024;
const OPTIONS: PlanOptions = { targetBytes: 100 * MiB, writtenBeforeMs: 10, date: null, patient: false };

function fileOf(size: number, modificationTime = 0, session_date = "2024-01-01", rows = 1): AddFile {
  const stats = JSON.stringify({ numRecords: rows });
  return { path: "", partitionValues: { session_date }, size, modificationTime, dataChange: true, stats };
}

function sizes(files: readonly AddFile[], options: Partial<PlanOptions> = {}): number[][] {
  const byPath = new Map(files.map((file, i) => [`f${i}`, file]));
  return planBins(byPath, { ...OPTIONS, ...options }).map(({ files }) =>
    files.map(({ file }) => file.size / MiB)
  );
}

Deno.test("files are left alone while the settings let late events revise their sessions", () => {
  const { config } = resolveConfig({ env: { OPTIMIZE_TARGET_SIZE: "5MiB" }, secretFiles: {}, flags: {} });
  const plan = optimizePlan(config, 1_000_000, { date: null, patient: true });
  // Lateness 2 min, delay 1 min, two intervals of revisions of 1 min, and a minute.
  const expected = {
    targetBytes: 5 * MiB,
    writtenBeforeMs: 1_000_000 - 6 * 60_000,
    date: null,
    patient: true,
  };
  assertEquals(plan, expected);
});

Deno.test("a date's small files go into bins of the target size, the smallest first; full ones stay", () => {
  const files = [40, 30, 75, 20, 10, 45].map((size) => fileOf(size * MiB));
  assertEquals(sizes(files), [[10, 20, 30, 40]]);
});

Deno.test("files of two dates are never in one bin, and one file alone stays", () => {
  const files = [fileOf(MiB), fileOf(MiB, 0, "2024-01-02"), fileOf(2 * MiB, 0, "2024-01-02")];
  assertEquals(sizes(files), [[1, 2]]);
  assertEquals(sizes(files, { date: "2024-01-01" }), []);
});

Deno.test("files that may still be revised wait", () => {
  assertEquals(sizes([fileOf(MiB, 9), fileOf(MiB, 10), fileOf(MiB, 11)]), []);
  assertEquals(sizes([fileOf(MiB, 9), fileOf(MiB, 8), fileOf(MiB, 11)]), [[1, 1]]);
});

Deno.test("who comes again and again leaves a file alone until as many bytes stand beside it", () => {
  const small = [fileOf(2 * MiB), fileOf(3 * MiB)];
  assertEquals(sizes([...small, fileOf(20 * MiB)], { patient: true }), []);
  assertEquals(sizes([fileOf(2 * MiB), fileOf(2 * MiB), fileOf(20 * MiB)], { patient: true }), [[2, 2]]);
  assertEquals(sizes([...small, fileOf(20 * MiB)]), [[2, 3, 20]]);
});

Deno.test("property: bins are within the bounds, and each file is in one bin at most", () => {
  const file = fc.record({ size: fc.integer({ min: 1, max: 120 * MiB }), rows: fc.nat(150_000) });
  fc.assert(fc.property(fc.array(file, { maxLength: 40 }), fc.boolean(), (files, patient) => {
    const byPath = new Map(files.map(({ size, rows }, i) => [`f${i}`, fileOf(size, 0, "2024-01-01", rows)]));
    const bins = planBins(byPath, { ...OPTIONS, patient });
    const packed = bins.flatMap(({ files }) => files.map(({ path }) => path));
    assertEquals(new Set(packed).size, packed.length);
    for (const { files, bytes } of bins) {
      assert(files.length > 1 && bytes <= OPTIONS.targetBytes);
      assert(files.reduce((sum, { rows }) => sum + rows, 0) <= ROWS_PER_BIN_MAX);
    }
  }));
});

Deno.test("a day of small files is rewritten a few times only, and ends as few files", () => {
  let files = new Map<string, AddFile>();
  let [written, ingested] = [0, 0];
  for (let run = 0; run < 144; run++) {
    for (let i = 0; i < 60; i++) files.set(`${run}-${i}`, fileOf(200 * 1024));
    ingested += 60 * 200 * 1024;
    for (
      const { files: packed, bytes } of planBins(files, { ...OPTIONS, targetBytes: 128 * MiB, patient: true })
    ) {
      files = new Map([...files].filter(([path]) => !packed.some((file) => file.path === path)));
      files.set(`packed-${run}`, fileOf(bytes));
      written += bytes;
    }
  }
  assert(files.size < 25, `${files.size} files`);
  assert(written < 5 * ingested, `each byte was written ${written / ingested} times`);
});
