/** The embedded log's file: created whole or not at all, checked before it is used, and never mended in silence. */
import { DatabaseSync } from "node:sqlite";
import { dirname } from "node:path";
import { messageOf, SourceError } from "../schema/errors.ts";

/** "SESS" in the header's application id (SQLite file format, section 1.3) tells our files from others'. */
const APPLICATION_ID = 0x53455353;
const FORMAT_VERSION = 1;
const MAGIC = "SQLite format 3\0";
/** A batch of 64 KB takes four of these pages; with SQLite's 4 KiB pages reading was six times slower. */
const PAGE_BYTES = 16 * 1024;
const WAL_BYTES = 64 * 1024 * 1024;
/** A whole check of a file of this size takes about a tenth of a second. */
const QUICK_CHECK_BYTES_MAX = 256 * 1024 * 1024;

const SCHEMA = `
  CREATE TABLE topics (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
  ) STRICT;
  CREATE TABLE partitions (
    id INTEGER PRIMARY KEY,
    topic_id INTEGER NOT NULL REFERENCES topics (id),
    partition INTEGER NOT NULL,
    start_offset INTEGER NOT NULL DEFAULT 0,
    end_offset INTEGER NOT NULL DEFAULT 0,
    last_timestamp INTEGER NOT NULL DEFAULT 0,
    UNIQUE (topic_id, partition)
  ) STRICT;
  CREATE TABLE batches (
    id INTEGER PRIMARY KEY,
    partition_id INTEGER NOT NULL REFERENCES partitions (id),
    first_offset INTEGER NOT NULL,
    last_offset INTEGER NOT NULL,
    timestamp INTEGER NOT NULL,
    batch BLOB NOT NULL,
    UNIQUE (partition_id, last_offset)
  ) STRICT;
  CREATE TABLE committed_offsets (
    consumer_group TEXT NOT NULL,
    partition_id INTEGER NOT NULL REFERENCES partitions (id),
    next_offset INTEGER NOT NULL,
    PRIMARY KEY (consumer_group, partition_id)
  ) STRICT, WITHOUT ROWID;
`;

export interface LogFileOptions {
  readonly path: string;
  /** How long a write waits for another process's, milliseconds. */
  readonly busyTimeoutMs: number;
  /** Bound on the file, bytes: an append that would pass it fails as on a full disk. */
  readonly maxFileBytes?: number;
}

/**
 * Opens the log's database, and creates it where there is no file. What is not a whole log of this version is
 * refused and left as it is.
 *
 * @throws {SourceError} where the file cannot be used: what it is, and what to do
 */
export function openLogFile(options: LogFileOptions): DatabaseSync {
  const { path } = options;
  return explained("Opening", path, () => {
    if (!isFile(path)) createLogFile(path);
    checkHeader(path);
    const db = new DatabaseSync(path, { timeout: options.busyTimeoutMs });
    try {
      // FULL: an append is synced before it is acknowledged.
      db.exec(`
        PRAGMA synchronous = FULL;
        PRAGMA wal_autocheckpoint = ${WAL_BYTES / PAGE_BYTES};
        PRAGMA journal_size_limit = ${WAL_BYTES};
        PRAGMA cache_size = -16384;
      `);
      if (options.maxFileBytes !== undefined) {
        db.exec(`PRAGMA max_page_count = ${Math.floor(options.maxFileBytes / PAGE_BYTES)}`);
      }
      checkContent(db, path);
    } catch (error) {
      db.close();
      throw error;
    }
    return db;
  });
}

/**
 * Runs `work`; what SQLite or the file system throws becomes a sentence.
 *
 * @param action what is being done with the log, e.g. "Reading"
 */
export function explained<T>(action: string, path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof SourceError) throw error;
    throw new SourceError(`${action} the event log '${path}' failed: ${explanation(error, path)}`, {
      cause: error,
    });
  }
}

/** The error for content that cannot be what was written. */
export function damaged(path: string, detail: string): SourceError {
  return new SourceError(`The event log '${path}' is damaged: ${detail}. ${leftAlone(path)}`);
}

function leftAlone(path: string): string {
  return `It was left as it is: restore it from a backup, or move it away together with '${path}-wal' and ` +
    `'${path}-shm' to begin with an empty log.`;
}

/** Whether SQLite has given up because somebody else writes. */
export function isBusy(error: unknown): boolean {
  return /is locked|is busy/.test(messageOf(error));
}

function explanation(error: unknown, path: string): string {
  const message = messageOf(error);
  if (/not a database|malformed/.test(message)) return `the file is damaged (${message}). ${leftAlone(path)}`;
  if (/is full|No space left|quota/i.test(message)) {
    return "the disk is full. Nothing of this step was stored: free some space, or move the data directory, and start again.";
  }
  if (/readonly|read-only/i.test(message)) {
    return "the file is read-only, and the log must be written even by readers. Make the file and its directory writable.";
  }
  if (isBusy(error)) {
    return "another process has been writing it for longer than the busy timeout. Stop that process or try again.";
  }
  if (error instanceof Deno.errors.PermissionDenied || /unable to open/.test(message)) {
    return `it cannot be opened (${message}). Check that the directory exists and may be written.`;
  }
  return `${message}. Check the disk and the data directory.`;
}

function isFile(path: string): boolean {
  try {
    if (Deno.statSync(path).isFile) return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
  throw new SourceError(`The event log '${path}' must be a file: it is something else. Name another path.`);
}

/** Makes the file under another name and links it: half a log never has the log's name, nor does an empty one. */
function createLogFile(path: string): void {
  Deno.mkdirSync(dirname(path), { recursive: true });
  const draft = `${path}.${crypto.randomUUID()}.new`;
  try {
    const db = new DatabaseSync(draft);
    try {
      db.exec(`
        PRAGMA page_size = ${PAGE_BYTES};
        PRAGMA application_id = ${APPLICATION_ID};
        PRAGMA user_version = ${FORMAT_VERSION};
        PRAGMA synchronous = FULL;
        PRAGMA journal_mode = WAL;
        ${SCHEMA}
      `);
    } finally {
      db.close();
    }
    try {
      Deno.linkSync(draft, path);
    } catch (error) {
      // Another process was first: its log is as good.
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    }
  } finally {
    for (const leftover of [draft, `${draft}-wal`, `${draft}-shm`, `${draft}-journal`]) {
      removeIfThere(leftover);
    }
  }
  syncDirectory(dirname(path));
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Makes a new name in a directory durable. Windows has no such call and needs none. */
function syncDirectory(path: string): void {
  if (Deno.build.os === "windows") return;
  const directory = Deno.openSync(path);
  try {
    directory.syncSync();
  } finally {
    directory.close();
  }
}

/** Reads the 100-byte header ourselves, so that SQLite never touches a file that is not ours. */
function checkHeader(path: string): void {
  const header = new Uint8Array(100);
  const file = Deno.openSync(path);
  let length: number;
  try {
    length = file.statSync().size;
    for (let at = 0, read; at < header.length; at += read) {
      read = file.readSync(header.subarray(at)) ?? 0;
      if (read === 0) break;
    }
  } finally {
    file.close();
  }
  if (String.fromCharCode(...header.subarray(0, 16)) !== MAGIC) {
    throw damaged(path, `it does not begin like a SQLite database (${length} bytes)`);
  }
  const view = new DataView(header.buffer);
  if (view.getUint32(68) !== APPLICATION_ID) {
    throw new SourceError(
      `The event log '${path}' must be a file that Sessionary made: this is another program's SQLite database. ` +
        "It was left as it is: name another path.",
    );
  }
  const version = view.getUint32(60);
  if (version !== FORMAT_VERSION) {
    throw new SourceError(
      `The event log '${path}' must have format ${FORMAT_VERSION}: it has ${version}. It was left as it is: use ` +
        "the Sessionary that wrote it, or name another path.",
    );
  }
  // Pages that only the write-ahead log holds are not missing.
  const expected = view.getUint32(28) * PAGE_BYTES;
  if (length < expected && !hasContent(`${path}-wal`)) {
    throw damaged(path, `it was cut off: it has ${length} bytes of ${expected}`);
  }
}

function hasContent(path: string): boolean {
  try {
    return Deno.statSync(path).size > 0;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function checkContent(db: DatabaseSync, path: string): void {
  const checks = ["integrity_check('topics')", "integrity_check('partitions')"];
  if (Deno.statSync(path).size <= QUICK_CHECK_BYTES_MAX) checks.unshift("quick_check(1)");
  for (const check of checks) {
    const found = Object.values(db.prepare(`PRAGMA ${check}`).get() ?? {})[0];
    if (found !== "ok") throw damaged(path, String(found).replaceAll("\n", " "));
  }
  // A batch has a CRC; what the partitions say of their batches is held against the batches.
  const partitions = db.prepare(`
    SELECT t.name, p.partition, p.start_offset, p.end_offset, p.last_timestamp,
      row_number() OVER (PARTITION BY t.id ORDER BY p.partition) - 1 AS ordinal,
      (SELECT first_offset FROM batches b WHERE b.partition_id = p.id ORDER BY last_offset LIMIT 1) AS first_offset,
      (SELECT last_offset FROM batches b WHERE b.partition_id = p.id ORDER BY last_offset DESC LIMIT 1) AS last_offset,
      (SELECT timestamp FROM batches b WHERE b.partition_id = p.id ORDER BY last_offset DESC LIMIT 1) AS timestamp
    FROM partitions p LEFT JOIN topics t ON t.id = p.topic_id`).all();
  for (const row of partitions) {
    const start = row.first_offset ?? row.end_offset;
    const end = row.last_offset === null ? row.end_offset : Number(row.last_offset) + 1;
    const timestamp = row.timestamp ?? row.last_timestamp;
    const { name, partition, ordinal, start_offset, end_offset, last_timestamp } = row;
    if (
      name === null || partition !== ordinal || start !== start_offset || end !== end_offset ||
      timestamp !== last_timestamp
    ) throw damaged(path, `partition ${partition} of topic '${name}' does not agree with its batches`);
  }
}
