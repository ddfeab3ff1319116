/** Lakes, sessions and faults for the tests of the lake. */
import { type Cell, type ColumnBatch, ColumnBatchBuilder } from "../../../schema/column_batch.ts";
import { DEAD_LETTER_KINDS, EMPTY_LEDGER, type EpochRecord } from "../../../schema/epoch.ts";
import { reduceSession, REVISION_KINDS, SESSION_KINDS } from "../../../schema/session.ts";
import type { AcceptedEvent } from "../../../schema/user_event.ts";
import { FolderStore } from "../../../sinks/lake/folder_store.ts";
import { type DeltaLake, openDeltaLake } from "../../../sinks/lake/lake.ts";
import type {
  LakeCommit,
  ObjectInfo,
  ObjectStore,
  PartitionAdvance,
  StagedFile,
} from "../../../sinks/sink.ts";

export const NOW = Date.UTC(2024, 0, 2, 12);

/** A folder that is removed with everything in it. */
export async function temporaryFolder(): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = await Deno.makeTempDir();
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}

export function folderStore(root: string): ObjectStore {
  return new FolderStore({ root, uuid: () => crypto.randomUUID() });
}

/** A lake whose clock stands still unless one is given; warnings are collected where the caller gives a list. */
export function lakeOn(
  store: ObjectStore,
  warnings: string[] = [],
  now: () => number = () => NOW,
): DeltaLake {
  return openDeltaLake({
    store,
    pipeline: "web",
    topic: "web_clicks",
    now,
    uuid: () => crypto.randomUUID(),
    onWarning: (sentence) => warnings.push(sentence),
  });
}

const PLAIN: Omit<AcceptedEvent, "eventId" | "sessionId" | "time"> = {
  userId: 7,
  eventType: "article_view",
  brand: "The Daily",
  country: "NO",
  city: null,
  device_type: "mobile",
  device_os: null,
  browser: "Firefox",
  subscription_tier: null,
  user_segment: null,
  page_title: "Title 😀",
  page_url: "/a",
  article_id: "a1",
  category: "news",
};

/** What a test says of a session; the rest is plain. `start`: epoch milliseconds. */
export interface TestSession extends Partial<Omit<AcceptedEvent, "eventId" | "time">> {
  readonly partition: number;
  readonly firstOffset: number;
  readonly start?: number;
  /** Two by default. */
  readonly events?: number;
}

/** Sessions whose events are a minute apart, in the order given. */
export function sessionRows(sessions: readonly TestSession[], batchId = 1): ColumnBatch {
  const builder = new ColumnBatchBuilder(SESSION_KINDS);
  for (const session of sessions) builder.push(cellsOf(session, batchId, 0));
  return builder.finish();
}

/** A session that was revised: what it is now, its revision, and the epoch that its last row came with. */
export interface TestRevision extends TestSession {
  readonly revision: number;
  readonly replaces: number;
  /** The events of that row; a test's sessions have two. */
  readonly replacesEvents?: number;
}

/** Rows that replace those of the same sessions. */
export function revisionRows(revisions: readonly TestRevision[], batchId: number): ColumnBatch {
  const builder = new ColumnBatchBuilder(REVISION_KINDS);
  for (const { revision, replaces, replacesEvents = 2, ...session } of revisions) {
    builder.push([...cellsOf(session, batchId, revision), replaces, replacesEvents]);
  }
  return builder.finish();
}

function cellsOf(session: TestSession, batchId: number, revision: number): Cell[] {
  const { partition, firstOffset, start = NOW, events: count = 2, ...fields } = session;
  const events = Array.from({ length: count }, (_, i): AcceptedEvent => ({
    ...PLAIN,
    sessionId: `s-${partition}-${firstOffset}`,
    ...fields,
    eventId: `e${i}`,
    time: start + i * 60_000,
    ...(i === 1 ? { page_url: "/b", article_id: null, category: "sport" } : {}),
  }));
  return reduceSession(events, {
    closeReason: "session_end",
    sourcePartition: partition,
    firstOffset,
    lastOffset: firstOffset + 1,
    revision,
    createdAt: NOW,
    batchId,
  });
}

/** Dead letters of one partition with the offsets given. */
export function deadLetterRows(epoch: number, offsets: readonly number[]): ColumnBatch {
  const builder = new ColumnBatchBuilder(DEAD_LETTER_KINDS);
  for (const offset of offsets) {
    const [key, value] = [null, Uint8Array.of(0xff, 0, offset)];
    builder.push(["web_clicks", 3, offset, NOW, "not_json", "Not JSON.", key, value, epoch]);
  }
  return builder.finish();
}

/** A commit of partitions; each advances from `from` to `to` by the barrier `barrierNumber`. */
export function epochCommit(
  epoch: number,
  advances: readonly PartitionAdvance[],
  files: readonly StagedFile[] = [],
  deadLetterFile: string | null = null,
  revisions: ColumnBatch = new ColumnBatchBuilder(REVISION_KINDS).finish(),
): LakeCommit {
  const record: EpochRecord = {
    pipeline: "web",
    topic: "web_clicks",
    epoch,
    closedBy: "interval",
    semanticsVersion: 2,
    rows: files.reduce((sum, { rows }) => sum + rows, 0),
    revisions: revisions.rows,
    deadLetterFile,
    deadLetters: {},
    partitions: advances.map(({ partition, from, to, barrierNumber }) => ({
      ledger: { ...EMPTY_LEDGER, consumed: to },
      barrier: {
        partition,
        number: barrierNumber,
        epoch,
        from,
        to,
        clock: NOW,
        eventWatermark: null,
        watermark: null,
        idleSince: null,
        forgetBefore: null,
        closeOpen: false,
        revise: false,
        lastRecord: null,
      },
    })),
    semantics: {
      sessionTimeoutMs: 1,
      watermarkDelayMs: 1,
      allowedLatenessMs: 1,
      maxSessionDurationMs: 1,
      maxSessionEvents: 1,
      maxClockSkewMs: 1,
      keyCheck: "session_id",
    },
  };
  return { files, revisions, advances, record, timestampMs: NOW };
}

/** The n-th commit (from 1) of partition 0, ten offsets each, without rows. */
export function nthCommit(
  n: number,
  files: readonly StagedFile[] = [],
  revisions?: ColumnBatch,
): LakeCommit {
  const advances = [{ partition: 0, from: (n - 1) * 10, to: n * 10, barrierNumber: n }];
  return epochCommit(n, advances, files, null, revisions);
}

/** A store in which a test can make any call fail, before or after it took effect. */
export class FaultyStore implements ObjectStore {
  /** Throw to fail the call before it has any effect. */
  before: (call: "put" | "putIfAbsent" | "get", key: string) => void = () => {};
  /** Throw to lose the response of a call that succeeded. */
  after: (call: "put" | "putIfAbsent", key: string) => void = () => {};
  readonly location: string;
  constructor(private readonly inner: ObjectStore) {
    this.location = inner.location;
  }
  async put(key: string, bytes: Uint8Array): Promise<void> {
    this.before("put", key);
    await this.inner.put(key, bytes);
    this.after("put", key);
  }
  async putIfAbsent(key: string, bytes: Uint8Array): Promise<"created" | "exists"> {
    this.before("putIfAbsent", key);
    const outcome = await this.inner.putIfAbsent(key, bytes);
    this.after("putIfAbsent", key);
    return outcome;
  }
  async get(key: string): Promise<Uint8Array | null> {
    this.before("get", key);
    return await this.inner.get(key);
  }
  list(prefix: string, startAfter?: string): Promise<readonly ObjectInfo[]> {
    return this.inner.list(prefix, startAfter);
  }
  delete(key: string): Promise<void> {
    return this.inner.delete(key);
  }
}
