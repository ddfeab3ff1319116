/** `sessionary table retain`: whole dates leave the table and ClickHouse because of their age. */
import type { Config } from "../../schema/config.ts";
import { EXIT, SinkError, UserError } from "../../schema/errors.ts";
import { openLake } from "../../sinks/lake/open.ts";
import type { Retention, Retirement } from "../../sinks/lake/retention.ts";
import { type RetentionOptions, retentionOptions } from "../../sinks/lake/retention_plan.ts";
import { rowsOfDates, type SessionBytes, sessionBytes } from "../../sinks/warehouse/retired_dates.ts";
import type { CommandContext } from "../context.ts";
import { formatTable } from "../terminal.ts";
import { type OpenedWarehouse, withWarehouse } from "./with_warehouse.ts";

export interface RetainChoice {
  /** Milliseconds; null: as the setting has it. */
  readonly olderThan: number | null;
  readonly dryRun: boolean;
  readonly json: boolean;
}

/**
 * Retires the dates that are old enough, and has ClickHouse delete them; or says which, and what they take.
 *
 * @throws {UserError} where no age is given, or while the embedded ClickHouse is in use
 */
export async function retainTable(
  config: Config,
  { olderThan, dryRun, json }: RetainChoice,
  context: CommandContext,
): Promise<void> {
  const ageMs = olderThan ?? config.retentionMs;
  if (ageMs === null) {
    throw new UserError(
      "--older-than or RETENTION must say at which age dates leave: both are missing.",
      EXIT.usage,
    );
  }
  const { retention } = await openLake(config, { now: () => context.clock.now(), notice: context.warn });
  const options = retentionOptions(config, context.clock.now(), ageMs);
  await withWarehouse(config, context, async (opened) => {
    const report = dryRun
      ? await planned(retention, options, opened)
      : await retired(retention, options, opened);
    context.print(json ? JSON.stringify(report, null, 1) : table(report, dryRun));
    for (const sentence of remarks(report)) context.warn(sentence);
  });
}

/** What leaves, or would. */
interface RetainReport extends Retirement {
  /** Of a plan: its share by rows. */
  readonly clickhouse: SessionBytes;
}

async function planned(
  retention: Retention,
  options: RetentionOptions,
  { access: { client } }: OpenedWarehouse,
): Promise<RetainReport> {
  const report = await retention.plan(options);
  const all = await sessionBytes(client);
  const rows = await rowsOfDates(client, report.dates);
  const share = all.rows === 0 ? 0 : rows / all.rows;
  const of = (bytes: number) => Math.round(bytes * share);
  return {
    ...report,
    clickhouse: { rows, bytes: of(all.bytes), uncompressedBytes: of(all.uncompressedBytes) },
  };
}

async function retired(
  retention: Retention,
  options: RetentionOptions,
  { access: { client }, warehouse }: OpenedWarehouse,
): Promise<RetainReport> {
  const report = await retention.retire(options, (tableId) => warehouse.doneVersions(tableId));
  const before = await sessionBytes(client);
  if (report.version !== null) {
    try {
      await warehouse.retire(report.tableId, report.version, report.dates);
    } catch (error) {
      // The table's part is done, and the pipeline's follower does the rest.
      if (!(error instanceof SinkError && error.retryable)) throw error;
    }
  }
  const after = await sessionBytes(client);
  return {
    ...report,
    clickhouse: {
      rows: before.rows - after.rows,
      bytes: before.bytes - after.bytes,
      uncompressedBytes: before.uncompressedBytes - after.uncompressedBytes,
    },
  };
}

function table(
  { dates, files, rows, bytes, clickhouse, unfollowed, archived }: RetainReport,
  dryRun: boolean,
): string {
  const stays = !dryRun && unfollowed !== null;
  return formatTable({
    columns: [
      dryRun ? "dates that would go" : "dates retired",
      "files",
      "rows in Delta",
      "bytes in Delta",
      "bytes archived",
      "rows in ClickHouse",
      "bytes in ClickHouse",
      "uncompressed",
    ],
    rows: [
      stays ? new Array(8).fill(0) : [
        dates.length,
        files,
        rows,
        bytes,
        archived ? bytes : 0,
        clickhouse.rows,
        clickhouse.bytes,
        clickhouse.uncompressedBytes,
      ],
    ],
  });
}

function remarks({ horizon, waiting, unfollowed, version }: RetainReport): string[] {
  const remarks: string[] = [];
  if (unfollowed !== null) {
    remarks.push(
      `Nothing was retired: ClickHouse has not followed version ${unfollowed}, which changed these dates. ` +
        "Run the pipeline until it has, then try again.",
    );
  }
  if (waiting.length > 0) {
    remarks.push(
      `${waiting.length} dates before ${horizon} stay for now, the first is ${
        waiting[0]
      }: they were written so ` +
        "lately that a late event could still amend their sessions.",
    );
  }
  if (version !== null) {
    remarks.push(
      "The files are deleted by VACUUM once its retention is over. The analytics keep their sums.",
    );
  }
  return remarks;
}
