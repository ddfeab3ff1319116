/** chDB itself: one data folder, a session for reads and one for writes. Runs only inside `chdb_worker.ts`. */
import type { Session } from "chdb";
import { messageOf, SinkError } from "../../schema/errors.ts";
import type { ChdbRequest, Lane, RequestSettings } from "./chdb_protocol.ts";
import { sqlName, sqlText } from "./ddl.ts";

/** What a statement gave. */
export interface EngineResult {
  readonly bytes: Uint8Array;
  readonly rowsRead: number;
  readonly bytesRead: number;
  readonly elapsed: number;
}

type Chdb = typeof import("chdb");

/** The format of a statement that names none, as over HTTP. */
const DEFAULT_FORMAT = "TabSeparated";
const SETTING_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Has the settings of chDB's allocator, jemalloc, which reads it once, as the library is loaded. */
export const ALLOCATOR_VARIABLE = "JE_MALLOC_CONF";
/**
 * Memory that is freed goes back to the system after a tenth of a second, not after some: between two epochs nobody would
 * use it. At once would have an insert ask for each of its blocks anew, which takes it a third longer.
 */
const ALLOCATOR_SETTINGS = "dirty_decay_ms:100,muzzy_decay_ms:0";

/** A session and the queue in front of it: chDB runs one statement of a session at a time. */
interface LaneState {
  session: Session;
  database: string;
  /** What the last statement left set. */
  settings: RequestSettings;
  tail: Promise<unknown>;
}

/** The embedded ClickHouse. */
export class ChdbEngine {
  readonly #chdb: Chdb;
  readonly #folder: string;
  readonly #lanes: Record<Lane, LaneState>;

  private constructor(chdb: Chdb, folder: string) {
    this.#chdb = chdb;
    this.#folder = folder;
    this.#lanes = {
      read: { ...this.#newSession(), tail: Promise.resolve() },
      write: { ...this.#newSession(), tail: Promise.resolve() },
    };
  }

  /**
   * Loads the native library and opens `folder`, which is created where it is missing.
   *
   * @throws {SinkError} where there is no library for this platform, or the folder can't be used
   */
  static async open(folder: string): Promise<ChdbEngine> {
    const chdb = await loadChdb();
    try {
      Deno.mkdirSync(folder, { recursive: true });
      return new ChdbEngine(chdb, folder);
    } catch (error) {
      throw new SinkError(folderSentence(folder, error), false, { cause: error });
    }
  }

  /** Runs one statement, after those of its lane that came before. Rejects with the engine's own error. */
  run(request: ChdbRequest): Promise<EngineResult> {
    const lane = this.#lanes[request.lane];
    const result = lane.tail.then(() => this.#runAlone(lane, request));
    lane.tail = result.catch(() => {});
    return result;
  }

  /** Waits for what runs and releases the folder; another folder may be opened in this process afterwards. */
  async close(): Promise<void> {
    const lanes = Object.values(this.#lanes);
    await Promise.all(lanes.map(({ tail }) => tail));
    for (const { session } of lanes) session.close();
    await this.#chdb.drainPending();
  }

  async #runAlone(lane: LaneState, request: ChdbRequest): Promise<EngineResult> {
    if (lane.database !== request.database) {
      await lane.session.queryAsync(`USE ${sqlName(request.database)}`);
      lane.database = request.database;
    }
    await this.#adoptSettings(lane, request.settings);
    return await this.#execute(lane, request);
  }

  /**
   * Gives the session the settings that the next statement wants, and no others. chDB has none of one statement beside
   * its SQL: they are SET on the session. What an earlier statement had must be gone (its token would make the next
   * insert vanish), but a query like the one before it, as most are, sets nothing anew.
   */
  async #adoptSettings(lane: LaneState, wanted: RequestSettings): Promise<void> {
    const changes = settingChanges(lane.settings, wanted);
    if (changes.length === 0) return;
    try {
      await lane.session.queryAsync(`SET ${changes.join(", ")}`);
      lane.settings = wanted;
    } catch (error) {
      // Of several, some may be set now: a new session has none.
      lane.session.close();
      Object.assign(lane, this.#newSession());
      throw error;
    }
  }

  async #execute({ session }: LaneState, { sql, params }: ChdbRequest): Promise<EngineResult> {
    const options = { format: DEFAULT_FORMAT };
    const result = Object.keys(params).length === 0
      ? await session.queryAsync(sql, options)
      : await session.queryBindAsync(sql, params, options);
    return {
      bytes: result.bytes(),
      rowsRead: result.rowsRead,
      bytesRead: result.bytesRead,
      elapsed: result.elapsed,
    };
  }

  #newSession(): Omit<LaneState, "tail"> {
    return { session: new this.#chdb.Session(this.#folder), database: "default", settings: {} };
  }
}

/** What a SET statement lists to bring a session from its present settings to the wanted ones. */
function settingChanges(present: RequestSettings, wanted: RequestSettings): string[] {
  const stale = Object.keys(present).filter((name) => !(name in wanted));
  const changed = Object.entries(wanted).filter(([name, value]) => present[name] !== value);
  return [...stale.map((name) => `${name} = DEFAULT`), ...changed.map(settingAssignment)];
}

function settingAssignment([name, value]: [string, RequestSettings[string]]): string {
  if (!SETTING_NAME.test(name)) throw new Error(`A setting's name is an identifier: found '${name}'.`);
  return typeof value === "string" ? `${name} = ${sqlText(value)}` : `${name} = ${Number(value)}`;
}

async function loadChdb(): Promise<Chdb> {
  // What the environment says stands.
  if (Deno.env.get(ALLOCATOR_VARIABLE) === undefined) Deno.env.set(ALLOCATOR_VARIABLE, ALLOCATOR_SETTINGS);
  try {
    return await import("chdb");
  } catch (error) {
    throw new SinkError(libraryMissingSentence(`${Deno.build.os}-${Deno.build.arch}`, error), false, {
      cause: error,
    });
  }
}

/** What to do where chDB's native library can't be loaded. */
export function libraryMissingSentence(platform: string, cause: unknown): string {
  return `The embedded ClickHouse (chDB) can't be loaded on ${platform}: set CLICKHOUSE_URL to use a ClickHouse ` +
    `server, or, where chDB has a library for this platform, remove its line under "overrides" in package.json ` +
    `and install again (${firstLine(cause)}).`;
}

/** chDB gives one message for every reason; what its folder looks like tells them apart. */
function folderSentence(folder: string, error: unknown): string {
  const action = `The embedded ClickHouse can't open its folder '${folder}'`;
  if (error instanceof Error && error.message.includes("only one active data directory")) {
    return `${action}: this process already holds another one, and chDB can hold one at a time; close it first.`;
  }
  try {
    if (!Deno.statSync(folder).isDirectory) {
      return `${action}: it is no folder; set DATA_DIR to another place.`;
    }
  } catch (statError) {
    return `${action}: ${messageOf(statError)}; set DATA_DIR to a place that can be written.`;
  }
  if (isHeld(`${folder}/status`)) {
    return `${action}: another process holds it; stop that one, or ask it (sessionary query).`;
  }
  return `${action}: it is damaged or can't be written, the engine's own words are in the lines above; move it ` +
    `away and start again, and it is filled again from the Delta table.`;
}

/** The engine keeps its `status` file locked while it holds the folder. */
function isHeld(statusPath: string): boolean {
  try {
    using file = Deno.openSync(statusPath, { read: true, write: true });
    return !file.tryLockSync(true);
  } catch {
    return false; // No such file, or none that may be opened: nobody is known to hold it.
  }
}

function firstLine(error: unknown): string {
  return messageOf(error).split("\n", 1)[0]!;
}
