/** A table in memory with its upkeep, over a clock that the test sets. */
import {
  FaultyStore,
  lakeOn,
  NOW,
  nthCommit,
  revisionRows,
  sessionRows,
  type TestSession,
} from "./lake_fixture.ts";
import type { ColumnBatch } from "../../../schema/column_batch.ts";
import type { DeltaLake } from "../../../sinks/lake/lake.ts";
import type { PlanOptions } from "../../../sinks/lake/optimize_plan.ts";
import { TableUpkeep } from "../../../sinks/lake/upkeep.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import { shown } from "./revisions_fixture.ts";

export const DAY_MS = 86_400_000;

/** Everything is small, and old enough. */
export const EVERYTHING: PlanOptions = {
  targetBytes: 128 * 1024 * 1024,
  writtenBeforeMs: Infinity,
  date: null,
  patient: false,
};

/** All that a ClickHouse may have. */
export const ALL_FOLLOWED = () =>
  Promise.resolve(new Set(Array.from({ length: 1000 }, (_, version) => version)));

export class UpkeepWorld {
  now = NOW;
  readonly memory = new MemoryStore(() => this.now);
  readonly store = new FaultyStore(this.memory);
  readonly lake: DeltaLake = this.otherLake();
  readonly upkeep = new TableUpkeep({
    store: this.store,
    now: () => this.now,
    uuid: () => crypto.randomUUID(),
  });
  #epoch = 0;

  /** The lake as another process has it. */
  otherLake(): DeltaLake {
    return lakeOn(this.store, [], () => this.now);
  }

  /** Commits an epoch with these sessions. */
  async commit(sessions: readonly TestSession[], lake = this.lake): Promise<number> {
    const epoch = ++this.#epoch;
    const files = sessions.length === 0 ? [] : await lake.stage(epoch, sessionRows(sessions, epoch));
    const outcome = await lake.commit(nthCommit(epoch, files));
    if (outcome.status !== "committed") throw new Error("fenced");
    return outcome.version;
  }

  /** Commits an epoch that revises a session of partition 0. */
  async revise(firstOffset: number, revision: number, replaces: number, brand: string): Promise<number> {
    const epoch = ++this.#epoch;
    const rows: ColumnBatch = revisionRows([{ partition: 0, firstOffset, revision, replaces, brand }], epoch);
    const outcome = await this.lake.commit(nthCommit(epoch, [], rows));
    if (outcome.status !== "committed") throw new Error("fenced");
    return outcome.version;
  }

  /** The rows, in their order in the log, as text. */
  async rows(version?: number): Promise<string[]> {
    return shown(await this.otherLake().readSessions(version));
  }

  /** The paths of the newest version's files. */
  async paths(): Promise<string[]> {
    return (await this.otherLake().shareOut()).flatMap(({ files }) => files.map(({ path }) => path)).sort();
  }

  keys(prefix: string): string[] {
    return [...this.memory.objects.keys()].filter((key) => key.startsWith(prefix)).sort();
  }
}
