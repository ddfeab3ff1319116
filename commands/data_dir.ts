/** `DATA_DIR`: one process at a time may hold it, and says in `run.json` where it can be asked. */
import { statfs } from "node:fs/promises";
import { EXIT, messageOf, UserError } from "../schema/errors.ts";
import { DISK_FREE_BYTES_MIN } from "../schema/limits.ts";
import { formatSize } from "../schema/units.ts";

/** What `run.json` says of the process that holds the directory. */
export interface Holder {
  readonly pid: number;
  /** Its web server, without a trailing slash; null while it has none. */
  readonly url: string | null;
}

/** A data directory that this process holds until it is released or the process ends, however it ends. */
export interface DataDir {
  readonly path: string;
  /** Tells other processes where this one can be asked. */
  announce(holder: Holder): Promise<void>;
  release(): Promise<void>;
}

export interface DataDirOptions {
  readonly path: string;
  readonly pid: number;
  /** Free bytes of the folder's file system; tests hand in their own. */
  readonly freeBytes?: (path: string) => Promise<number>;
}

const lockFile = (path: string) => `${path}/run.lock`;
const holderFile = (path: string) => `${path}/run.json`;

/** The directory, taken; or who has it. A holder that has only just started may not have said who it is: null. */
export type DataDirAttempt =
  | { readonly status: "taken"; readonly dataDir: DataDir }
  | { readonly status: "held"; readonly holder: Holder | null };

/**
 * Takes the directory, as {@linkcode tryDataDir} does, for a command that can't do without it.
 *
 * @throws {UserError} `EXIT.busy` where another process holds it, else where it cannot be used
 */
export async function openDataDir(options: DataDirOptions): Promise<DataDir> {
  const attempt = await tryDataDir(options);
  if (attempt.status === "taken") return attempt.dataDir;
  throw busyError(options.path, attempt.holder);
}

/**
 * Creates the directory where it is missing, takes its lock, and checks that it can be written and has room.
 *
 * @throws {UserError} where it cannot be used
 */
export async function tryDataDir(options: DataDirOptions): Promise<DataDirAttempt> {
  const { path, pid } = options;
  const lock = await openLock(path);
  try {
    if (!await lock.tryLock(true)) {
      const holder = await readHolder(path);
      lock.close();
      return { status: "held", holder };
    }
    await checkUsable(options);
    await writeHolder(path, { pid, url: null });
  } catch (error) {
    lock.close();
    throw error;
  }
  const dataDir = {
    path,
    announce: (holder: Holder) => writeHolder(path, holder),
    async release() {
      await Deno.remove(holderFile(path)).catch(ignoreNotFound);
      lock.close();
    },
  };
  return { status: "taken", dataDir };
}

/**
 * Creates the directory where it is missing, and checks it, for a command that others may run beside.
 *
 * @throws {UserError} where it cannot be used
 */
export async function prepareDataDir(options: DataDirOptions): Promise<void> {
  const { path } = options;
  try {
    await Deno.mkdir(path, { recursive: true });
  } catch (error) {
    throw unusable(path, error);
  }
  await checkUsable(options);
}

async function openLock(path: string): Promise<Deno.FsFile> {
  try {
    await Deno.mkdir(path, { recursive: true });
    return await Deno.open(lockFile(path), { read: true, write: true, create: true });
  } catch (error) {
    throw unusable(path, error);
  }
}

/** The sentence for a directory that another process holds. */
function busyError(path: string, holder: Holder | null): UserError {
  const who = holder === null ? "another process" : `process ${holder.pid}`;
  const where = holder?.url ? ` (${holder.url})` : "";
  return new UserError(
    `DATA_DIR ${path} is held by ${who}${where}, and only one process at a time may hold it: ` +
      `stop that one, or set another DATA_DIR.`,
    EXIT.busy,
  );
}

function unusable(path: string, error: unknown): UserError {
  return new UserError(
    `DATA_DIR must be a folder that this user can write to, and ${path} is not (${messageOf(error)}): ` +
      `mend its permissions, or set another DATA_DIR.`,
    EXIT.usage,
    { cause: error },
  );
}

async function checkUsable({ path, pid, freeBytes = readFreeBytes }: DataDirOptions): Promise<void> {
  const bytes = await freeBytes(path);
  if (bytes < DISK_FREE_BYTES_MIN) {
    throw noRoom(path, `it has ${formatSize(Math.floor(bytes / 1024) * 1024)}`);
  }
  await probeWrite(path, `${path}/.write-probe-${pid}`);
}

function noRoom(path: string, found: string, cause?: unknown): UserError {
  return new UserError(
    `DATA_DIR ${path} needs at least ${formatSize(DISK_FREE_BYTES_MIN)} of free space, and ${found}: ` +
      `free some, or set another DATA_DIR.`,
    EXIT.sink,
    { cause },
  );
}

async function readFreeBytes(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}

/** A quota or a read-only mount shows only when something is written. */
async function probeWrite(path: string, probe: string): Promise<void> {
  try {
    using file = await Deno.open(probe, { write: true, create: true, truncate: true });
    await file.write(new Uint8Array(4096));
    await file.sync();
  } catch (error) {
    if (/os error (28|122)\b/.test(messageOf(error))) throw noRoom(path, "the file system is full", error);
    throw unusable(path, error);
  } finally {
    await Deno.remove(probe).catch(ignoreNotFound);
  }
}

async function readHolder(path: string): Promise<Holder | null> {
  try {
    const { pid, url } = JSON.parse(await Deno.readTextFile(holderFile(path)));
    return Number.isInteger(pid) && (url === null || typeof url === "string") ? { pid, url } : null;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof SyntaxError) return null;
    throw unusable(path, error);
  }
}

/** Replaced by a rename, so that a reader never sees half of it. */
async function writeHolder(path: string, holder: Holder): Promise<void> {
  const temporary = `${holderFile(path)}.tmp`;
  await Deno.writeTextFile(temporary, `${JSON.stringify(holder)}\n`);
  await Deno.rename(temporary, holderFile(path));
}

function ignoreNotFound(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}
