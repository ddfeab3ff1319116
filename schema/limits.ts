/**
 * Every bound of the program, by name, with the relations that must hold between them.
 * Units come last in a name: `_ms`, `_bytes`, `_count`. A bound an operator may change is a default in `config.ts`.
 */

/** The longest message accepted, in bytes of its value: a longer one is the dead letter `too_large`. */
export const EVENT_VALUE_BYTES_MAX = 64 * 1024;
/** The earliest event time accepted: 1990-01-01T00:00:00Z, in epoch milliseconds. */
export const EVENT_TIME_MIN_MS = Date.UTC(1990, 0, 1);
/** The page events a session lists; its counts stay exact beyond it. */
export const PAGE_EVENTS_LISTED_MAX = 1_000;
/** Counters are UInt16 in ClickHouse, so no session may count more events than this. */
export const COUNTER_MAX = 65_535;
/** Epochs between their barrier and their Delta commit; one more waits. */
export const EPOCHS_IN_FLIGHT_MAX = 2;
/** Epochs from one checkpoint of the state to the next. */
export const EPOCHS_PER_CHECKPOINT = 5;
/** Checkpoints of a partition's state that are kept. */
export const CHECKPOINTS_KEPT = 3;
/** Delta commits from one Delta checkpoint to the next. */
export const VERSIONS_PER_DELTA_CHECKPOINT = 10;
/** Rows of one INSERT; a version with more is cut into ordinal pieces. */
export const ROWS_PER_INSERT_MAX = 500_000;
/** Deduplication tokens that every ClickHouse table remembers. */
export const DEDUPLICATION_WINDOW = 10_000;
/** Free space below which the program refuses to start, in bytes. */
export const DISK_FREE_BYTES_MIN = 64 * 1024 * 1024;
/** Session actors one process may run. */
export const SESSION_ACTORS_MAX = 64;
/** A string's characters in a file's min/max statistics (Delta protocol, "Per-file Statistics"). */
export const STATS_STRING_CHARACTERS_MAX = 32;

// Two epochs in flight must both be inside the span that one checkpoint covers, or a restart would need a
// checkpoint that has not been asked for yet.
if (EPOCHS_IN_FLIGHT_MAX >= EPOCHS_PER_CHECKPOINT) {
  throw new Error("EPOCHS_IN_FLIGHT_MAX must be below EPOCHS_PER_CHECKPOINT");
}
// Versions between two runs of the follower must fit in the window that makes its retries harmless.
if (DEDUPLICATION_WINDOW < 10 * VERSIONS_PER_DELTA_CHECKPOINT) {
  throw new Error("DEDUPLICATION_WINDOW must cover at least ten Delta checkpoints");
}
