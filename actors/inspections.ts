/** Questions to all session actors that are under way, on the supervisor's side. */
import type { Inspection, OpenSession, OpenSessionQuery } from "../schema/open_session.ts";
import type { Clock } from "./clock.ts";
import type { SessionActorCommand } from "./protocol.ts";

/** A session actor answers between two messages of its mailbox; one that is busier is left out. */
export const ANSWER_WAIT_MS = 3_000;
/** Questions at a time; the page asks few, and each costs a walk over the open sessions. */
export const INSPECTIONS_MAX = 32;

interface Pending {
  readonly waiting: Set<number>;
  readonly sessions: OpenSession[];
  readonly answered: () => void;
}

/** Asks every shard, and puts the answers together. */
export class Inspections {
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;

  /** @param ask posts to the session actors, by shard */
  constructor(
    private readonly ask: readonly ((command: SessionActorCommand) => void)[],
    private readonly clock: Clock,
  ) {}

  /** What the shards tell, without those that don't in time. With {@linkcode INSPECTIONS_MAX} under way: of none. */
  async inspect(query: OpenSessionQuery): Promise<Inspection> {
    const shards = this.ask.map((_, shard) => shard);
    if (this.#pending.size >= INSPECTIONS_MAX) return { sessions: [], silentShards: shards };
    const id = ++this.#lastId;
    const done = new AbortController();
    const pending = { waiting: new Set(shards), sessions: [], answered: () => done.abort() };
    this.#pending.set(id, pending);
    for (const ask of this.ask) ask({ type: "inspect", id, query });
    await this.clock.sleep(ANSWER_WAIT_MS, done.signal);
    this.#pending.delete(id);
    const sessions = (pending.sessions as OpenSession[]).sort((a, b) => b.end - a.end).slice(0, query.limit);
    return { sessions, silentShards: [...pending.waiting] };
  }

  /** Takes a shard's answer; one that comes too late is nobody's. */
  answer(id: number, shard: number, sessions: readonly OpenSession[]): void {
    const pending = this.#pending.get(id);
    if (pending === undefined) return;
    pending.sessions.push(...sessions);
    pending.waiting.delete(shard);
    if (pending.waiting.size === 0) pending.answered();
  }
}
