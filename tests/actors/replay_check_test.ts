import { assertEquals, assertRejects } from "@std/assert";
import { ReplayCheck } from "../../actors/replay_check.ts";
import { ColumnBatchBuilder } from "../../schema/column_batch.ts";
import { SinkError } from "../../schema/errors.ts";
import { REVISION_KINDS, sessionColumnIndex } from "../../schema/session.ts";
import { sessionRows } from "../sinks/lake/lake_fixture.ts";

/** Sessions of partition `n % 2`, with the brands that `changed` gives some of them. */
function rowsOf(numbers: readonly number[], changed: Readonly<Record<number, string>> = {}) {
  return sessionRows(
    numbers.map((n) => ({ partition: n % 2, firstOffset: n, brand: changed[n] ?? "The Daily" })),
  );
}

const NONE = new ColumnBatchBuilder(REVISION_KINDS).finish();

/** Version 5 committed sessions 1 to 4 at barrier 9 of both partitions. */
function checkOf(columns?: number): ReplayCheck {
  const check = new ReplayCheck({ rowsOf: () => Promise.resolve(rowsOf([1, 2, 3, 4])) }, 2);
  const partitions = [0, 1].map((partition) => ({ barrier: { partition, number: 9 } }));
  check.expect([
    { version: 5, record: { partitions, columns } } as unknown as Parameters<
      ReplayCheck["expect"]
    >[0][number],
  ]);
  return check;
}

const part = (shard: number, partition: number, rows: ReturnType<typeof rowsOf>) => ({
  shard,
  partition,
  barrierNumber: 9,
  rows,
  revisions: NONE,
});

Deno.test("rows that a replay makes again are compared with those of the commit, whichever shard makes them", async () => {
  const check = checkOf();
  await check.take(part(0, 0, rowsOf([4])));
  await check.take(part(0, 1, rowsOf([])));
  await check.take(part(1, 0, rowsOf([2])));
  await check.take(part(1, 1, rowsOf([3, 1])));
  assertEquals(await check.done(), 2);
});

Deno.test("columns that the program had not yet when it committed the rows are not compared", async () => {
  const brand = sessionColumnIndex("brand");
  const remade = rowsOf([4, 2], { 2: "Another" });
  const before = checkOf(brand);
  await before.take(part(0, 0, remade));
  await before.take(part(1, 0, rowsOf([])));
  assertEquals(await before.done(), 1);
  const after = checkOf(brand + 1);
  await after.take(part(0, 0, remade));
  await assertRejects(() => after.take(part(1, 0, rowsOf([]))), SinkError, 'has the brand "Another"');
});

for (
  const [what, rows, sentence] of [
    ["is missing", [rowsOf([4]), rowsOf([])], '1 differ: ["s-0-2",0,2] is not made again'],
    ["is too many", [rowsOf([4, 6]), rowsOf([2])], '1 differ: ["s-0-6",0,6] was never committed'],
    [
      "differs",
      [rowsOf([4]), rowsOf([2], { 2: "Another" })],
      '["s-0-2",0,2] has the brand "Another" where "The Daily" is committed',
    ],
  ] as const
) {
  Deno.test(`a replay of which a row ${what} stops with a sentence that says where`, async () => {
    const check = checkOf();
    await check.take(part(0, 0, rows[0]));
    await assertRejects(() => check.take(part(1, 0, rows[1])), SinkError, sentence);
  });
}
