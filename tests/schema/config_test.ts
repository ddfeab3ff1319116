import { assert, assertEquals, assertFalse, assertMatch, assertThrows } from "@std/assert";
import fc from "fast-check";
import { describeConfig, environmentVariables, resolveConfig, resolveSettings } from "../../schema/config.ts";
import { dataPaths } from "../../schema/data_paths.ts";
import { UserError } from "../../schema/errors.ts";
import { formatSetting, maskUrl, parseSetting, type Setting } from "../../schema/setting.ts";
import { PRODUCE_SETTINGS } from "../../schema/produce_settings.ts";
import { RUN_SETTINGS, SETTINGS } from "../../schema/settings.ts";
import { formatDuration, formatSize, parseDuration, parseSize } from "../../schema/units.ts";

function problems(env: Record<string, string>, flags: Record<string, string> = {}): string[] {
  return (assertThrows(() => resolveConfig({ flags, env }), UserError) as UserError).message.split("\n");
}

Deno.test("Without flags and variables every setting has its documented default", () => {
  const { config, origins } = resolveConfig({ flags: {}, env: {} });
  assertEquals(config, {
    dataDir: "./data",
    pipeline: "sessionary",
    topic: "web_clicks",
    partitions: 8,
    eventsRetentionMs: 7 * 86_400_000,
    kafkaBrokers: null,
    kafkaGroup: null,
    kafkaClientId: "sessionary",
    kafkaTls: false,
    kafkaTlsCa: null,
    kafkaSaslMechanism: "none",
    kafkaSaslUsername: null,
    kafkaSaslPassword: null,
    sessionActors: 2,
    sessionizer: "fast",
    epochIntervalMs: 10_000,
    epochBytesMax: 256 * 1024 * 1024,
    revisionIntervalMs: 60_000,
    optimizeIntervalMs: 600_000,
    optimizeTargetBytes: 64 * 1024 * 1024,
    vacuumIntervalMs: 86_400_000,
    vacuumRetentionMs: 7 * 86_400_000,
    retentionMs: null,
    archiveBucket: null,
    archivePrefix: null,
    mailboxBytesMax: 8 * 1024 * 1024,
    keyCheck: "session_id",
    sessionTimeoutMs: 30 * 60_000,
    watermarkDelayMs: 60_000,
    allowedLatenessMs: 120_000,
    maxSessionDurationMs: 86_400_000,
    maxSessionEvents: 50_000,
    maxClockSkewMs: 60_000,
    s3Endpoint: null,
    s3Bucket: "session-metrics",
    s3AccessKey: null,
    s3SecretKey: null,
    s3Region: "us-east-1",
    s3Prefix: null,
    s3TimeoutMs: 20_000,
    s3TlsCa: null,
    clickhouseUrl: null,
    clickhouseUser: "default",
    clickhousePassword: null,
    clickhouseDatabase: "default",
    clickhouseCluster: null,
    clickhouseTlsCa: null,
    clickhouseTimeoutMs: 60_000,
    httpHost: "127.0.0.1",
    httpPort: 8400,
    httpToken: null,
    metricsHost: "127.0.0.1",
    metricsPort: null,
    logLevel: "info",
    logFormat: "text",
  });
  assertEquals(new Set(Object.values(origins)), new Set(["default"]));
});

Deno.test("A flag wins over a variable, a variable over the default, and an empty variable counts as unset", () => {
  const { config, origins } = resolveConfig({
    flags: { sessionTimeoutMs: "45m" },
    env: { SESSION_TIMEOUT: "20m", EPOCH_INTERVAL: "500ms", WATERMARK_DELAY: "" },
  });
  assertEquals(config.sessionTimeoutMs, 45 * 60_000);
  assertEquals(origins.sessionTimeoutMs, "flag --session-timeout");
  assertEquals(config.epochIntervalMs, 500);
  assertEquals(origins.epochIntervalMs, "variable EPOCH_INTERVAL");
  assertEquals(origins.watermarkDelayMs, "default");
});

Deno.test("Every default is a legal value of its own setting, written as it is shown", () => {
  for (const table of [SETTINGS, PRODUCE_SETTINGS, RUN_SETTINGS]) {
    for (const [name, setting] of Object.entries(table)) {
      if (setting.default === null) continue;
      assertEquals(parseSetting(setting, formatSetting(setting, setting.default)), setting.default, name);
    }
  }
});

Deno.test("All bad values are told at once, each by name, constraint and value found", () => {
  assertEquals(
    problems(
      { KAFKA_PARTITIONS: "0", KAFKA_KEY: "user", SESSION_TIMEOUT: "soon", LOG_LEVEL: "loud" },
      { epochBytesMax: "1MB" },
    ),
    [
      'KAFKA_PARTITIONS must be a whole number from 1 to 1024: found "0".',
      '--epoch-bytes-max must be a size from 1MiB to 16GiB (such as 512KiB, 64MiB): found "1MB".',
      'KAFKA_KEY must be one of session_id, trust: found "user".',
      'SESSION_TIMEOUT must be a duration from 1ms to 30d (such as 500ms, 10s, 30m, 24h): found "soon".',
      'LOG_LEVEL must be one of debug, info, warning, error: found "loud".',
    ],
  );
});

Deno.test("Integers refuse fractions, signs, exponents and blanks", () => {
  for (const text of ["1.5", "-1", "1e3", " ", "0x10", "65536", "8 partitions"]) {
    assertMatch(
      problems({ SESSION_ACTORS: text })[0]!,
      /^SESSION_ACTORS must be a whole number from 1 to 64/,
    );
  }
});

Deno.test("Settings that do not go together are refused with both values", () => {
  assertMatch(
    problems({ SESSION_TIMEOUT: "2h", MAX_SESSION_DURATION: "1h" })[0]!,
    /^SESSION_TIMEOUT \(2h\) must not exceed MAX_SESSION_DURATION \(1h\)/,
  );
  assertMatch(
    problems({ MAILBOX_BYTES_MAX: "2MiB", EPOCH_BYTES_MAX: "1MiB" })[0]!,
    /^MAILBOX_BYTES_MAX \(2MiB\) must not exceed EPOCH_BYTES_MAX \(1MiB\)/,
  );
  assertMatch(
    problems({ EVENTS_RETENTION: "1m", EPOCH_INTERVAL: "1m" })[0]!,
    /^EVENTS_RETENTION \(1m\) must be at least 15 times EPOCH_INTERVAL \(15m\)/,
  );
  assertMatch(
    problems({ CLICKHOUSE_TLS_CA: "ca.pem", CLICKHOUSE_URL: "http://server:8123" })[0]!,
    /^CLICKHOUSE_TLS_CA is set, but CLICKHOUSE_URL does not begin with https/,
  );
  const s3 = { S3_ENDPOINT: "http://server:9000", S3_ACCESS_KEY: "key", S3_SECRET_KEY: "hush" };
  assertMatch(
    problems({ ...s3, S3_TLS_CA: "ca.pem" })[0]!,
    /^S3_TLS_CA is set, but S3_ENDPOINT does not begin with https/,
  );
  assertMatch(problems({ ARCHIVE_BUCKET: "cold" })[0]!, /^ARCHIVE_BUCKET is set, but S3_ENDPOINT is not/);
  const same = /^The archive must be another place than the lake/;
  assertMatch(problems({ ...s3, ARCHIVE_BUCKET: "session-metrics" })[0]!, same);
  assertMatch(problems({ ...s3, S3_PREFIX: "a", ARCHIVE_PREFIX: "a" })[0]!, same);
  assertMatch(problems({ CLICKHOUSE_USER: "me" })[0]!, /^CLICKHOUSE_USER is set, but CLICKHOUSE_URL is not/);
  assertMatch(problems({ METRICS_HOST: "0.0.0.0" })[0]!, /^METRICS_HOST is set, but METRICS_PORT is not/);
});

Deno.test("Kafka needs its brokers as host:port, a user and a password with a mechanism, and none of it without the brokers", () => {
  const KAFKA_BROKERS = "one:9092,two:9092";
  assertEquals(resolveConfig({ flags: {}, env: { KAFKA_BROKERS } }).config.kafkaBrokers, KAFKA_BROKERS);
  assertEquals(problems({ KAFKA_BROKERS: "kafka://one" }), [
    'KAFKA_BROKERS must be host:port, with commas between several and without spaces: found "kafka://one".',
  ]);
  assertEquals(
    problems({ KAFKA_BROKERS, KAFKA_SASL_MECHANISM: "scram-sha-512", KAFKA_SASL_USERNAME: "me" }),
    [
      "KAFKA_SASL_MECHANISM is scram-sha-512, but KAFKA_SASL_PASSWORD is not set: set it, or KAFKA_SASL_PASSWORD_FILE.",
    ],
  );
  assertMatch(
    problems({ KAFKA_BROKERS, KAFKA_SASL_PASSWORD: "hush" })[0]!,
    /^KAFKA_SASL_PASSWORD is set, but KAFKA_SASL_MECHANISM is not, and nobody would be asked for it/,
  );
  assertMatch(
    problems({ KAFKA_BROKERS, KAFKA_TLS_CA: "ca.pem" })[0]!,
    /^KAFKA_TLS_CA is set, but KAFKA_TLS is not/,
  );
  assertMatch(
    problems({ KAFKA_GROUP: "readers" })[0]!,
    /^KAFKA_GROUP is set, but KAFKA_BROKERS is not, and the embedded log is used/,
  );
});

Deno.test("An object store needs its endpoint and both keys, and nothing of it goes without the endpoint", () => {
  const S3_ENDPOINT = "http://minio:9000";
  const keys = { S3_ACCESS_KEY: "me", S3_SECRET_KEY: "hush" };
  assertEquals(problems({ S3_ENDPOINT }), [
    "S3_ENDPOINT is set, but S3_ACCESS_KEY is not: set it, or S3_ACCESS_KEY_FILE.",
    "S3_ENDPOINT is set, but S3_SECRET_KEY is not: set it, or S3_SECRET_KEY_FILE.",
  ]);
  assertMatch(problems({ S3_BUCKET: "clicks" })[0]!, /^S3_BUCKET is set, but S3_ENDPOINT is not/);
  assertMatch(problems(keys)[1]!, /^S3_SECRET_KEY is set, but S3_ENDPOINT is not/);
  const { config } = resolveConfig({ flags: {}, env: { S3_ENDPOINT, ...keys, S3_PREFIX: "team/clicks" } });
  assertEquals([config.s3Endpoint, config.s3Prefix], [S3_ENDPOINT, "team/clicks"]);
});

Deno.test("The endpoint of an object store has no path, and the place in its bucket no odd slashes or dots", () => {
  for (
    const url of ["minio:9000", "ftp://minio", "http://minio/bucket", "http://me:hush@minio", "http://m?x"]
  ) {
    const [problem] = problems({ S3_ENDPOINT: url });
    assertMatch(problem!, /^S3_ENDPOINT must be http:\/\/ or https:\/\//);
    assertFalse(problem!.includes("hush"));
  }
  for (const prefix of ["/a", "a/", "a//b", "a/../b", ".", "a b"]) {
    assertMatch(problems({ S3_PREFIX: prefix })[0]!, /^S3_PREFIX must be letters/);
  }
  for (const bucket of ["ab", "Upper", "-a-", "under_score"]) {
    assertMatch(problems({ S3_BUCKET: bucket })[0]!, /^S3_BUCKET must be 3 to 63/);
  }
});

Deno.test("Without a token only a loopback address is taken for the web server", () => {
  for (const host of ["127.0.0.1", "127.1.2.3", "localhost", "::1"]) {
    assertEquals(resolveConfig({ flags: {}, env: { HTTP_HOST: host } }).config.httpHost, host);
  }
  for (const host of ["0.0.0.0", "::", "example.com", "127.0.0.1.example.com", "10.0.0.1"]) {
    assertMatch(problems({ HTTP_HOST: host })[0]!, /is not a loopback address, and HTTP_TOKEN is not set/);
    const token = "0123456789abcdef";
    assertEquals(
      resolveConfig({ flags: {}, env: { HTTP_HOST: host, HTTP_TOKEN: token } }).config.httpToken,
      token,
    );
  }
});

Deno.test("A token is long enough not to be guessed, fits into a header, and is never shown", () => {
  for (const token of ["short", "fifteen_letters", "sixteen letters!", "sixteen_lettersé"]) {
    const [problem] = problems({ HTTP_TOKEN: token });
    assertMatch(
      problem!,
      /^HTTP_TOKEN must be 16 to 512 printable ASCII characters without a space: found a value that/,
    );
    assert(!problem!.includes(token));
  }
});

Deno.test("A secret may come from a file, without its last line break, and is never shown", () => {
  const resolved = resolveConfig({
    flags: {},
    env: { CLICKHOUSE_URL: "https://me:hush@server:8443/", CLICKHOUSE_USER: "me" },
    secretFiles: { CLICKHOUSE_PASSWORD: { path: "/run/secrets/password", content: "hunter2\n" } },
  });
  assertEquals(resolved.config.clickhousePassword, "hunter2");
  const described = describeConfig(resolved);
  const password = described.find(({ variable }) => variable === "CLICKHOUSE_PASSWORD")!;
  assertEquals([password.value, password.origin], ["***", "file /run/secrets/password"]);
  const shown = JSON.stringify(described);
  assertFalse(shown.includes("hunter2"));
  assertFalse(shown.includes("hush"));
  assert(shown.includes("https://me:***@server:8443/"));
});

Deno.test("A secret set twice is refused, and a malformed URL is shown without its password", () => {
  const message = (assertThrows(
    () =>
      resolveConfig({
        flags: {},
        env: { CLICKHOUSE_PASSWORD: "a", CLICKHOUSE_URL: "ftp://me:hush@server" },
        secretFiles: { CLICKHOUSE_PASSWORD: { path: "f", content: "b" } },
      }),
    UserError,
  ) as UserError).message;
  assertMatch(message, /CLICKHOUSE_PASSWORD and CLICKHOUSE_PASSWORD_FILE are both set/);
  assertMatch(message, /CLICKHOUSE_URL must be a URL that begins with http:\/\/ or https:\/\//);
  assertFalse(message.includes("hush"));
  assertEquals(maskUrl("http://server:8123/path"), "http://server:8123/path");
  assertEquals(maskUrl("http://me:p/w:x@y@server?access_token=t"), "http://me:***@server?***");
});

Deno.test("A command's own settings have its prefix in the environment only", () => {
  const { values, origins } = resolveSettings(
    PRODUCE_SETTINGS,
    { flags: { rate: "2.5" }, env: { PRODUCE_EVENTS: "200000" } },
    "PRODUCE_",
  );
  assertEquals([values.rate, values.events, values.seed], [2.5, 200_000, null]);
  assertEquals([origins.rate, origins.events], ["flag --rate", "variable PRODUCE_EVENTS"]);
});

Deno.test("A switch is on by its flag or by true or 1, and refuses other words", () => {
  const read = (env: Record<string, string>, flags = {}) =>
    resolveSettings(RUN_SETTINGS, { flags, env }, "RUN_").values.untilEnd;
  assertEquals([read({}, { untilEnd: true }), read({ RUN_UNTIL_END: "1" }), read({})], [true, true, false]);
  assertEquals(read({ RUN_UNTIL_END: "false" }), false);
  assertThrows(() => read({ RUN_UNTIL_END: "yes" }), UserError, "RUN_UNTIL_END must be true or false");
});

Deno.test("Each setting has a variable of its own", () => {
  const variables = environmentVariables(SETTINGS);
  const settings: Setting[] = Object.values(SETTINGS);
  const secrets = settings.filter(({ secret }) => secret).length;
  assertEquals(variables.length, settings.length + secrets);
  assert(variables.includes("CLICKHOUSE_PASSWORD_FILE"));
});

Deno.test("Durations and sizes read back as they were written, whatever their unit", () => {
  fc.assert(fc.property(fc.nat({ max: Number.MAX_SAFE_INTEGER }), (value) => {
    assertEquals(parseDuration(formatDuration(value)), value);
    assertEquals(parseSize(formatSize(value)), value);
  }));
  assertEquals([parseDuration("1.5h"), parseDuration("250"), parseDuration("10 s")], [
    5_400_000,
    250,
    10_000,
  ]);
  assertEquals([parseSize("0.5MiB"), parseSize("2GiB")], [524_288, 2_147_483_648]);
  for (const bad of ["", "s", "-1s", "1x", "1 toString", "1e3s", "999999999999999999d"]) {
    assertEquals([parseDuration(bad), parseSize(bad)], [null, null], bad);
  }
});

Deno.test("The data directory's layout does not depend on a trailing slash", () => {
  assertEquals(dataPaths("./data/"), dataPaths("./data"));
  assertEquals(dataPaths("./data").events, "./data/events.db");
});
