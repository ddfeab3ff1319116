import { assertEquals } from "@std/assert";
import type { Ledger, PartitionBarrier } from "../../../schema/epoch.ts";
import { checkLedger } from "../../../sinks/verification/ledger.ts";
import type { CommittedEpoch } from "../../../sinks/sink.ts";

function epoch(version: number, barrier: Partial<PartitionBarrier>, ledger: Partial<Ledger>): CommittedEpoch {
  const partition: PartitionBarrier = {
    partition: 0,
    number: version,
    epoch: version,
    from: 0,
    to: 0,
    clock: 0,
    eventWatermark: null,
    watermark: null,
    idleSince: null,
    forgetBefore: null,
    closeOpen: false,
    revise: false,
    lastRecord: null,
    ...barrier,
  };
  const totals: Ledger = { consumed: 0, inSessions: 0, duplicates: 0, deadLetters: 0, held: 0, ...ledger };
  return {
    version,
    record: { partitions: [{ barrier: partition, ledger: totals }] } as unknown as CommittedEpoch["record"],
  };
}

const FIRST = epoch(1, { from: 5, to: 15 }, { consumed: 10, inSessions: 6, held: 4 });
const SECOND = epoch(2, { from: 15, to: 20 }, {
  consumed: 14,
  inSessions: 12,
  duplicates: 1,
  deadLetters: 1,
});
const END = [{ partition: 0, nextOffset: 20, barrierNumber: 2 }];

function differences(epochs: readonly CommittedEpoch[], positions = END, events = 12): number {
  return checkLedger(epochs, positions, new Map([[0, events]]), new Map(), false).differences.length;
}

Deno.test("a chain of barriers whose ledgers balance and whose txns agree has no difference; gaps in offsets are legal", () => {
  const found = checkLedger([FIRST, SECOND], END, new Map([[0, 12]]), new Map(), false);
  assertEquals(found.differences, []);
  assertEquals(found.partitions.map(({ from, to, barriers }) => [from, to, barriers]), [[5, 20, 2]]);
});

Deno.test("each way in which the books can be wrong is found", () => {
  const second = (barrier: Partial<PartitionBarrier>, ledger: Partial<Ledger>) =>
    epoch(2, { from: 15, to: 20, ...barrier }, { ...SECOND.record.partitions[0]!.ledger, ...ledger });
  assertEquals(differences([FIRST]), 2); // neither the txns nor the rows' events
  assertEquals(differences([FIRST, second({ number: 3 }, {})]), 2); // a number is left out, and the txn's
  assertEquals(differences([FIRST, second({ from: 14 }, {})]), 1);
  assertEquals(differences([FIRST, second({}, { held: 1 })]), 1);
  assertEquals(differences([FIRST, second({}, { consumed: 16, held: 2 })]), 1); // more than there are offsets
  assertEquals(differences([FIRST, SECOND], [{ ...END[0]!, nextOffset: 21 }]), 1);
  assertEquals(differences([FIRST, SECOND], END, 11), 1);
});

Deno.test("events whose rows a restore took away are accounted for, and no others", () => {
  const after = (rows: number, retired: number) =>
    checkLedger([FIRST, SECOND], END, new Map([[0, rows]]), new Map([[0, retired]]), false);
  assertEquals(after(7, 5).differences, []);
  assertEquals(after(7, 5).partitions[0]!.retired, 5);
  assertEquals(after(7, 4).differences, [
    "partition 0: the rows hold 7 events, 4 were retired, the ledger 12",
  ]);
});
