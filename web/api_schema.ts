/** Every answer of the page's API, declared once: the TypeScript types and the OpenAPI document come from here. */
import Type, { type Static, type TSchema } from "typebox";

const Count = Type.Integer({ minimum: 0 });
const Instant = Type.Number({ description: "Epoch milliseconds, UTC." });
const orNull = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
const Milliseconds = Type.Number({ minimum: 0, description: "Milliseconds." });
const Seconds = orNull(Type.Number({ minimum: 0, description: "Seconds; null where nothing was measured." }));

/** The sentence of a refusal or a failure. */
export const ErrorSchema = Type.Object({ error: Type.String() }, { description: "A sentence." });

/** Rows with a cell of JSON per column. */
export const RowsSchema = Type.Object({
  columns: Type.Array(Type.String()),
  rows: Type.Array(Type.Array(Type.Unknown())),
});

const Percentiles = Type.Object({ p50: Seconds, p95: Seconds, p99: Seconds, count: Count });

const FindingSchema = Type.Object({
  severity: Type.Union([Type.Literal("error"), Type.Literal("warning")]),
  text: Type.String(),
  advice: Type.String(),
});

const PartitionSchema = Type.Object({
  partition: Count,
  position: Type.Integer({ description: "The next offset to read." }),
  end: Type.Integer({ description: "The offset after the last record, asked every 5 s." }),
  lag: Type.Integer({ description: "Records between the two." }),
  watermark: orNull(Instant),
  behindMs: orNull(
    Type.Number({ description: "How far the watermark is behind the wall clock, milliseconds." }),
  ),
  idleSince: orNull(Instant),
});

const ShardSchema = Type.Object({
  shard: Count,
  openSessions: Count,
  heldEvents: Count,
  heldBytes: orNull(Type.Number({ description: "Estimate." })),
  mailboxBytes: Type.Number(),
  mailboxBytesMax: Type.Number(),
});

const SinkSchema = Type.Object({
  down: orNull(Type.String({ description: "Why it is down, as a sentence." })),
  sinceMs: Instant,
  rows: Count,
  bytes: Count,
  retries: Count,
});

const EpochSchema = Type.Object({
  epoch: Count,
  version: orNull(Count),
  closedBy: orNull(Type.String()),
  askedMs: Instant,
  sealedMs: orNull(Instant),
  uploadedMs: orNull(Instant),
  committedMs: orNull(Instant),
  insertedMs: orNull(Instant),
  sessions: orNull(Count),
  revisions: orNull(Count),
  events: orNull(Count),
  deadLetters: orNull(Count),
  bytes: orNull(Count),
});

/** `GET /api/status`, and each event of `GET /api/live`. */
export const StatusSchema = Type.Object({
  now: Instant,
  version: Type.String(),
  startedMs: Instant,
  source: Type.String({ description: "Where the events come from." }),
  epochIntervalMs: Milliseconds,
  up: Type.Boolean({ description: "False while the pipeline starts or stops: the rest is empty then." }),
  findings: Type.Array(FindingSchema, { description: "What holds it up; empty where all is well." }),
  notices: Type.Array(
    Type.Object({ atMs: Instant, level: Type.String(), text: Type.String() }),
    { description: "The newest first." },
  ),
  rates: Type.Object({
    events: Type.Number(),
    bytes: Type.Number(),
    committedEvents: Type.Number(),
    sessions: Type.Number(),
    lakeBytes: Type.Number(),
    warehouseRows: Type.Number(),
    cpu: Type.Number(),
  }, { description: "Per second, over the last 10 s; cpu: cores in use." }),
  totals: Type.Object({
    read: Count,
    events: Count,
    sessions: Count,
    duplicates: Count,
    deadLetters: Count,
    commits: Count,
  }, { description: "Since the process started; all but `read` of committed epochs." }),
  residentBytes: Count,
  lagRecords: Count,
  openSessions: Count,
  heldEvents: Count,
  quality: orNull(Type.Number({
    minimum: 0,
    maximum: 1,
    description: "1 - dead letters / records, over the epochs committed in the last 5 minutes.",
  })),
  deadLetters: Type.Record(Type.String(), Count, { description: "By reason." }),
  latency: Percentiles,
  stages: Type.Record(Type.String(), Percentiles),
  partitions: Type.Array(PartitionSchema),
  shards: Type.Array(ShardSchema),
  sinks: Type.Object({ lake: orNull(SinkSchema), warehouse: orNull(SinkSchema) }),
  epochs: Type.Array(EpochSchema, { description: "The last 60, oldest first." }),
  epochsInFlight: Count,
  lastEpoch: Count,
  lastCommitMs: orNull(Instant),
  deltaVersion: Type.Integer(),
  lagVersions: Count,
});
export type Status = Static<typeof StatusSchema>;

/** `GET /api/history`. */
export const HistorySchema = Type.Object({
  points: Type.Array(Type.Object({
    at: Instant,
    readPerSecond: Type.Number(),
    sessionsPerSecond: Type.Number(),
    lagRecords: Count,
    openSessions: Count,
  })),
});
export type History = Static<typeof HistorySchema>;

const ClosingWaySchema = Type.Object({
  reason: Type.String(),
  when: Type.String(),
  earliestMs: orNull(Instant),
});

/** An open session, and why it is. */
export const OpenSessionSchema = Type.Object({
  sessionId: Type.String(),
  userId: Count,
  brand: orNull(Type.String()),
  partition: Count,
  shard: Count,
  firstOffset: Count,
  lastOffset: Count,
  start: Instant,
  end: Instant,
  events: Count,
  lastEvent: Type.Object({
    type: Type.String(),
    time: Instant,
    offset: Count,
    pageUrl: orNull(Type.String()),
  }),
  watermark: orNull(Instant),
  explanation: Type.Object({
    why: Type.String(),
    deadlineMs: Instant,
    remainingMs: orNull(Milliseconds),
    ways: Type.Array(ClosingWaySchema),
  }),
});
export type OpenSessionAnswer = Static<typeof OpenSessionSchema>;

/** `GET /api/open-sessions`. */
export const OpenSessionsSchema = Type.Object({
  sessions: Type.Array(OpenSessionSchema),
  silentShards: Type.Array(Count, { description: "Session actors that did not answer in time." }),
});
export type OpenSessions = Static<typeof OpenSessionsSchema>;

/** `GET /api/sessions`. */
export const SessionsSchema = Type.Object({
  columns: Type.Array(Type.String()),
  rows: Type.Array(Type.Array(Type.Unknown())),
  next: orNull(Type.String({ description: "`before` of the next page; null on the last one." })),
});
export type Sessions = Static<typeof SessionsSchema>;

/** `GET /api/analytics/:name`. */
export const AnalyticsSchema = Type.Object({
  name: Type.String(),
  description: Type.String(),
  bucket: Type.Union([Type.Literal("hour"), Type.Literal("day")]),
  dimensions: Type.Array(Type.String()),
  weight: Type.String(),
  totals: RowsSchema,
  truncated: Type.Boolean(),
  series: RowsSchema,
});
export type Analytics = Static<typeof AnalyticsSchema>;

/** `GET /api/table`. */
export const TableSchema = Type.Object({
  location: Type.String(),
  tableId: Type.String(),
  version: Count,
  createdMs: orNull(Instant),
  files: Count,
  bytes: Count,
  rows: orNull(Count),
  firstDate: orNull(Type.String()),
  lastDate: orNull(Type.String()),
  minReaderVersion: Count,
  minWriterVersion: Count,
});
export type Table = Static<typeof TableSchema>;

/** `GET /api/table/versions`. */
export const VersionsSchema = Type.Object({
  versions: Type.Array(Type.Object({
    version: Count,
    timestampMs: orNull(Instant),
    operation: orNull(Type.String()),
    engine: orNull(Type.String()),
    epoch: orNull(Count),
    closedBy: orNull(Type.String()),
    rowsAdded: orNull(Count),
    filesAdded: Count,
    bytesAdded: Count,
    filesRemoved: Count,
    bytesRemoved: orNull(Count),
    deadLetters: Count,
    details: Type.Record(Type.String(), Type.String()),
  })),
  next: orNull(Type.Integer({ description: "`before` of the next page; null on the last one." })),
});
export type Versions = Static<typeof VersionsSchema>;

/** `GET /api/dead-letters`. */
export const DeadLettersSchema = Type.Object({
  columns: Type.Array(Type.String()),
  rows: Type.Array(Type.Array(Type.Unknown())),
  next: orNull(Type.Integer({ description: "`skip` of the next page; null on the last one." })),
});
export type DeadLetters = Static<typeof DeadLettersSchema>;
