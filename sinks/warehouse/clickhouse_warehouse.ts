/** The warehouse that follows the Delta log, over any ClickHouse. */
import { SinkError } from "../../schema/errors.ts";
import { DEDUPLICATION_WINDOW, ROWS_PER_INSERT_MAX } from "../../schema/limits.ts";
import type { VersionPayload, Warehouse } from "../sink.ts";
import type { ClickHouseAccess } from "./clickhouse_access.ts";
import { openDatabase } from "./database.ts";
import { FollowedVersions, type StartedVersion, type VersionState } from "./followed_versions.ts";
import { migrate, MIGRATIONS } from "./migrations.ts";
import { deleteDates, requireNoMutation } from "./retired_dates.ts";
import { cutVersion, INSERT_SETTINGS, insertStatement, parquetStructure } from "./parquet_insert.ts";
import { warehouseError } from "./warehouse_errors.ts";

/** What a warehouse is made of. */
export interface WarehouseOptions {
  /** Owned by the warehouse from now on. */
  readonly access: ClickHouseAccess;
  /** Rows of one INSERT; a version with more is cut. A version that was begun keeps the cut it was begun with. */
  readonly rowsPerInsert?: number;
}

/** {@linkcode Warehouse} over a ClickHouse server or the embedded one. All its failures are `SinkError`s. */
export function createWarehouse(
  { access, rowsPerInsert = ROWS_PER_INSERT_MAX }: WarehouseOptions,
): Warehouse {
  return new ClickHouseWarehouse(access, rowsPerInsert);
}

class ClickHouseWarehouse implements Warehouse {
  readonly #followed: FollowedVersions;

  constructor(private readonly access: ClickHouseAccess, private readonly rowsPerInsert: number) {
    this.#followed = new FollowedVersions(access.client);
  }

  async open(): Promise<void> {
    await openDatabase(this.access);
    await this.#do("be prepared", async () => {
      await this.access.prepare();
      await migrate(this.access.client, this.access.location, MIGRATIONS, this.access.cluster);
    });
  }

  doneVersions(tableId: string, from = 0): Promise<ReadonlySet<number>> {
    return this.#do("list the versions it has", () => this.#followed.done(tableId, from));
  }

  follow(tableId: string, version: number, payload: VersionPayload | null): Promise<void> {
    const rows = payload?.rows ?? 0;
    return this.#do(`insert version ${version} (${rows} rows)`, async () => {
      const state = await this.#followed.look(tableId, version);
      if (state.done) return;
      const started = payload === null ? null : await this.#insert(tableId, version, payload, state);
      await this.#followed.markDone(tableId, version, rows, started);
    });
  }

  retire(tableId: string, version: number, dates: readonly string[]): Promise<void> {
    return this.#do(`delete the dates that version ${version} retired`, async () => {
      if ((await this.#followed.look(tableId, version)).done) return;
      await requireNoMutation(this.access);
      // Another instance may have been at it: what it has inserted since would go too.
      if ((await this.#followed.look(tableId, version)).done) return;
      await deleteDates(this.access, dates);
      await this.#followed.markDone(tableId, version, 0, null);
    });
  }

  async close(): Promise<void> {
    await this.access.client.close();
  }

  async #insert(
    tableId: string,
    version: number,
    payload: VersionPayload,
    { started: earlier, blockMark }: VersionState,
  ): Promise<StartedVersion> {
    const { parquet, rows, signed } = payload;
    if (earlier !== null) this.#requireTokenRemembered(version, blockMark - earlier.blockMark);
    const started = earlier ?? await this.#start(tableId, version, rows, blockMark);
    const pieces = cutVersion(tableId, version, payload, started.rowsPerInsert);
    await this.access.insertFile(
      parquet,
      parquetStructure(signed),
      pieces.map((piece) => ({
        sql: (source) => insertStatement(source, piece, signed),
        settings: { ...started.settings, insert_deduplication_token: piece.token },
      })),
    );
    return started;
  }

  async #start(
    tableId: string,
    version: number,
    rows: number,
    blockMark: number,
  ): Promise<StartedVersion> {
    const started: StartedVersion = {
      rowsPerInsert: this.rowsPerInsert,
      format: "Parquet",
      settings: INSERT_SETTINGS,
      blockMark,
    };
    await this.#followed.markStarted(tableId, version, rows, started);
    return started;
  }

  /** A token that has left the window, or went with a table that was made anew, would let its rows in again. */
  #requireTokenRemembered(version: number, blocks: number): void {
    if (blocks >= 0 && blocks < DEDUPLICATION_WINDOW) return;
    throw new SinkError(
      `Version ${version} of the Delta table was begun in ClickHouse at ${this.access.location} and not finished, ` +
        `and a retry would be recognized only within the next ${DEDUPLICATION_WINDOW} blocks of session_metrics: ` +
        `its newest block is ${blocks} away. Rebuild ClickHouse from the lake: sessionary verify --repair.`,
      false,
    );
  }

  async #do<T>(action: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw warehouseError(action, this.access.location, error);
    }
  }
}
