/**
 * A shard's sessions as numbers and bytes: an open session is some words in large arrays, texts are kept once for all of
 * them. What the plain version of `plain_sessions.ts` does, without an object an event.
 */
import type { PartitionBarrier, SessionSemantics } from "../schema/epoch.ts";
import { invariant } from "../schema/errors.ts";
import { EventScanner, SCAN_PADDING_BYTES } from "../schema/event_scanner.ts";
import { EventTexts } from "../schema/event_texts.ts";
import { EVENT_VALUE_BYTES_MAX } from "../schema/limits.ts";
import type { OpenSession, OpenSessionQuery } from "../schema/open_session.ts";
import type { RecordBatch } from "../sources/source.ts";
import { EventBlock } from "./event_blocks.ts";
import { inspectPartitions } from "./fast_inspect.ts";
import { FastPartition, type ShardMemory } from "./fast_partition.ts";
import { encodePartition, restorePartition } from "./fast_snapshot.ts";
import { RowScratch, SessionColumnsWriter } from "./session_columns.ts";
import type { PartitionRestore, PartitionSummary, ShardPlace, ShardSeal, ShardSessions } from "./sessions.ts";
import { WordArena } from "./word_arena.ts";

/** Texts are looked through for what no session has any more when they have doubled, and take more bytes than this. */
const TEXT_BYTES_MIN = 4 * 1024 * 1024;

/** One shard's sessions as numbers. */
export class FastSessions implements ShardSessions {
  readonly #partitions = new Map<number, FastPartition>();
  readonly #memory: ShardMemory;
  readonly #scratch = new RowScratch();
  /** Bytes of the texts' tables after they were last compacted. */
  #compactedBytes = 0;

  /** @param textBytesMin another bound than the usual for tests */
  constructor(private readonly place: ShardPlace, private readonly textBytesMin = TEXT_BYTES_MIN) {
    const known = new EventTexts();
    const padded = new Uint8Array(EVENT_VALUE_BYTES_MAX + SCAN_PADDING_BYTES);
    this.#memory = {
      known,
      scanner: new EventScanner(known),
      arena: new WordArena(),
      padded,
      paddedView: new DataView(padded.buffer),
    };
  }

  get openSessions(): number {
    let sum = 0;
    for (const { openSessions } of this.#partitions.values()) sum += openSessions;
    return sum;
  }

  get heldEvents(): number {
    let sum = 0;
    for (const { held } of this.#partitions.values()) sum += held;
    return sum;
  }

  /** Bytes that all of the state takes in memory. */
  get byteLength(): number {
    let sum = this.#memory.arena.byteLength + this.#memory.known.byteLength;
    for (const { table } of this.#partitions.values()) sum += table.byteLength;
    return sum;
  }

  restore({ partition, semantics, latestEventTime, watermark, occurrences }: PartitionRestore): void {
    this.drop([partition]);
    const { shard, shards } = this.place;
    const state = new FastPartition(partition, semantics, this.#memory);
    state.latestEventTime = latestEventTime;
    state.watermark = watermark;
    restorePartition(state, occurrences, (keyHash) => keyHash % shards === shard);
    this.#partitions.set(partition, state);
  }

  drop(partitions: readonly number[]): void {
    for (const partition of partitions) {
      this.#partitions.get(partition)?.table.clear();
      this.#partitions.delete(partition);
    }
  }

  setSemantics(partition: number, semantics: SessionSemantics): void {
    this.#partition(partition).semantics = semantics;
  }

  accept(batch: RecordBatch): void {
    this.#partition(batch.partition).accept(batch);
  }

  seal(barriers: readonly PartitionBarrier[]): ShardSeal {
    const { known } = this.#memory;
    const writers = {
      rows: new SessionColumnsWriter(known, this.#scratch),
      revisions: new SessionColumnsWriter(known, this.#scratch),
    };
    const seals = barriers.map((barrier) => ({
      partition: barrier.partition,
      ...this.#partition(barrier.partition).seal(barrier, writers),
    }));
    this.#compact();
    return {
      rows: writers.rows.finishRows(),
      revisions: writers.revisions.finishRevisions(),
      deadLetters: seals.flatMap(({ deadLetters }) => deadLetters),
      closingTimes: Float64Array.from(seals.flatMap(({ closingTimes }) => closingTimes)),
      partitions: seals.map(({ partition, counts, latestEventTime }) => ({
        partition,
        counts,
        latestEventTime,
      })),
    };
  }

  replay(barrier: PartitionBarrier): void {
    this.#partition(barrier.partition).seal(barrier, null);
    this.#compact();
  }

  summary(partition: number): PartitionSummary {
    const { latestEventTime, openSessions, pending } = this.#partition(partition);
    return { latestEventTime, openSessions, pendingRevisions: pending.size };
  }

  snapshot(partition: number): Uint8Array {
    return encodePartition(this.#partition(partition));
  }

  inspect(query: OpenSessionQuery): OpenSession[] {
    return inspectPartitions(this.#partitions.values(), this.place.shard, query);
  }

  #partition(partition: number): FastPartition {
    const state = this.#partitions.get(partition);
    invariant(state !== undefined, `partition ${partition} is restored before anything else is posted of it`);
    return state;
  }

  /** Gives back, now and then, what no session needs any more: texts, and blocks that lie free. */
  #compact(): void {
    const { arena } = this.#memory;
    if (arena.isSparse) {
      arena.compact((move) => this.#partitions.forEach(({ table }) => table.moveBlocks(move)));
    }
    this.#compactTexts();
  }

  #compactTexts(): void {
    const { known } = this.#memory;
    if (known.byteLength < Math.max(this.textBytesMin, 2 * this.#compactedBytes)) return;
    const profiles = new Uint32Array(known.profiles.count);
    const pages = new Uint32Array(known.pages.count);
    this.#eachEvent((block, i) => {
      profiles[block.profileOf(i)] = 1;
      pages[block.what(i) >>> 4] = 1;
    });
    known.compact(profiles, pages);
    this.#eachEvent((block, i) => {
      block.setProfile(i, profiles[block.profileOf(i)]! - 1);
      block.setWhat(i, pages[block.what(i) >>> 4]! - 1 << 4 | block.what(i) & 15);
    });
    for (const { table } of this.#partitions.values()) {
      for (let i = 1; i <= table.top; i++) {
        if (table.count[i] !== 0) table.profile[i] = profiles[table.profile[i]!]! - 1;
      }
    }
    this.#compactedBytes = known.byteLength;
  }

  #eachEvent(visit: (block: EventBlock, i: number) => void): void {
    const block = new EventBlock(this.#memory.arena);
    for (const { table } of this.#partitions.values()) {
      for (let occurrence = 1; occurrence <= table.top; occurrence++) {
        const count = table.count[occurrence]!;
        if (count === 0) continue;
        table.open(block, occurrence);
        for (let i = 0; i < count; i++) visit(block, i);
      }
    }
  }
}
