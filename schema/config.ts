/**
 * Resolves settings from flags, environment and secret files into typed values, with where each came from.
 * No IO: whoever calls has read the environment and the files.
 */
import { UserError } from "./errors.ts";
import { KAFKA_SETTINGS } from "./kafka_settings.ts";
import { CHECKPOINTS_KEPT, EPOCHS_PER_CHECKPOINT } from "./limits.ts";
import {
  constraintOf,
  flagOf,
  formatSetting,
  maskUrl,
  parseSetting,
  type Setting,
  type SettingTable,
  type SettingValue,
  type SettingValues,
} from "./setting.ts";
import { SETTINGS } from "./settings.ts";
import { formatDuration, formatSize } from "./units.ts";

/** The pipeline's settings. Durations are milliseconds, sizes bytes. */
export type Config = SettingValues<typeof SETTINGS>;

/** What was written, and where. An empty environment variable counts as not set. */
export interface SettingSources {
  /** By the setting's name in its table. */
  readonly flags: Readonly<Record<string, string | boolean | undefined>>;
  /** By the variable's name. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Contents of the files that `<NAME>_FILE` named, by the secret's variable NAME. */
  readonly secretFiles?: Readonly<Record<string, { readonly path: string; readonly content: string }>>;
}

/** Where a value came from: `default`, a flag, a variable or a file, as a person would name it. */
export type Origins<T extends SettingTable> = { readonly [K in keyof T]: string };

/** A table's values, with where each came from. */
export interface ResolvedSettings<T extends SettingTable> {
  readonly values: SettingValues<T>;
  readonly origins: Origins<T>;
}

/** The pipeline's settings, with where each came from. */
export interface ResolvedConfig {
  readonly config: Config;
  readonly origins: Origins<typeof SETTINGS>;
}

/** Set by npm for what it runs: "npx" where it was called so. */
export const LAUNCHER_VARIABLE = "npm_lifecycle_event";

/** The variable that names a file with the secret, for each secret setting. */
export function secretFileVariable(setting: Setting): string {
  return `${setting.env}_FILE`;
}

/** Every environment variable that {@linkcode resolveConfig} and the commands' tables look at. */
export function environmentVariables(...tables: readonly SettingTable[]): string[] {
  const settings = tables.flatMap((table) => Object.values(table));
  const files = settings.filter(({ secret }) => secret).map(secretFileVariable);
  return [...new Set([...settings.map(({ env }) => env), ...files])].sort();
}

interface Written {
  readonly text: string;
  /** How whoever wrote it knows the setting: its flag or its variable. */
  readonly as: string;
  readonly origin: string;
}

/** What was written for a setting: a flag wins over a variable, which wins over the default. */
function findWritten(
  name: string,
  setting: Setting,
  sources: SettingSources,
  flagPrefix: string,
): Written | null {
  const flag = sources.flags[name];
  if (flag !== undefined) {
    const as = flagOf(setting, flagPrefix);
    return { text: String(flag), as, origin: `flag ${as}` };
  }
  const variable = sources.env[setting.env];
  if (variable !== undefined && variable !== "") {
    return { text: variable, as: setting.env, origin: `variable ${setting.env}` };
  }
  const file = sources.secretFiles?.[setting.env];
  if (file === undefined) return null;
  const text = file.content.replace(/\r?\n$/, "");
  return { text, as: secretFileVariable(setting), origin: `file ${file.path}` };
}

function describeProblem(setting: Setting, { text, as }: Written): string {
  const found = setting.secret ? "a value that is not" : JSON.stringify(maskUrl(text));
  return `${as} must be ${constraintOf(setting)}: found ${found}.`;
}

/**
 * Reads one table of settings.
 *
 * @param flagPrefix the prefix of the variables that the flags leave out, such as `PRODUCE_`
 * @returns the values with their origins, and a sentence for each value that is not legal
 */
function readTable<T extends SettingTable>(
  table: T,
  sources: SettingSources,
  flagPrefix: string,
): ResolvedSettings<T> & { problems: string[] } {
  const values: Record<string, SettingValue> = {};
  const origins: Record<string, string> = {};
  const problems: string[] = [];
  for (const [name, setting] of Object.entries(table)) {
    const written = findWritten(name, setting, sources, flagPrefix);
    values[name] = setting.default;
    origins[name] = written?.origin ?? "default";
    if (written === null) continue;
    const value = parseSetting(setting, written.text);
    if (value === null) problems.push(describeProblem(setting, written));
    else values[name] = value;
  }
  return { values: values as SettingValues<T>, origins: origins as Origins<T>, problems };
}

/**
 * Reads a command's own table of settings.
 *
 * @throws {UserError} with a sentence, on a line of its own, for each value that is not legal
 */
export function resolveSettings<T extends SettingTable>(
  table: T,
  sources: SettingSources,
  flagPrefix: string,
): ResolvedSettings<T> {
  const { problems, ...resolved } = readTable(table, sources, flagPrefix);
  if (problems.length > 0) throw new UserError(problems.join("\n"));
  return resolved;
}

/**
 * Reads the pipeline's settings.
 *
 * @throws {UserError} with a sentence, on a line of its own, for each value that is not legal, does not go
 * together with another
 */
export function resolveConfig(sources: SettingSources): ResolvedConfig {
  const { values: config, origins, problems } = readTable(SETTINGS, sources, "");
  for (const setting of Object.values(SETTINGS) as Setting[]) {
    if (setting.secret && sources.env[setting.env] && sources.secretFiles?.[setting.env]) {
      const file = secretFileVariable(setting);
      problems.push(`${setting.env} and ${file} are both set, and only one can count: unset one of them.`);
    }
  }
  if (problems.length === 0) problems.push(...checkRelations(config, origins));
  if (problems.length > 0) throw new UserError(problems.join("\n"));
  return { config, origins };
}

/** A sentence for each pair of settings that does not go together. */
function checkRelations(config: Config, origins: Origins<typeof SETTINGS>): string[] {
  const problems: string[] = [];
  const { sessionTimeoutMs, maxSessionDurationMs, mailboxBytesMax, epochBytesMax } = config;
  if (sessionTimeoutMs > maxSessionDurationMs) {
    problems.push(
      `SESSION_TIMEOUT (${formatDuration(sessionTimeoutMs)}) must not exceed MAX_SESSION_DURATION ` +
        `(${
          formatDuration(maxSessionDurationMs)
        }): a gap that long could never end a session. Change one of them.`,
    );
  }
  if (mailboxBytesMax > epochBytesMax) {
    problems.push(
      `MAILBOX_BYTES_MAX (${formatSize(mailboxBytesMax)}) must not exceed EPOCH_BYTES_MAX ` +
        `(${formatSize(epochBytesMax)}): one mailbox would hold more than an epoch. Change one of them.`,
    );
  }
  // A restart replays from the oldest checkpoint that is kept, so its records must still be there.
  const replayMs = config.epochIntervalMs * EPOCHS_PER_CHECKPOINT * CHECKPOINTS_KEPT;
  if (config.eventsRetentionMs < replayMs) {
    problems.push(
      `EVENTS_RETENTION (${formatDuration(config.eventsRetentionMs)}) must be at least ` +
        `${EPOCHS_PER_CHECKPOINT * CHECKPOINTS_KEPT} times EPOCH_INTERVAL (${formatDuration(replayMs)}): ` +
        `a restart replays that much. Raise it, or lower EPOCH_INTERVAL.`,
    );
  }
  if (config.clickhouseUrl === null) {
    for (const name of ["clickhouseUser", "clickhousePassword"] as const) {
      if (origins[name] === "default") continue;
      const { env } = SETTINGS[name];
      problems.push(
        `${env} is set, but CLICKHOUSE_URL is not, and the embedded ClickHouse has no users: ` +
          `set CLICKHOUSE_URL, or unset ${env}.`,
      );
    }
  }
  if (config.metricsPort === null && origins.metricsHost !== "default") {
    problems.push(
      "METRICS_HOST is set, but METRICS_PORT is not, and nothing would listen there: " +
        "set METRICS_PORT, or unset METRICS_HOST.",
    );
  }
  if (config.httpToken === null && !LOOPBACK.test(config.httpHost)) {
    problems.push(
      `HTTP_HOST (${config.httpHost}) is not a loopback address, and HTTP_TOKEN is not set: anybody could read the ` +
        "sessions. Set HTTP_TOKEN or HTTP_TOKEN_FILE, or HTTP_HOST to 127.0.0.1.",
    );
  }
  if (config.clickhouseCluster !== null && config.clickhouseUrl === null) {
    problems.push(
      "CLICKHOUSE_CLUSTER is set, but CLICKHOUSE_URL is not, and the embedded ClickHouse is alone: " +
        "set CLICKHOUSE_URL, or unset CLICKHOUSE_CLUSTER.",
    );
  }
  if (config.clickhouseTlsCa !== null && !config.clickhouseUrl?.startsWith("https:")) {
    problems.push(
      "CLICKHOUSE_TLS_CA is set, but CLICKHOUSE_URL does not begin with https://, and nothing is encrypted: " +
        "change CLICKHOUSE_URL, or unset CLICKHOUSE_TLS_CA.",
    );
  }
  problems.push(
    ...checkKafka(config, origins),
    ...checkObjectStore(config, origins),
    ...checkArchive(config),
  );
  return problems;
}

const LOOPBACK = /^(127(\.\d{1,3}){3}|localhost|::1)$/i;

/** The endpoint and the keys go together; the others mean nothing without it. */
function checkObjectStore(config: Config, origins: Origins<typeof SETTINGS>): string[] {
  if (config.s3Endpoint === null) {
    const places = ["s3Bucket", "s3Region", "s3Prefix"] as const;
    const others = [...places, "s3AccessKey", "s3SecretKey", "s3TimeoutMs", "s3TlsCa"] as const;
    return others.filter((name) => origins[name] !== "default").map((name) =>
      `${SETTINGS[name].env} is set, but S3_ENDPOINT is not, and the lake would be a folder: ` +
      `set S3_ENDPOINT, or unset ${SETTINGS[name].env}.`
    );
  }
  const problems = (["s3AccessKey", "s3SecretKey"] as const).filter((name) => config[name] === null).map((
    name,
  ) => `S3_ENDPOINT is set, but ${SETTINGS[name].env} is not: set it, or ${SETTINGS[name].env}_FILE.`);
  if (config.s3TlsCa !== null && !config.s3Endpoint.startsWith("https:")) {
    problems.push(
      "S3_TLS_CA is set, but S3_ENDPOINT does not begin with https://, and nothing is encrypted: " +
        "change S3_ENDPOINT, or unset S3_TLS_CA.",
    );
  }
  return problems;
}

/** The archive must be another place than the lake, and a bucket is at an endpoint. */
function checkArchive({ archiveBucket, archivePrefix, s3Endpoint, s3Bucket, s3Prefix }: Config): string[] {
  if (archiveBucket !== null && s3Endpoint === null) {
    return [
      "ARCHIVE_BUCKET is set, but S3_ENDPOINT is not, and the archive would be a folder: set S3_ENDPOINT, or set " +
      "ARCHIVE_PREFIX instead.",
    ];
  }
  const isArchived = archiveBucket !== null || archivePrefix !== null;
  if (
    isArchived && s3Endpoint !== null && (archiveBucket ?? s3Bucket) === s3Bucket &&
    archivePrefix === s3Prefix
  ) {
    return [
      "The archive must be another place than the lake: ARCHIVE_BUCKET and ARCHIVE_PREFIX name the bucket and prefix " +
      "of S3_BUCKET and S3_PREFIX. Change one of them.",
    ];
  }
  return [];
}

/** What reaches Kafka goes together: nothing of it without the brokers, user and password with the mechanism. */
function checkKafka(config: Config, origins: Origins<typeof SETTINGS>): string[] {
  const isSet = (name: keyof Config) => origins[name] !== "default";
  const { env: brokers } = SETTINGS.kafkaBrokers;
  const { env: mechanism } = SETTINGS.kafkaSaslMechanism;
  const needs = (name: keyof Config, needed: string, why: string) =>
    `${SETTINGS[name].env} is set, but ${needed} is not, and ${why}: set ${needed}, or unset ${
      SETTINGS[name].env
    }.`;
  if (config.kafkaBrokers === null) {
    const reaching = Object.keys(KAFKA_SETTINGS) as (keyof typeof KAFKA_SETTINGS)[];
    return reaching.filter(isSet).map((name) => needs(name, brokers, "the embedded log is used"));
  }
  const problems: string[] = [];
  if (config.kafkaTlsCa !== null && !config.kafkaTls) {
    problems.push(needs("kafkaTlsCa", SETTINGS.kafkaTls.env, "nothing is encrypted"));
  }
  for (const name of ["kafkaSaslUsername", "kafkaSaslPassword"] as const) {
    const { env, secret } = SETTINGS[name] as Setting;
    if (config.kafkaSaslMechanism === "none") {
      if (isSet(name)) problems.push(needs(name, mechanism, "nobody would be asked for it"));
    } else if (config[name] === null) {
      const file = secret ? `, or ${env}_FILE` : "";
      problems.push(`${mechanism} is ${config.kafkaSaslMechanism}, but ${env} is not set: set it${file}.`);
    }
  }
  return problems;
}

/** One effective setting, as `sessionary config` shows it. */
export interface SettingDescription {
  readonly variable: string;
  readonly value: string;
  readonly origin: string;
  readonly doc: string;
}

/** The effective settings in the table's order; secrets, and passwords inside URLs, are masked. */
export function describeConfig({ config, origins }: ResolvedConfig): SettingDescription[] {
  return (Object.keys(SETTINGS) as (keyof Config)[]).map((name) => ({
    variable: SETTINGS[name].env,
    value: formatSetting(SETTINGS[name], config[name]),
    origin: origins[name],
    doc: SETTINGS[name].doc,
  }));
}
