/** The settings of `produce`. */
import { choice, decimal, integer, path, rate, type SettingTable, text } from "./setting.ts";

/** The heading that `dev` shares. */
export const SIMULATOR = "Simulated readers:";
const REPLAY = "Replay instead of simulated readers:";
export const EVENT_RATE = { minimum: 0.1, maximum: 10_000_000 };
export const SEED = { minimum: 0, maximum: 2 ** 32 - 1 };
const PERCENT = { minimum: 0, maximum: 50 };

/** `produce`'s own options. */
export const PRODUCE_SETTINGS = {
  rate: rate(
    { env: "PRODUCE_RATE", group: SIMULATOR, doc: "events per second, or max: as fast as possible" },
    EVENT_RATE,
  ),
  events: integer(
    { env: "PRODUCE_EVENTS", group: SIMULATOR, doc: "events to produce; without it until Ctrl-C" },
    null,
    { minimum: 1, maximum: 10_000_000_000 },
  ),
  seed: integer(
    { env: "PRODUCE_SEED", group: SIMULATOR, doc: "seed of the readers; random by default" },
    null,
    SEED,
  ),
  late: decimal(
    {
      env: "PRODUCE_LATE",
      group: SIMULATOR,
      doc: "percent of events sent 20 s to 2 min after session's end",
    },
    0,
    PERCENT,
  ),
  duplicates: decimal(
    { env: "PRODUCE_DUPLICATES", group: SIMULATOR, doc: "percent of events sent twice, up to 2 min apart" },
    0,
    PERCENT,
  ),
  outOfOrder: decimal(
    { env: "PRODUCE_OUT_OF_ORDER", group: SIMULATOR, doc: "percent of events older than the one before" },
    0,
    PERCENT,
  ),
  truth: path(
    { env: "PRODUCE_TRUTH", group: SIMULATOR, doc: "file to write the right sessions to, as JSON" },
    null,
  ),
  ndjson: path(
    { env: "PRODUCE_NDJSON", group: REPLAY, doc: "file of events, one JSON object a line; - for stdin" },
    null,
    "a path, or - for stdin",
  ),
  keySeparator: text(
    { env: "PRODUCE_KEY_SEPARATOR", group: REPLAY, doc: "lines of --ndjson are key, this separator, value" },
    null,
    /^[^\n]+$/,
    "a text without a line break",
  ),
  accessLog: path(
    {
      env: "PRODUCE_ACCESS_LOG",
      group: REPLAY,
      doc: "web server's log, common or combined format, also .gz",
    },
    null,
  ),
  sessionKey: choice(
    { env: "PRODUCE_SESSION_KEY", group: REPLAY, doc: "what makes a session_id of --access-log" },
    "host",
    ["host", "host+agent"],
  ),
} as const satisfies SettingTable;
