/** Does a replay make the committed rows again? What it brings out is compared, row by row, before it is discarded. */
import { cellAt, type ColumnBatch } from "../schema/column_batch.ts";
import { invariant, SinkError } from "../schema/errors.ts";
import { SESSION_COLUMNS, sessionColumnIndex } from "../schema/session.ts";
import type { CommittedEpoch, Lake } from "../sinks/sink.ts";
import type { RemadeRows } from "./protocol.ts";

const PARTITION = sessionColumnIndex("source_partition");
const IDENTITY = ["session_id", "source_partition", "first_offset"].map(sessionColumnIndex);

type Row = readonly unknown[];

/** The columns of commits that do not say how many they have. */
const EARLY_COLUMNS = sessionColumnIndex("last_offset") + 1;

/** Compares barriers of one process, in any order. */
export class ReplayCheck {
  /** The commit of a barrier, by partition and number. */
  readonly #commits = new Map<string, CommittedEpoch>();
  readonly #parts = new Map<string, RemadeRows[]>();
  #compared = 0;
  readonly #running: Promise<void>[] = [];

  constructor(private readonly lake: Pick<Lake, "rowsOf">, private readonly shards: number) {}

  /** Waits for the comparisons that are under way; returns how many barriers were found equal. */
  async done(): Promise<number> {
    await Promise.all(this.#running);
    return this.#compared;
  }

  /** The commits that are about to be replayed. */
  expect(epochs: readonly CommittedEpoch[]): void {
    for (const epoch of epochs) {
      for (const { barrier } of epoch.record.partitions) {
        this.#commits.set(keyOf(barrier.partition, barrier.number), epoch);
      }
    }
  }

  /**
   * Takes one shard's part of a barrier; with the last of them it is compared.
   *
   * @throws {SinkError} where a row is missing, is there without having been committed, or differs
   */
  take(part: RemadeRows): Promise<void> {
    const key = keyOf(part.partition, part.barrierNumber);
    const parts = [...this.#parts.get(key) ?? [], part];
    this.#parts.set(key, parts);
    if (parts.length < this.shards) return Promise.resolve();
    this.#parts.delete(key);
    const compared = this.#compare(part, parts);
    this.#running.push(compared);
    return compared;
  }

  async #compare(part: RemadeRows, parts: readonly RemadeRows[]): Promise<void> {
    const key = keyOf(part.partition, part.barrierNumber);
    const commit = this.#commits.get(key);
    invariant(
      commit !== undefined,
      `barrier ${part.barrierNumber} of partition ${part.partition} is committed`,
    );
    const { version, record: { columns = EARLY_COLUMNS } } = commit;
    const remade = rowsByIdentity(parts.flatMap(({ rows, revisions }) => [rows, revisions]));
    const committed = rowsByIdentity([await this.lake.rowsOf(version)], part.partition);
    const differences = differencesOf(committed, remade, columns);
    if (differences.length === 0) return void this.#compared++;
    throw new SinkError(
      `The replay of partition ${part.partition} must make the rows again that Delta version ${version} committed at ` +
        `barrier ${part.barrierNumber}, and ${differences.length} differ: ${
          differences[0]
        }. The log's records are ` +
        `others than those that were read, or the program means something else by them: start the version that wrote ` +
        `them, and keep the lake and the topic as they are.`,
      false,
    );
  }
}

function keyOf(partition: number, barrierNumber: number): string {
  return `${partition}:${barrierNumber}`;
}

/** The columns of the session's row: a revision has more. */
function rowsByIdentity(batches: readonly ColumnBatch[], partition?: number): Map<string, Row> {
  const rows = new Map<string, Row>();
  for (const { rows: count, columns } of batches) {
    for (let row = 0; row < count; row++) {
      if (partition !== undefined && cellAt(columns[PARTITION]!, row) !== partition) continue;
      const cells = SESSION_COLUMNS.map((_, i) => cellAt(columns[i]!, row));
      rows.set(JSON.stringify(IDENTITY.map((index) => cells[index])), cells);
    }
  }
  return rows;
}

/** @param columns that the committed rows have: one that was added later is no difference */
function differencesOf(
  committed: ReadonlyMap<string, Row>,
  remade: ReadonlyMap<string, Row>,
  columns: number,
): string[] {
  const differences: string[] = [];
  for (const [identity, cells] of committed) {
    const other = remade.get(identity);
    const column = cells.findIndex((cell, i) =>
      i < columns && JSON.stringify(cell) !== JSON.stringify(other?.[i])
    );
    if (other === undefined) differences.push(`${identity} is not made again`);
    else if (column >= 0) {
      const [was, is] = [cells[column], other[column]].map((cell) => JSON.stringify(cell));
      differences.push(
        `${identity} has the ${SESSION_COLUMNS[column]!.name} ${is} where ${was} is committed`,
      );
    }
  }
  for (const identity of remade.keys()) {
    if (!committed.has(identity)) differences.push(`${identity} was never committed`);
  }
  return differences;
}
