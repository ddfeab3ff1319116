/** Epochs of made-up sessions, for measuring the lake alone. */
import { type ColumnBatch, ColumnBatchBuilder } from "../schema/column_batch.ts";
import { EMPTY_LEDGER, type EpochRecord, SEMANTICS_VERSION } from "../schema/epoch.ts";
import { reduceSession, REVISION_KINDS, SESSION_KINDS } from "../schema/session.ts";
import type { AcceptedEvent } from "../schema/user_event.ts";
import type { LakeCommit, StagedFile } from "../sinks/sink.ts";

/** The brands that the sessions are of, each as often as the others. */
export const BRANDS = ["Avisen", "Bladet", "Dagen", "Nordlys", "Nyhetene", "Posten", "Tidende", "Varden"];
/** Offsets that an epoch moves on by. */
const OFFSETS_PER_EPOCH = 10_000;

/** The rows of epoch `n`: sessions of three events that ended in the ten seconds a minute before `now`, epoch milliseconds. */
export function syntheticRows(n: number, sessions: number, now: number): ColumnBatch {
  const builder = new ColumnBatchBuilder(SESSION_KINDS);
  for (let i = 0; i < sessions; i++) {
    const offset = (n - 1) * OFFSETS_PER_EPOCH + i * 3;
    const start = now - 60_000 - (i * 7_919) % 10_000;
    const events = [0, 1, 2].map((k): AcceptedEvent => ({
      eventId: `event-${n}-${i}-${k}`,
      sessionId: `session-${n}-${i}`,
      time: start + k * 20_000,
      userId: (n * 31 + i) % 100_000,
      eventType: k === 2 ? "session_end" : "article_view",
      brand: BRANDS[(n * 31 + i * 17) % BRANDS.length]!,
      country: "NO",
      city: "Bergen",
      device_type: i % 3 === 0 ? "desktop" : "mobile",
      device_os: "Android",
      browser: "Firefox",
      subscription_tier: "free",
      user_segment: "casual",
      page_title: `Article ${(n * 7 + i * 3 + k) % 997}`,
      page_url: `/articles/${(n * 7 + i * 3 + k) % 997}`,
      article_id: `a${(n * 7 + i * 3 + k) % 997}`,
      category: "news",
    }));
    builder.push(reduceSession(events, {
      closeReason: "session_end",
      sourcePartition: 0,
      firstOffset: offset,
      lastOffset: offset + 2,
      revision: 0,
      createdAt: now,
      batchId: n,
    }));
  }
  return builder.finish();
}

/** The commit of epoch `n` of partition 0. `now`: epoch milliseconds. */
export function syntheticCommit(n: number, files: readonly StagedFile[], now: number): LakeCommit {
  const [from, to] = [(n - 1) * OFFSETS_PER_EPOCH, n * OFFSETS_PER_EPOCH];
  const barrier = {
    partition: 0,
    number: n,
    epoch: n,
    from,
    to,
    clock: now,
    eventWatermark: now - 60_000,
    watermark: now - 60_000,
    idleSince: null,
    forgetBefore: null,
    closeOpen: false,
    revise: false,
    lastRecord: null,
  };
  const record: EpochRecord = {
    pipeline: "web",
    topic: "web_clicks",
    epoch: n,
    closedBy: "interval",
    semanticsVersion: SEMANTICS_VERSION,
    rows: files.reduce((sum, { rows }) => sum + rows, 0),
    revisions: 0,
    deadLetterFile: null,
    deadLetters: {},
    partitions: [{ barrier, ledger: { ...EMPTY_LEDGER, consumed: to } }],
    semantics: {
      sessionTimeoutMs: 1_800_000,
      watermarkDelayMs: 60_000,
      allowedLatenessMs: 120_000,
      maxSessionDurationMs: 86_400_000,
      maxSessionEvents: 50_000,
      maxClockSkewMs: 60_000,
      keyCheck: "session_id",
    },
  };
  const revisions = new ColumnBatchBuilder(REVISION_KINDS).finish();
  const advances = [{ partition: 0, from, to, barrierNumber: n }];
  return { files, revisions, advances, record, timestampMs: now };
}
