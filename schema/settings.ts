/** The tables of settings: the pipeline's, and each command's own. Everything a setting is stands here once. */
import { ERASE_SETTINGS } from "./erase_settings.ts";
import { KAFKA_HEADING, KAFKA_SETTINGS } from "./kafka_settings.ts";
import { COUNTER_MAX, SESSION_ACTORS_MAX } from "./limits.ts";
import { EVENT_RATE, PRODUCE_SETTINGS, SEED, SIMULATOR } from "./produce_settings.ts";
import {
  BUCKET_CONSTRAINT,
  BUCKET_PATTERN,
  PREFIX_CONSTRAINT,
  PREFIX_PATTERN,
  RETENTION_HEADING,
  UPKEEP_HEADING,
  UPKEEP_SETTINGS,
} from "./upkeep_settings.ts";
import { AS_OF_PATTERN, TABLE_SETTINGS, TIMESTAMP_CONSTRAINT } from "./table_settings.ts";
import {
  choice,
  decimal,
  duration,
  httpOrigin,
  httpUrl,
  integer,
  path,
  secret,
  type SettingTable,
  size,
  text,
  toggle,
} from "./setting.ts";

const DATA = "Data and topic:";
const PIPELINE = "Pipeline:";
const SESSIONS = "Session semantics:";
const OBJECT_STORE = "Object store:";
const CLICKHOUSE = "ClickHouse:";
const SERVICE = "Web and logging:";

/** The groups of which `produce` and `query` take flags; the other commands take all. */
export const GROUPS = {
  data: DATA,
  kafka: KAFKA_HEADING,
  objectStore: OBJECT_STORE,
  upkeep: UPKEEP_HEADING,
  retention: RETENTION_HEADING,
  clickhouse: CLICKHOUSE,
  service: SERVICE,
} as const;

/** The pipeline's settings. */
export const SETTINGS = {
  dataDir: path({ env: "DATA_DIR", group: DATA, doc: "folder that holds everything" }, "./data"),
  pipeline: text(
    { env: "PIPELINE", group: DATA, doc: "name under which the Delta log keeps this pipeline's positions" },
    "sessionary",
    /^[A-Za-z0-9._-]{1,100}$/,
    "1 to 100 letters, digits, dots, underscores or hyphens",
  ),
  topic: text(
    { env: "KAFKA_TOPIC", group: DATA, doc: "topic of the events" },
    "web_clicks",
    /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,240}$/,
    "1 to 240 letters, digits, dots, underscores or hyphens",
  ),
  partitions: integer(
    { env: "KAFKA_PARTITIONS", group: DATA, doc: "partitions of a topic when created" },
    8,
    {
      minimum: 1,
      maximum: 1024,
    },
  ),
  eventsRetentionMs: duration(
    { env: "EVENTS_RETENTION", group: DATA, doc: "age at which the embedded log drops events" },
    "7d",
    "1m",
    "3650d",
  ),
  ...KAFKA_SETTINGS,
  sessionActors: integer(
    { env: "SESSION_ACTORS", group: PIPELINE, doc: "session actors, a thread each" },
    2,
    {
      minimum: 1,
      maximum: SESSION_ACTORS_MAX,
    },
  ),
  sessionizer: choice(
    { env: "SESSIONIZER", group: PIPELINE, doc: "fast, or plain: the reference, slower, with the same rows" },
    "fast",
    ["fast", "plain"],
  ),
  epochIntervalMs: duration(
    { env: "EPOCH_INTERVAL", group: PIPELINE, doc: "time from one epoch's barrier to the next" },
    "10s",
    "50ms",
    "1h",
  ),
  epochBytesMax: size(
    { env: "EPOCH_BYTES_MAX", group: PIPELINE, doc: "bytes of events that close an epoch early" },
    "256MiB",
    "1MiB",
    "16GiB",
  ),
  revisionIntervalMs: duration(
    { env: "REVISION_INTERVAL", group: PIPELINE, doc: "least time between two rewrites for late events" },
    "1m",
    "0ms",
    "1d",
  ),
  mailboxBytesMax: size(
    { env: "MAILBOX_BYTES_MAX", group: PIPELINE, doc: "bytes of events that wait for one session actor" },
    "8MiB",
    "64KiB",
    "1GiB",
  ),
  keyCheck: choice(
    { env: "KAFKA_KEY", group: PIPELINE, doc: "a record's key must be its session_id, or is trusted" },
    "session_id",
    ["session_id", "trust"],
  ),
  sessionTimeoutMs: duration(
    { env: "SESSION_TIMEOUT", group: SESSIONS, doc: "gap in event time that ends a session" },
    "30m",
    "1ms",
    "30d",
  ),
  watermarkDelayMs: duration(
    {
      env: "WATERMARK_DELAY",
      group: SESSIONS,
      doc: "how far the watermark stays behind the latest event time",
    },
    "60s",
    "0ms",
    "30d",
  ),
  allowedLatenessMs: duration(
    { env: "ALLOWED_LATENESS", group: SESSIONS, doc: "how long a finished session is remembered" },
    "2m",
    "0ms",
    "30d",
  ),
  maxSessionDurationMs: duration(
    { env: "MAX_SESSION_DURATION", group: SESSIONS, doc: "longest session" },
    "24h",
    "1s",
    "365d",
  ),
  maxSessionEvents: integer(
    { env: "MAX_SESSION_EVENTS", group: SESSIONS, doc: "most events of one session" },
    50_000,
    { minimum: 1, maximum: COUNTER_MAX },
  ),
  maxClockSkewMs: duration(
    {
      env: "MAX_CLOCK_SKEW",
      group: SESSIONS,
      doc: "how far event time may be ahead of the broker's timestamp",
    },
    "60s",
    "0ms",
    "365d",
  ),
  s3Endpoint: httpOrigin({
    env: "S3_ENDPOINT",
    group: OBJECT_STORE,
    doc: "MinIO or an S3 for the Delta table; without it a folder is used",
  }),
  s3Bucket: text(
    { env: "S3_BUCKET", group: OBJECT_STORE, doc: "bucket of the Delta table; made where it is missing" },
    "session-metrics",
    BUCKET_PATTERN,
    BUCKET_CONSTRAINT,
  ),
  s3AccessKey: secret({ env: "S3_ACCESS_KEY", group: OBJECT_STORE, doc: "name of the access key" }),
  s3SecretKey: secret({ env: "S3_SECRET_KEY", group: OBJECT_STORE, doc: "the access key's secret" }),
  s3Region: text(
    { env: "S3_REGION", group: OBJECT_STORE, doc: "the bucket's region" },
    "us-east-1",
    /^[A-Za-z0-9-]{1,64}$/,
    "1 to 64 letters, digits or hyphens",
  ),
  s3Prefix: text(
    { env: "S3_PREFIX", group: OBJECT_STORE, doc: "where in the bucket; its root by default" },
    null,
    PREFIX_PATTERN,
    PREFIX_CONSTRAINT,
  ),
  s3TimeoutMs: duration(
    { env: "S3_TIMEOUT", group: OBJECT_STORE, doc: "how long a request may go without a byte moving" },
    "20s",
    "100ms",
    "1h",
  ),
  s3TlsCa: path(
    { env: "S3_TLS_CA", group: OBJECT_STORE, doc: "PEM file of authorities to trust instead of the usual" },
    null,
  ),
  ...UPKEEP_SETTINGS,
  clickhouseUrl: httpUrl({
    env: "CLICKHOUSE_URL",
    group: CLICKHOUSE,
    doc: "a ClickHouse server; without it the embedded one (chDB) is used",
  }),
  clickhouseUser: text(
    { env: "CLICKHOUSE_USER", group: CLICKHOUSE, doc: "the server's user" },
    "default",
    /^.+$/,
    "a text that is not empty",
  ),
  clickhousePassword: secret({
    env: "CLICKHOUSE_PASSWORD",
    group: CLICKHOUSE,
    doc: "that user's password",
  }),
  clickhouseDatabase: text(
    { env: "CLICKHOUSE_DATABASE", group: CLICKHOUSE, doc: "database of the tables" },
    "default",
    /^[A-Za-z_][A-Za-z0-9_]{0,62}$/,
    "1 to 63 letters, digits or underscores, not a digit first",
  ),
  clickhouseCluster: text(
    {
      env: "CLICKHOUSE_CLUSTER",
      group: CLICKHOUSE,
      doc: "cluster whose nodes all get the tables, replicated; unset: one server",
    },
    null,
    /^[A-Za-z_][A-Za-z0-9_.-]{0,62}$/,
    "1 to 63 letters, digits, underscores, dots or hyphens, a letter or underscore first",
  ),
  clickhouseTlsCa: path(
    {
      env: "CLICKHOUSE_TLS_CA",
      group: CLICKHOUSE,
      doc: "PEM file of authorities to trust; the well-known ones by default",
    },
    null,
  ),
  clickhouseTimeoutMs: duration(
    {
      env: "CLICKHOUSE_TIMEOUT",
      group: CLICKHOUSE,
      doc: "how long the server may leave a request unanswered",
    },
    "60s",
    "1s",
    "1h",
  ),
  httpHost: text(
    {
      env: "HTTP_HOST",
      group: SERVICE,
      doc: "address of the web server; one that is not loopback needs HTTP_TOKEN",
    },
    "127.0.0.1",
    /^[A-Za-z0-9.:-]{1,253}$/,
    "an address or the name of a host",
  ),
  httpToken: secret(
    {
      env: "HTTP_TOKEN",
      group: SERVICE,
      doc: "what the web server's visitors must know, 16 characters or more",
    },
    /^[!-~]{16,512}$/,
    "16 to 512 printable ASCII characters without a space",
  ),
  httpPort: integer(
    { env: "HTTP_PORT", group: SERVICE, doc: "the web server's port; 0: a free one" },
    8400,
    { minimum: 0, maximum: 65_535 },
  ),
  metricsHost: text(
    { env: "METRICS_HOST", group: SERVICE, doc: "address of METRICS_PORT; 0.0.0.0: all of the machine's" },
    "127.0.0.1",
    /^[A-Za-z0-9.:-]{1,253}$/,
    "an address or the name of a host",
  ),
  metricsPort: integer(
    { env: "METRICS_PORT", group: SERVICE, doc: "a port for /metrics and health alone; 0: a free one" },
    null,
    { minimum: 0, maximum: 65_535 },
  ),
  logLevel: choice(
    { env: "LOG_LEVEL", group: SERVICE, doc: "least level that is logged; debug adds stacks to errors" },
    "info",
    ["debug", "info", "warning", "error"],
  ),
  logFormat: choice(
    { env: "LOG_FORMAT", group: SERVICE, doc: "how batches and log records are printed" },
    "text",
    ["text", "json"],
  ),
} as const satisfies SettingTable;

const OUTPUT = "Output:";

/** `dev`'s own options. */
export const DEV_SETTINGS = {
  rate: decimal({ env: "DEV_RATE", group: SIMULATOR, doc: "events per second" }, 10, EVENT_RATE),
  seed: integer(
    { env: "DEV_SEED", group: SIMULATOR, doc: "seed of the readers; random by default" },
    null,
    SEED,
  ),
} as const satisfies SettingTable;

/** `run`'s own options. */
export const RUN_SETTINGS = {
  untilEnd: toggle({
    env: "RUN_UNTIL_END",
    group: PIPELINE,
    doc: "stop after the log's present end (backfill)",
  }),
  closeOpen: toggle({
    env: "RUN_CLOSE_OPEN",
    group: PIPELINE,
    doc: "with --until-end: close what is open then, with reason drain",
  }),
  verifyReplay: toggle({
    env: "RUN_VERIFY_REPLAY",
    group: PIPELINE,
    doc:
      "compare the rows that a restart's replay makes again with the committed ones; stop where they differ",
  }),
} as const satisfies SettingTable;

/** `verify`'s own options. */
export const VERIFY_SETTINGS = {
  json: toggle({ env: "VERIFY_JSON", group: OUTPUT, doc: "print what was found as JSON" }),
  repair: toggle({
    env: "VERIFY_REPAIR",
    group: OUTPUT,
    doc: "first rebuild ClickHouse from the Delta table",
  }),
} as const satisfies SettingTable;

/** Rows that one query may bring. */
export const QUERY_ROWS_MAX = 1_000_000;

/** `query`'s own options. */
export const QUERY_SETTINGS = {
  json: toggle({ env: "QUERY_JSON", group: OUTPUT, doc: "an array of objects instead of a table" }),
  limit: integer(
    { env: "QUERY_LIMIT", group: OUTPUT, doc: "most rows; 20 in a table, all with --json by default" },
    null,
    { minimum: 1, maximum: QUERY_ROWS_MAX },
  ),
  asOf: text(
    { env: "QUERY_AS_OF", group: OUTPUT, doc: "over the Delta table as it was: a version, or a time" },
    null,
    AS_OF_PATTERN,
    `a version's number, ${TIMESTAMP_CONSTRAINT}`,
  ),
} as const satisfies SettingTable;

/** `config`'s own options. */
export const CONFIG_SETTINGS = {
  json: toggle({ env: "CONFIG_JSON", group: OUTPUT, doc: "an array of objects instead of a table" }),
} as const satisfies SettingTable;

export { TABLE_SETTINGS };

/** Every table: all that is read from the environment. */
export const ALL_TABLES: readonly SettingTable[] = [
  SETTINGS,
  DEV_SETTINGS,
  PRODUCE_SETTINGS,
  RUN_SETTINGS,
  QUERY_SETTINGS,
  CONFIG_SETTINGS,
  VERIFY_SETTINGS,
  ERASE_SETTINGS,
  TABLE_SETTINGS,
];
