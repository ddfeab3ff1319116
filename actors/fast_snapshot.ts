/** The fast state as a checkpoint's part, and back; what is written is what `checkpoint.ts` writes of the plain state. PURE. */
import { invariant } from "../schema/errors.ts";
import { hashBytes } from "../schema/text_table.ts";
import { PAGE_FIELDS, PROFILE_FIELDS } from "../schema/user_event.ts";
import { makePart, type OccurrenceColumns, type Part, readParts } from "./checkpoint_part.ts";
import { EventBlock, isNear } from "./event_blocks.ts";
import type { FastPartition } from "./fast_partition.ts";
import type { Identity } from "./occurrence_table.ts";
import { routingHash } from "./shard.ts";

/** Which numbers of a table are used, then what each is called in the part. */
class Numbering {
  readonly names: Uint32Array;
  used = 0;

  constructor(count: number) {
    this.names = new Uint32Array(count);
  }

  /** The name of a number, from 1 on in the order of first use. */
  nameOf(id: number): number {
    return this.names[id]! || (this.names[id] = ++this.used);
  }
}

/** A partition's occurrences, open and remembered, as a part's bytes. It must stand at a barrier. */
export function encodePartition(partition: FastPartition): Uint8Array {
  invariant(partition.atBarrier, "a checkpoint is of the state at a barrier");
  const { table, memory: { known, arena } } = partition;
  if (table.live === 0) return new Uint8Array(0);
  const profiles = new Numbering(known.profiles.count);
  const pages = new Numbering(known.pages.count);
  const block = new EventBlock(arena);
  let [events, ids, idBytes] = [0, 0, 0];
  for (let i = 1; i <= table.top; i++) {
    const count = table.count[i]!;
    if (count === 0) continue;
    events += count;
    table.open(block, i);
    for (let e = 0; e < count; e++) {
      pages.nameOf(block.what(e) >>> 4);
      profiles.nameOf(block.profileOf(e));
    }
    const key = table.otherKey(i);
    ids += key === null ? 1 : 2;
    idBytes += table.sessionId(i).length + (key?.length ?? 0);
  }
  const texts = new Numbering(known.texts.count + 1);
  const tuples = [
    inverse(profiles).flatMap((id) => textsOf(known.profiles.values, PROFILE_FIELDS.length, id, texts)),
    inverse(pages).flatMap((id) => textsOf(known.pages.values, PAGE_FIELDS.length, id, texts)),
  ] as const;
  const used = inverse(texts);
  const { bytes, columns } = makePart({
    occurrences: table.live,
    events,
    profiles: profiles.used,
    pages: pages.used,
    strings: texts.used + ids,
    stringBytes: used.reduce((sum, id) => sum + known.texts.lengthOf(id), idBytes),
  });
  columns.profiles.set(tuples[0]);
  columns.pages.set(tuples[1]);
  const strings = new StringColumn(columns);
  for (const id of used) strings.push(known.texts.bytesOf(id));
  writeOccurrences(partition, columns, strings, profiles, pages);
  return bytes;
}

/** Numbers in the order of their names. */
function inverse({ names, used }: Numbering): number[] {
  const ids = new Array<number>(used);
  for (let id = 0; id < names.length; id++) if (names[id] !== 0) ids[names[id]! - 1] = id;
  return ids;
}

function textsOf(values: Uint32Array, width: number, tuple: number, texts: Numbering): number[] {
  const names: number[] = [];
  for (let i = tuple * width; i < (tuple + 1) * width; i++) {
    names.push(values[i] === 0 ? 0 : texts.nameOf(values[i]!));
  }
  return names;
}

/** The part's strings, in the order of their numbers. */
class StringColumn {
  #count = 0;
  #end = 0;

  constructor(private readonly columns: OccurrenceColumns) {}

  /** Appends a string; returns its number, from 1 on. */
  push(bytes: Uint8Array): number {
    this.columns.stringBytes.set(bytes, this.#end);
    this.columns.stringEnds[this.#count++] = this.#end += bytes.length;
    return this.#count;
  }
}

function writeOccurrences(
  { table, memory: { arena } }: FastPartition,
  columns: OccurrenceColumns,
  strings: StringColumn,
  profiles: Numbering,
  pages: Numbering,
): void {
  const block = new EventBlock(arena);
  let [at, event] = [0, 0];
  for (let i = 1; i <= table.top; i++) {
    const count = table.count[i]!;
    if (count === 0) continue;
    const [id, key] = [table.sessionId(i), table.otherKey(i)];
    columns.keyHash[at] = routingHash(key ?? id);
    columns.firstOffset[at] = table.firstOffset[i]!;
    columns.rowEpoch[at] = table.rowEpoch[i]!;
    columns.revision[at] = table.revision[i]!;
    columns.amended[at] = table.amended[i]!;
    columns.closed[at] = table.closed[i]!;
    columns.sessionId[at] = strings.push(id);
    columns.key[at] = key === null ? columns.sessionId[at]! : strings.push(key);
    table.open(block, i);
    for (let e = 0; e < count; e++, event++) {
      const what = block.what(e);
      columns.offset[event] = block.offsetOf(e);
      columns.time[event] = block.timeOf(e);
      columns.idHash[2 * event] = block.idLow(e);
      columns.idHash[2 * event + 1] = block.idHigh(e);
      columns.userId[event] = block.userIdOf(e);
      columns.profile[event] = profiles.names[block.profileOf(e)]! - 1;
      columns.page[event] = pages.names[what >>> 4]! - 1;
      columns.eventType[event] = what & 15;
    }
    columns.eventEnds[at++] = event;
  }
}

/**
 * Puts the occurrences of one or several joined snapshots back, those whose key's routing hash `isMine`.
 *
 * @param partition is empty
 */
export function restorePartition(
  partition: FastPartition,
  parts: Uint8Array,
  isMine: (keyHash: number) => boolean,
): void {
  for (const part of readParts(parts)) {
    const reader = new PartReader(part, partition);
    for (let i = 0; i < part.counts.occurrences; i++) if (isMine(part.columns.keyHash[i]!)) reader.restore(i);
  }
}

/** Puts occurrences of a part into a partition; what they refer to is taken in when the first refers to it. */
class PartReader {
  readonly #columns: OccurrenceColumns;
  readonly #view: DataView;
  /** 1 + the number in the shard's tables; 0: not taken in yet. */
  readonly #profiles: Uint32Array;
  readonly #pages: Uint32Array;
  readonly #texts: Uint32Array;
  readonly #tuple = new Uint32Array(PROFILE_FIELDS.length);
  readonly #block: EventBlock;

  constructor({ columns, counts }: Part, private readonly partition: FastPartition) {
    this.#columns = columns;
    const { stringBytes } = columns;
    this.#view = new DataView(stringBytes.buffer, stringBytes.byteOffset, stringBytes.length);
    this.#profiles = new Uint32Array(counts.profiles);
    this.#pages = new Uint32Array(counts.pages);
    this.#texts = new Uint32Array(counts.strings + 1);
    this.#block = new EventBlock(partition.memory.arena);
  }

  restore(i: number): void {
    const { table } = this.partition;
    const columns = this.#columns;
    const [from, to] = [i === 0 ? 0 : columns.eventEnds[i - 1]!, columns.eventEnds[i]!];
    const identity = this.#identity(i);
    const occurrence = table.add(identity, table.find(identity));
    const amended = columns.amended[i]!;
    table.firstOffset[occurrence] = columns.firstOffset[i]!;
    table.rowEpoch[occurrence] = columns.rowEpoch[i]!;
    table.revision[occurrence] = columns.revision[i]!;
    table.amended[occurrence] = amended;
    table.closed[occurrence] = columns.closed[i]!;
    this.#restoreEvents(occurrence, from, to);
    if (amended > 0) this.partition.pending.add(occurrence);
    if (columns.closed[i] === 0) this.partition.openSessions++;
    this.partition.held += columns.closed[i] === 0 ? to - from : amended;
  }

  #restoreEvents(occurrence: number, from: number, to: number): void {
    const { table } = this.partition;
    const { time, offset, idHash, userId, profile, page, eventType } = this.#columns;
    const base = time[from]!;
    const firstOffset = table.firstOffset[occurrence]!;
    let [start, end, isNarrow] = [Infinity, -Infinity, true];
    for (let e = from; e < to; e++) {
      start = Math.min(start, time[e]!);
      end = Math.max(end, time[e]!);
      isNarrow &&= profile[e] === profile[from] && userId[e] === userId[from] &&
        isNear(offset[e]!, firstOffset, time[e]!, base);
    }
    table.base[occurrence] = base;
    table.start[occurrence] = start;
    table.end[occurrence] = end;
    table.profile[occurrence] = this.#profile(profile[from]!);
    table.userId[occurrence] = userId[from]!;
    table.wide[occurrence] = isNarrow ? 0 : 1;
    const block = this.#block;
    table.openFor(block, occurrence, to - from);
    for (let e = from; e < to; e++) {
      const what = this.#page(page[e]!) << 4 | eventType[e]!;
      block.write(e - from, idHash[2 * e]!, idHash[2 * e + 1]!, what);
      const profileId = isNarrow ? 0 : this.#profile(profile[e]!);
      block.place(e - from, offset[e]!, time[e]!, profileId, userId[e]!);
    }
  }

  #identity(i: number): Identity {
    const { sessionId, key, stringEnds } = this.#columns;
    const placeOf = (id: number) => {
      const start = id === 1 ? 0 : stringEnds[id - 2]!;
      return [start, stringEnds[id - 1]! - start] as const;
    };
    const [idStart, idLength] = placeOf(sessionId[i]!);
    const [keyStart, keyLength] = placeOf(key[i]!);
    return {
      view: this.#view,
      idStart,
      idLength,
      hash: hashBytes(this.#view, idStart, idLength),
      keyView: key[i] === sessionId[i] ? null : this.#view,
      keyStart,
      keyLength,
    };
  }

  #profile(id: number): number {
    const { profiles } = this.partition.memory.known;
    return (this.#profiles[id] ||= 1 +
      profiles.idOf(this.#tupleOf(this.#columns.profiles, profiles.width, id), 0)) - 1;
  }

  #page(id: number): number {
    const { pages } = this.partition.memory.known;
    return (this.#pages[id] ||= 1 + pages.idOf(this.#tupleOf(this.#columns.pages, pages.width, id), 0)) - 1;
  }

  #tupleOf(tuples: Uint32Array, width: number, id: number): Uint32Array {
    for (let i = 0; i < width; i++) this.#tuple[i] = this.#text(tuples[id * width + i]!);
    return this.#tuple;
  }

  #text(id: number): number {
    if (id === 0) return 0;
    const { stringEnds, stringBytes } = this.#columns;
    const { texts } = this.partition.memory.known;
    const bytes = () => stringBytes.subarray(id === 1 ? 0 : stringEnds[id - 2]!, stringEnds[id - 1]!);
    return this.#texts[id] ||= texts.idOf(bytes());
  }
}
