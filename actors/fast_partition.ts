/**
 * One partition's part of a shard, as numbers: the rules of `sessionizer.ts`, which stays the reference that this is
 * tested against. PURE in the same sense: the state is a function of records and barriers.
 */
import type { PartitionBarrier, SessionSemantics } from "../schema/epoch.ts";
import { type Erasure, ErasureMatcher } from "../schema/erasure.ts";
import { type EventScanner, SCAN_PADDING_BYTES } from "../schema/event_scanner.ts";
import type { EventTexts } from "../schema/event_texts.ts";
import { hash64 } from "../schema/hash64.ts";
import { EVENT_VALUE_BYTES_MAX } from "../schema/limits.ts";
import { CLOSE_REASONS, type CloseReason } from "../schema/session.ts";
import { sameBytesAt } from "../schema/text_table.ts";
import { EVENT_TYPES, parseEvent, type Rejected } from "../schema/user_event.ts";
import { KEY_IS_NULL, keyAt, type RecordBatch, VALUE_IS_NULL, valueAt } from "../sources/source.ts";
import { EventBlock, isNear } from "./event_blocks.ts";
import { EventIdIndex } from "./event_id_index.ts";
import { type Identity, OccurrenceTable } from "./occurrence_table.ts";
import { capped, clockSkew, KEY_MISMATCH, NO_KEY, tooLate } from "./rejections.ts";
import type { FinishedSession, SessionColumnsWriter } from "./session_columns.ts";
import type { DeadLetter, PartitionCounts } from "./sessionizer.ts";
import type { WordArena } from "./word_arena.ts";

const SESSION_END = EVENT_TYPES.indexOf("session_end");
/** How `closed` says why: 1 + the reason's index. */
const CLOSED = Object.fromEntries(CLOSE_REASONS.map((reason, i) => [reason, i + 1])) as Record<
  CloseReason,
  number
>;

/** What the partitions of a shard share. */
export interface ShardMemory {
  readonly known: EventTexts;
  readonly scanner: EventScanner;
  readonly arena: WordArena;
  /** Room for a value with padding: the last ones of a batch are scanned in a copy. */
  readonly padded: Uint8Array;
  readonly paddedView: DataView;
}

/** What a barrier brought out of a partition's part, besides rows. */
export interface FastSeal {
  readonly deadLetters: readonly DeadLetter[];
  readonly closingTimes: readonly number[];
  readonly counts: PartitionCounts;
  readonly latestEventTime: number | null;
}

/** Where the rows of a seal go. */
export interface SealWriters {
  readonly rows: SessionColumnsWriter;
  readonly revisions: SessionColumnsWriter;
}

/** The identity of the event that was scanned last, moved from one to the next. */
class ScannedIdentity implements Identity {
  view!: DataView;
  idStart = 0;
  idLength = 0;
  hash = 0;
  keyView: DataView | null = null;
  keyStart = 0;
  keyLength = 0;
}

/** One partition's part of a shard. */
export class FastPartition {
  readonly table: OccurrenceTable;
  /** Those that wait for a revision. */
  pending = new Set<number>();
  latestEventTime: number | null = null;
  watermark: number | null = null;
  held = 0;
  openSessions = 0;
  readonly #block: EventBlock;
  readonly #ids = new EventIdIndex();
  readonly #identity = new ScannedIdentity();
  readonly #idHash = new Uint32Array(2);
  #finished: number[] = [];
  #deadLetters: DeadLetter[] = [];
  #closingTimes: number[] = [];
  #records = 0;
  #duplicates = 0;

  constructor(readonly partition: number, public semantics: SessionSemantics, readonly memory: ShardMemory) {
    this.table = new OccurrenceTable(memory.arena);
    this.#block = new EventBlock(memory.arena);
  }

  /** No record was taken in since the last barrier. */
  get atBarrier(): boolean {
    return this.#records === 0 && this.#finished.length === 0;
  }

  /** Takes in a batch of the partition's records, in offset order. */
  accept(batch: RecordBatch): void {
    const { values, valueEnds, offsets, timestamps } = batch;
    const view = new DataView(values.buffer, values.byteOffset, values.byteLength);
    const keysView = new DataView(batch.keys.buffer, batch.keys.byteOffset, batch.keys.byteLength);
    const scannable = values.length - SCAN_PADDING_BYTES;
    const { scanner } = this.memory;
    this.#records += batch.count;
    let start = 0;
    for (let i = 0; i < batch.count; i++) {
      const end = valueEnds[i]!;
      const offset = offsets[i]!;
      const timestamp = timestamps[i]!;
      let rejected: Rejected | null = null;
      const scanned = end <= scannable
        ? (batch.nulls[i]! & VALUE_IS_NULL) === 0 && scanner.scan(values, view, start, end)
        : this.#scanCopy(batch, i, start, end);
      if (!scanned) {
        const parsed = parseEvent(valueAt(batch, i));
        if ("event" in parsed) scanner.take(parsed.event);
        else rejected = parsed.rejected;
      }
      rejected ??= this.#check(batch, i, keysView, timestamp) ?? this.#assign(offset, timestamp);
      if (rejected !== null) this.#reject(rejected, batch, i);
      start = end;
    }
  }

  /** Scans a value that stands too near to the batch's end. */
  #scanCopy(batch: RecordBatch, i: number, start: number, end: number): boolean {
    if ((batch.nulls[i]! & VALUE_IS_NULL) !== 0 || end - start > EVENT_VALUE_BYTES_MAX) return false;
    const { padded, paddedView, scanner } = this.memory;
    padded.set(batch.values.subarray(start, end));
    return scanner.scan(padded, paddedView, 0, end - start);
  }

  #reject(rejected: Rejected, batch: RecordBatch, i: number): void {
    // Copies: the batch's buffers are far larger than one bad record.
    this.#deadLetters.push({
      ...rejected,
      partition: this.partition,
      offset: batch.offsets[i]!,
      timestamp: batch.timestamps[i]!,
      key: keyAt(batch, i)?.slice() ?? null,
      value: valueAt(batch, i)?.slice() ?? null,
    });
  }

  /** What a valid event must agree on with the record that carries it; notes its identity. */
  #check(batch: RecordBatch, i: number, keysView: DataView, timestamp: number): Rejected | null {
    if ((batch.nulls[i]! & KEY_IS_NULL) !== 0) return NO_KEY;
    const { scanner } = this.memory;
    const identity = this.#identity;
    const keyStart = i === 0 ? 0 : batch.keyEnds[i - 1]!;
    const keyLength = batch.keyEnds[i]! - keyStart;
    const length = scanner.sessionIdLength;
    const isSessionId = keyLength === length &&
      sameBytesAt(keysView, keyStart, scanner.view, scanner.sessionIdStart, length);
    if (!isSessionId && this.semantics.keyCheck === "session_id") return KEY_MISMATCH;
    if (scanner.time > timestamp + this.semantics.maxClockSkewMs) {
      return clockSkew(scanner.time - timestamp, this.semantics);
    }
    identity.view = scanner.view;
    identity.idStart = scanner.sessionIdStart;
    identity.idLength = length;
    identity.hash = scanner.sessionIdHash;
    identity.keyView = isSessionId ? null : keysView;
    identity.keyStart = keyStart;
    identity.keyLength = keyLength;
    return null;
  }

  /** Gives the scanned event to the occurrence it belongs to, or opens one. Returns why it cannot. */
  #assign(offset: number, timestamp: number): Rejected | null {
    const { table, semantics } = this;
    const { scanner } = this.memory;
    const { time } = scanner;
    const idHash = this.#idHash;
    hash64(scanner.view, scanner.eventIdStart, scanner.eventIdStart + scanner.eventIdLength, idHash);
    const first = table.find(this.#identity);
    const found = first === 0 ? 0 : this.#belongsTo(first, time);
    if (found !== 0) {
      const count = table.count[found]!;
      table.open(this.#block, found);
      if (this.#ids.has(this.#block, found, count, idHash[0]!, idHash[1]!)) {
        this.#duplicates++;
        this.#noteTime(time);
        return null;
      }
      const full = count >= semantics.maxSessionEvents;
      const duration = Math.max(table.end[found]!, time) - Math.min(table.start[found]!, time);
      const fits = !full && duration <= semantics.maxSessionDurationMs;
      if (fits) return this.#join(found, offset, timestamp);
      if (table.closed[found] === 0) {
        this.#close(found, CLOSED.cap);
        return this.#open(first, offset, timestamp);
      }
      if (full) return capped(count);
    }
    const { watermark } = this;
    if (watermark !== null && time + semantics.sessionTimeoutMs + semantics.allowedLatenessMs < watermark) {
      return tooLate(watermark - time);
    }
    return this.#open(first, offset, timestamp);
  }

  /** As `belongsTo` of the plain sessionizer: the nearest, then an open one, then the lowest first offset. */
  #belongsTo(first: number, time: number): number {
    const { start, end, closed, next, firstOffset } = this.table;
    const timeout = this.semantics.sessionTimeoutMs;
    let best = 0;
    let bestDistance = Infinity;
    for (let candidate = first; candidate !== 0; candidate = next[candidate]!) {
      const reason = closed[candidate]!;
      const byGap = reason === 0 || reason === CLOSED.timeout || reason === CLOSED.idle;
      const [from, to] = [start[candidate]!, end[candidate]!];
      if (time < from - timeout || time > to + (byGap ? timeout : 0)) continue;
      const distance = Math.max(from - time, time - to, 0);
      if (distance > bestDistance) continue;
      const bestIsOpen = closed[best] === 0;
      const isEarlier = bestIsOpen === (reason === 0) && firstOffset[candidate]! < firstOffset[best]!;
      // A restored chain is in the order of the snapshot, which reused places.
      if (distance < bestDistance || reason === 0 && !bestIsOpen || isEarlier) {
        best = candidate;
        bestDistance = distance;
      }
    }
    return best;
  }

  #open(first: number, offset: number, timestamp: number): null {
    const { table } = this;
    const { time, profile, userId } = this.memory.scanner;
    const occurrence = table.add(this.#identity, first);
    table.firstOffset[occurrence] = offset;
    table.base[occurrence] = table.start[occurrence] = table.end[occurrence] = time;
    table.profile[occurrence] = profile;
    table.userId[occurrence] = userId;
    this.openSessions++;
    return this.#join(occurrence, offset, timestamp);
  }

  #join(occurrence: number, offset: number, timestamp: number): null {
    const { table } = this;
    const { scanner } = this.memory;
    const { time, profile, userId } = scanner;
    const block = this.#block;
    const count = table.count[occurrence]!;
    const isNarrow = profile === table.profile[occurrence] && userId === table.userId[occurrence] &&
      isNear(offset, table.firstOffset[occurrence]!, time, table.base[occurrence]!);
    if (!isNarrow && table.wide[occurrence] === 0) table.widen(block, occurrence);
    table.openFor(block, occurrence, count + 1);
    block.write(count, this.#idHash[0]!, this.#idHash[1]!, scanner.page << 4 | scanner.eventType);
    block.place(count, offset, time, profile, userId);
    if (time < table.start[occurrence]!) table.start[occurrence] = time;
    if (time > table.end[occurrence]!) table.end[occurrence] = time;
    this.held++;
    this.#noteTime(time);
    if (!Number.isNaN(table.rowEpoch[occurrence]!)) {
      table.amended[occurrence]!++;
      this.pending.add(occurrence);
    }
    if (scanner.eventType === SESSION_END && table.closed[occurrence] === 0) {
      this.#close(occurrence, CLOSED.session_end);
      this.#closingTimes.push(timestamp);
    }
    return null;
  }

  #noteTime(time: number): void {
    if (this.latestEventTime === null || time > this.latestEventTime) this.latestEventTime = time;
  }

  #close(occurrence: number, reason: number): void {
    this.table.closed[occurrence] = reason;
    this.openSessions--;
    this.#finished.push(occurrence);
  }

  /**
   * Closes an epoch: erases, closes by the watermark, close-open, revisions, then forget.
   *
   * @param writers get the rows; null where they are committed already
   */
  seal(barrier: PartitionBarrier, writers: SealWriters | null): FastSeal {
    const { table } = this;
    this.watermark = barrier.watermark;
    const erased = this.#erase(barrier.erase ?? []);
    this.#closeByBarrier(barrier);
    let inSessions = erased;
    for (const occurrence of this.#finished) {
      table.rowEpoch[occurrence] = barrier.epoch;
      inSessions += table.count[occurrence]!;
      writers?.rows.push(this.#session(occurrence), barrier, null);
    }
    if (barrier.revise) {
      for (const occurrence of this.pending) {
        inSessions += table.amended[occurrence]!;
        const replaces = {
          epoch: table.rowEpoch[occurrence]!,
          events: table.count[occurrence]! - table.amended[occurrence]!,
        };
        table.rowEpoch[occurrence] = barrier.epoch;
        table.revision[occurrence]!++;
        table.amended[occurrence] = 0;
        writers?.revisions.push(this.#session(occurrence), barrier, replaces);
      }
      this.pending.clear();
    }
    this.held -= inSessions;
    const [deadLetters, closingTimes] = [this.#deadLetters, this.#closingTimes];
    const [records, duplicates] = [this.#records, this.#duplicates];
    this.#finished = [];
    this.#deadLetters = [];
    this.#closingTimes = [];
    this.#records = 0;
    this.#duplicates = 0;
    if (barrier.forgetBefore !== null) this.#forget(barrier.forgetBefore);
    const { held, openSessions, latestEventTime, pending } = this;
    const books = { records, duplicates, deadLetters: deadLetters.length, inSessions, held };
    const counts = {
      ...{ ...books, openSessions, pendingRevisions: pending.size },
      ...(erased === 0 ? {} : { erased }),
    };
    return { deadLetters, closingTimes, counts, latestEventTime };
  }

  #session(occurrence: number): FinishedSession {
    const { table } = this;
    table.open(this.#block, occurrence);
    return {
      events: this.#block,
      count: table.count[occurrence]!,
      sessionId: table.sessionId(occurrence),
      firstOffset: table.firstOffset[occurrence]!,
      start: table.start[occurrence]!,
      end: table.end[occurrence]!,
      closeReason: table.closed[occurrence]! - 1,
      revision: table.revision[occurrence]!,
    };
  }

  /** As `eraseOccurrences` of the plain sessionizer. */
  #erase(erasures: readonly Erasure[]): number {
    if (erasures.length === 0) return 0;
    const { table, pending } = this;
    const matcher = new ErasureMatcher(erasures);
    const gone = new Set<number>();
    let erased = 0;
    for (let i = 1; i <= table.top; i++) {
      if (table.count[i] === 0 || !this.#isOf(matcher, i)) continue;
      erased += Number.isNaN(table.rowEpoch[i]!) ? table.count[i]! : table.amended[i]!;
      if (table.closed[i] === 0) this.openSessions--;
      pending.delete(i);
      gone.add(i);
      table.remove(i);
      this.#ids.remove(i);
    }
    this.#finished = this.#finished.filter((i) => !gone.has(i));
    return erased;
  }

  /** Whether the occurrence's id, or the reader of one of its events, is meant. */
  #isOf(matcher: ErasureMatcher, occurrence: number): boolean {
    const { table } = this;
    if (matcher.session(table.sessionId(occurrence))) return true;
    table.open(this.#block, occurrence);
    for (let i = 0; i < table.count[occurrence]!; i++) {
      if (matcher.user(this.#block.userIdOf(i))) return true;
    }
    return false;
  }

  /** Closes every open occurrence that the barrier ends, with the reason that ended it first. */
  #closeByBarrier({ watermark, eventWatermark, closeOpen }: PartitionBarrier): void {
    const { sessionTimeoutMs } = this.semantics;
    if (watermark === null && !closeOpen) return;
    const { top, count, closed, end } = this.table;
    for (let i = 1; i <= top; i++) {
      if (count[i] === 0 || closed[i] !== 0) continue;
      const deadline = end[i]! + sessionTimeoutMs;
      if (eventWatermark !== null && deadline < eventWatermark) this.#close(i, CLOSED.timeout);
      else if (watermark !== null && deadline < watermark) this.#close(i, CLOSED.idle);
      else if (closeOpen) this.#close(i, CLOSED.drain);
    }
  }

  /** Forgets the finished sessions that no event in time can reach any more, unless a revision is pending. */
  #forget(before: number): void {
    const { table } = this;
    const { sessionTimeoutMs } = this.semantics;
    for (let i = 1; i <= table.top; i++) {
      const closed = table.closed[i]!;
      if (table.count[i] === 0 || closed === 0 || table.amended[i] !== 0) continue;
      const byGap = closed === CLOSED.timeout || closed === CLOSED.idle;
      if (table.end[i]! + (byGap ? sessionTimeoutMs : 0) >= before) continue;
      table.remove(i);
      this.#ids.remove(i);
    }
    const numbers = table.compact();
    if (numbers === null) return;
    this.pending = new Set([...this.pending].map((i) => numbers[i]!));
    this.#ids.clear();
  }
}
