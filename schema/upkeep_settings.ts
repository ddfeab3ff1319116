/** The settings of the Delta table's upkeep. */
import { duration, optionalDuration, type SettingTable, size, text } from "./setting.ts";

export const UPKEEP_HEADING = "Table upkeep:";
export const RETENTION_HEADING = "Retention and archive:";

/** What a bucket may be called, and a prefix in it. */
export const BUCKET_PATTERN = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
export const BUCKET_CONSTRAINT =
  "3 to 63 lower-case letters, digits, dots or hyphens, no dot or hyphen at its ends";
export const PREFIX_PATTERN = /^(?!.*(^|\/)\.{1,2}(\/|$))[A-Za-z0-9._=-]+(\/[A-Za-z0-9._=-]+)*$/;
export const PREFIX_CONSTRAINT =
  "letters, digits, dots, underscores, equals signs or hyphens, with single slashes between them";

/** How often and how the table is looked after. */
export const UPKEEP_SETTINGS = {
  optimizeIntervalMs: duration(
    {
      env: "OPTIMIZE_INTERVAL",
      group: UPKEEP_HEADING,
      doc: "time between two looks for small files to pack; 0: never",
    },
    "10m",
    "0ms",
    "7d",
  ),
  optimizeTargetBytes: size(
    { env: "OPTIMIZE_TARGET_SIZE", group: UPKEEP_HEADING, doc: "size of a packed file, about" },
    "64MiB",
    "1MiB",
    "1GiB",
  ),
  vacuumIntervalMs: duration(
    {
      env: "VACUUM_INTERVAL",
      group: UPKEEP_HEADING,
      doc: "time between two deletions of files that left the table; 0: never",
    },
    "1d",
    "0ms",
    "30d",
  ),
  vacuumRetentionMs: duration(
    {
      env: "VACUUM_RETENTION",
      group: UPKEEP_HEADING,
      doc: "how long such files are kept, for readers of older versions",
    },
    "7d",
    "7d",
    "3650d",
  ),
  retentionMs: optionalDuration(
    {
      env: "RETENTION",
      group: RETENTION_HEADING,
      doc: "age at which whole session_dates leave the table and ClickHouse; kept for ever by default",
    },
    "1d",
    "36500d",
  ),
  archiveBucket: text(
    {
      env: "ARCHIVE_BUCKET",
      group: RETENTION_HEADING,
      doc: "bucket of the archive of such dates, at S3_ENDPOINT; S3_BUCKET by default",
    },
    null,
    BUCKET_PATTERN,
    BUCKET_CONSTRAINT,
  ),
  archivePrefix: text(
    {
      env: "ARCHIVE_PREFIX",
      group: RETENTION_HEADING,
      doc:
        "where in the bucket, or in DATA_DIR/archive, the archive is; unset with ARCHIVE_BUCKET: there is none",
    },
    null,
    PREFIX_PATTERN,
    PREFIX_CONSTRAINT,
  ),
} as const satisfies SettingTable;
