/** Does the log add up? PURE: from the commits' records and the newest `txn`s to what does not agree. */
import type { Ledger, PartitionBarrier, PartitionRecord } from "../../schema/epoch.ts";
import type { CommittedEpoch, PartitionPosition } from "../sink.ts";

/** One partition's books. */
export interface PartitionBooks {
  readonly partition: number;
  readonly barriers: number;
  /** Where the pipeline began to read, and the fetch position at the newest barrier. */
  readonly from: number;
  readonly to: number;
  readonly ledger: Ledger;
  /** Of `ledger.inSessions`, the events whose rows a restore or their age took away. */
  readonly retired: number;
}

export interface LedgerFindings {
  readonly partitions: readonly PartitionBooks[];
  readonly differences: readonly string[];
}

/**
 * Checks each partition's chain of barriers from its first one: numbers without a gap, each `from` the `to` before it,
 * every ledger balanced and none shrinking, and at the end the two `txn`s.
 *
 * @param epochs all commits of the pipeline, ascending
 * @param rowEvents events in the table's rows, by partition
 * @param retired events whose rows a restore or their age took away, by partition
 * @param cleaned whether the log's cleanup has deleted earlier commits: each chain then begins where the log does
 */
export function checkLedger(
  epochs: readonly CommittedEpoch[],
  positions: readonly PartitionPosition[],
  rowEvents: ReadonlyMap<number, number>,
  retired: ReadonlyMap<number, number>,
  cleaned: boolean,
): LedgerFindings {
  const differences: string[] = [];
  const books = new Map<number, PartitionBooks & { readonly last: PartitionBarrier }>();
  for (const { version, record } of epochs) {
    for (const entry of record.partitions) {
      const { barrier, ledger } = entry;
      const before = books.get(barrier.partition);
      const place = `version ${version}, partition ${barrier.partition}`;
      differences.push(
        ...stepDifferences(entry, before, cleaned).map((difference) => `${place}: ${difference}`),
      );
      books.set(barrier.partition, {
        partition: barrier.partition,
        barriers: (before?.barriers ?? 0) + 1,
        from: before?.from ?? barrier.from,
        to: barrier.to,
        ledger,
        retired: retired.get(barrier.partition) ?? 0,
        last: barrier,
      });
    }
  }
  for (const { partition, nextOffset, barrierNumber } of positions) {
    const last = books.get(partition)?.last;
    if (last?.to === nextOffset && last.number === barrierNumber) continue;
    if (last === undefined && cleaned) continue;
    differences.push(
      `partition ${partition}: its txns say offset ${nextOffset} and barrier ${barrierNumber}, its newest barrier ` +
        `says ${last?.to ?? "nothing"} and ${last?.number ?? "nothing"}`,
    );
  }
  for (const { partition, ledger } of books.values()) {
    const inRows = rowEvents.get(partition) ?? 0;
    const gone = retired.get(partition) ?? 0;
    if (inRows + gone === ledger.inSessions) continue;
    const restored = gone === 0 ? "" : `, ${gone} were retired`;
    differences.push(
      `partition ${partition}: the rows hold ${inRows} events${restored}, the ledger ${ledger.inSessions}`,
    );
  }
  const partitions = [...books.values()].map(({ last: _, ...book }) => book);
  return { partitions: partitions.sort((a, b) => a.partition - b.partition), differences };
}

/** What is wrong with one barrier after the one before it. */
function stepDifferences(
  { barrier, ledger }: PartitionRecord,
  before: { readonly last: PartitionBarrier; readonly ledger: Ledger } | undefined,
  cleaned: boolean,
): string[] {
  const differences: string[] = [];
  const number = (before?.last.number ?? 0) + 1;
  const unknown = before === undefined && cleaned;
  if (!unknown && barrier.number !== number) {
    differences.push(`barrier ${barrier.number} stands where ${number} should`);
  }
  if (before !== undefined && barrier.from !== before.last.to) {
    differences.push(
      `it begins at offset ${barrier.from}, and the barrier before it ended at ${before.last.to}`,
    );
  }
  const accounted = ledger.inSessions + ledger.duplicates + ledger.deadLetters + ledger.held;
  if (ledger.consumed !== accounted) {
    differences.push(`${ledger.consumed} records were consumed and ${accounted} are accounted for`);
  }
  const consumed = ledger.consumed - (before?.ledger.consumed ?? 0);
  if (!unknown && (consumed < 0 || consumed > barrier.to - barrier.from)) {
    differences.push(
      `${consumed} records were consumed between the offsets ${barrier.from} and ${barrier.to}`,
    );
  }
  return differences;
}
