/** The options of `sessionary table`; each subcommand takes some of them. */
import { integer, optionalDuration, type SettingTable, text, toggle } from "./setting.ts";

const OUTPUT = "Output:";
const TABLE = "Table:";

/** Versions or rows that one command may bring. */
const LIMIT_MAX = 1_000_000;
const VERSION = { minimum: 0, maximum: Number.MAX_SAFE_INTEGER } as const;

/** What a time looks like on the command line: RFC 3339, or a date, which is its midnight in UTC. */
const TIMESTAMP_PATTERN = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2}))?$/;
export const TIMESTAMP_CONSTRAINT = "a date, or a time with its zone such as 2024-05-01T12:00:00Z";

/** A version's number, or such a time. */
export const AS_OF_PATTERN = new RegExp(`^\\d+$|${TIMESTAMP_PATTERN.source}`);

/** All of them. */
export const TABLE_SETTINGS = {
  json: toggle({ env: "TABLE_JSON", group: OUTPUT, doc: "print JSON instead of a table" }),
  limit: integer(
    { env: "TABLE_LIMIT", group: OUTPUT, doc: "most lines; 20 in a table, all with --json by default" },
    null,
    { minimum: 1, maximum: LIMIT_MAX },
  ),
  version: integer({ env: "TABLE_VERSION", group: TABLE, doc: "a version of the table" }, null, VERSION),
  timestamp: text(
    { env: "TABLE_TIMESTAMP", group: TABLE, doc: "the version that was the newest at this time" },
    null,
    TIMESTAMP_PATTERN,
    TIMESTAMP_CONSTRAINT,
  ),
  from: integer({ env: "TABLE_FROM", group: TABLE, doc: "first version" }, null, VERSION),
  date: text(
    { env: "TABLE_DATE", group: TABLE, doc: "only files of this session_date; by default all" },
    null,
    /^\d{4}-\d{2}-\d{2}$/,
    "a date such as 2024-05-01",
  ),
  olderThan: optionalDuration(
    {
      env: "TABLE_OLDER_THAN",
      group: TABLE,
      doc: "age at which session_dates leave; RETENTION by default",
    },
    "1d",
    "36500d",
  ),
  dryRun: toggle({ env: "TABLE_DRY_RUN", group: TABLE, doc: "say what would be done, and do nothing" }),
  retention: optionalDuration(
    {
      env: "TABLE_RETENTION",
      group: TABLE,
      doc: "keep files younger than this; VACUUM_RETENTION by default",
    },
    "0ms",
    "3650d",
  ),
  forceShortRetention: toggle({
    env: "TABLE_FORCE_SHORT_RETENTION",
    group: TABLE,
    doc: "allow --retention below 7d: nobody reads or restores older versions",
  }),
  to: integer({ env: "TABLE_TO", group: TABLE, doc: "last version; by default the newest" }, null, VERSION),
} as const satisfies SettingTable;
