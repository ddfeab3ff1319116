/**
 * What must come out: from the records' meanings and the barriers that the log recorded, by the rules of
 * ARCHITECTURE.md ("Sessions") and without a line of the program. One partition at a time.
 */
import type { PartitionBarrier, SessionSemantics } from "../../schema/epoch.ts";
import type { SimEvent, SimRecord } from "./topic.ts";

/** A session's row as far as the oracle knows it. */
export interface ExpectedRow {
  readonly session_id: string;
  readonly user_id: number;
  readonly brand: string | null;
  readonly session_start: number;
  readonly session_end: number;
  readonly total_events: number;
  readonly searches: number;
  readonly created_at: number;
  readonly batch_id: number;
  readonly revision: number;
  readonly close_reason: string;
  readonly source_partition: number;
  readonly first_offset: number;
  readonly last_offset: number;
}

/** Running totals at a barrier. */
export interface ExpectedLedger {
  readonly consumed: number;
  readonly inSessions: number;
  readonly duplicates: number;
  readonly deadLetters: number;
  readonly held: number;
}

/** One recorded barrier with the settings under which its records were read. */
export interface Link {
  readonly barrier: PartitionBarrier;
  readonly semantics: SessionSemantics;
}

/** What one barrier brings out. */
export interface ExpectedSeal {
  readonly rows: readonly ExpectedRow[];
  /** Reason by offset. */
  readonly deadLetters: ReadonlyMap<number, string>;
  readonly ledger: ExpectedLedger;
  /** Sessions that wait for a revision. */
  readonly pending: number;
  /** The latest time of an accepted event or a duplicate up to here. */
  readonly latest: number | null;
}

interface Member {
  readonly event: SimEvent;
  readonly offset: number;
}

interface Session {
  readonly id: string;
  readonly key: string;
  readonly members: Member[];
  closed: string | null;
  /** Of its newest row that has left; null before the first. */
  revision: number | null;
  /** Events that no row has. */
  fresh: number;
  forgotten: boolean;
}

const startOf = ({ members }: Session) => Math.min(...members.map(({ event }) => event.time));
const endOf = ({ members }: Session) => Math.max(...members.map(({ event }) => event.time));
const byGap = ({ closed }: Session) => closed === null || closed === "timeout" || closed === "idle";

/** What each of a partition's barriers brings out. */
export function expectSeals(history: readonly SimRecord[], chain: readonly Link[]): ExpectedSeal[] {
  const partition = new PartitionOracle();
  let next = 0;
  return chain.map(({ barrier, semantics }) => {
    while (next < history.length && history[next]!.offset < barrier.from) next++;
    const first = next;
    while (next < history.length && history[next]!.offset < barrier.to) next++;
    for (const record of history.slice(first, next)) partition.take(record, semantics);
    return partition.seal(barrier, semantics);
  });
}

class PartitionOracle {
  #sessions = new Map<string, Session[]>();
  #watermark: number | null = null;
  #latest: number | null = null;
  #letters = new Map<number, string>();
  readonly #total = { consumed: 0, inSessions: 0, duplicates: 0, deadLetters: 0 };

  take(record: SimRecord, semantics: SessionSemantics): void {
    this.#total.consumed++;
    const outcome = this.#place(record, semantics);
    if (outcome === "held") return;
    if (outcome === "duplicate") this.#total.duplicates++;
    else {
      this.#total.deadLetters++;
      this.#letters.set(record.offset, outcome);
    }
  }

  /** Where the record went: into a session, nowhere as a duplicate, or to the dead letters for the reason returned. */
  #place({ meaning, timestamp, offset }: SimRecord, semantics: SessionSemantics): string {
    if (meaning.kind === "bad") return meaning.reason;
    const { event, key } = meaning;
    if (key === null) return "no_key";
    if (semantics.keyCheck === "session_id" && key !== event.sessionId) return "key_mismatch";
    if (event.time > timestamp + semantics.maxClockSkewMs) return "clock_skew";
    const home = this.#homeOf(event, key, semantics.sessionTimeoutMs);
    if (home !== undefined) {
      if (home.members.some((member) => member.event.eventId === event.eventId)) {
        this.#note(event.time);
        return "duplicate";
      }
      const full = home.members.length >= semantics.maxSessionEvents;
      const times = [startOf(home), endOf(home), event.time];
      const long = Math.max(...times) - Math.min(...times) > semantics.maxSessionDurationMs;
      if (!full && !long) {
        home.members.push({ event, offset });
        home.fresh++;
        this.#joined(home, event);
        return "held";
      }
      if (home.closed === null) {
        home.closed = "cap";
        return this.#open(event, key, offset);
      }
      if (full) return "cap";
    }
    const reach = event.time + semantics.sessionTimeoutMs + semantics.allowedLatenessMs;
    if (this.#watermark !== null && reach < this.#watermark) return "too_late";
    return this.#open(event, key, offset);
  }

  #homeOf(event: SimEvent, key: string, timeout: number): Session | undefined {
    const distance = (session: Session) =>
      Math.max(startOf(session) - event.time, event.time - endOf(session), 0);
    return (this.#sessions.get(event.sessionId) ?? [])
      .filter((session) =>
        session.key === key && !session.forgotten && event.time >= startOf(session) - timeout &&
        event.time <= endOf(session) + (byGap(session) ? timeout : 0)
      )
      .sort((a, b) =>
        distance(a) - distance(b) || Number(a.closed !== null) - Number(b.closed !== null) ||
        a.members[0]!.offset - b.members[0]!.offset
      )[0];
  }

  #open(event: SimEvent, key: string, offset: number): "held" {
    const session: Session = {
      id: event.sessionId,
      key,
      members: [{ event, offset }],
      closed: null,
      revision: null,
      fresh: 1,
      forgotten: false,
    };
    this.#sessions.set(session.id, [...this.#sessions.get(session.id) ?? [], session]);
    this.#joined(session, event);
    return "held";
  }

  #joined(session: Session, event: SimEvent): void {
    this.#note(event.time);
    if (event.type === "session_end") session.closed ??= "session_end";
  }

  #note(time: number): void {
    this.#latest = Math.max(this.#latest ?? time, time);
  }

  seal(barrier: PartitionBarrier, { sessionTimeoutMs }: SessionSemantics): ExpectedSeal {
    const sessions = [...this.#sessions.values()].flat();
    const rows: ExpectedRow[] = [];
    let [held, pending] = [0, 0];
    for (const session of sessions) {
      const deadline = endOf(session) + sessionTimeoutMs;
      const passed = (watermark: number | null) => watermark !== null && deadline < watermark;
      if (session.closed === null && passed(barrier.eventWatermark)) session.closed = "timeout";
      if (session.closed === null && passed(barrier.watermark)) session.closed = "idle";
      if (session.closed === null && barrier.closeOpen) session.closed = "drain";
      const first = session.closed !== null && session.revision === null;
      const again = session.revision !== null && session.fresh > 0 && barrier.revise === true;
      if (first || again) {
        session.revision = first ? 0 : session.revision! + 1;
        this.#total.inSessions += session.fresh;
        session.fresh = 0;
        rows.push(rowOf(session, barrier));
      }
      held += session.fresh;
      if (session.revision !== null && session.fresh > 0) pending++;
      const remembered = endOf(session) + (byGap(session) ? sessionTimeoutMs : 0);
      const due = barrier.forgetBefore !== null && remembered < barrier.forgetBefore;
      if (session.closed !== null && session.fresh === 0 && due) session.forgotten = true;
    }
    this.#watermark = barrier.watermark;
    const deadLetters = this.#letters;
    this.#letters = new Map();
    return { rows, deadLetters, ledger: { ...this.#total, held }, pending, latest: this.#latest };
  }
}

function rowOf(session: Session, barrier: PartitionBarrier): ExpectedRow {
  const ordered = [...session.members].sort((a, b) => a.event.time - b.event.time || a.offset - b.offset);
  const events = ordered.map(({ event }) => event);
  return {
    session_id: session.id,
    user_id: events[0]!.userId,
    brand: events.find(({ brand }) => brand !== null)?.brand ?? null,
    session_start: events[0]!.time,
    session_end: events.at(-1)!.time,
    total_events: events.length,
    searches: events.filter(({ type }) => type === "search").length,
    created_at: barrier.clock,
    batch_id: barrier.epoch,
    revision: session.revision!,
    close_reason: session.closed!,
    source_partition: barrier.partition,
    first_offset: session.members[0]!.offset,
    last_offset: Math.max(...session.members.map(({ offset }) => offset)),
  };
}
