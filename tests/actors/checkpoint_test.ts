import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { encodeOccurrences, restoreOccurrences } from "../../actors/checkpoint.ts";
import { splitByShard } from "../../actors/route.ts";
import {
  acceptBatch,
  emptyPartition,
  type Occurrence,
  type PartitionState,
  sealPartition,
} from "../../actors/sessionizer.ts";
import { sessionRow } from "../../actors/session_rows.ts";
import { routingHash } from "../../actors/shard.ts";
import type { PartitionBarrier } from "../../schema/epoch.ts";
import { AssertionError } from "../../schema/errors.ts";
import { EVENT_TYPES } from "../../schema/user_event.ts";
import { recordBatchOf } from "../../sources/record_batch.ts";
import type { ProducedRecord, RecordBatch } from "../../sources/source.ts";
import { barrierOf, eventBytes, MINUTE, SEMANTICS, T0 } from "../support/records.ts";

const encoder = new TextEncoder();
const TRUSTING = { ...SEMANTICS, keyCheck: "trust" as const };
const IDS = ["s1", "s2", "s3", "__proto__", "\ufeff", "\0", "\u{1f600}"];

/** Events of few sessions within two hours, each under one of two keys; duplicates occur. */
const anyRecord: fc.Arbitrary<ProducedRecord> = fc.record({
  id: fc.constantFrom(...IDS),
  tag: fc.constantFrom("", "user-9"),
  event_id: fc.integer({ min: 0, max: 60 }).map((number) => `e${number}`),
  event_type: fc.constantFrom(...EVENT_TYPES),
  timestamp: fc.integer({ min: T0, max: T0 + 120 * MINUTE }),
  brand: fc.constantFrom(null, "Herald", "\ufeff", "a\u0301\0"),
  page_url: fc.constantFrom(null, "/", "\u{1f600}\n"),
}).map(({ id, tag, ...fields }) => ({
  key: encoder.encode(tag || id),
  value: eventBytes({ session_id: id, ...fields }),
}));
const anyRecords = fc.array(anyRecord, { maxLength: 60 });

const batchAt = (offset: number, records: readonly ProducedRecord[]) =>
  recordBatchOf(0, offset, T0 + 200 * MINUTE, records);

function barrierAt(minutes: number, fields: Partial<PartitionBarrier> = {}): PartitionBarrier {
  const watermark = T0 + minutes * MINUTE;
  const forgetBefore = watermark - SEMANTICS.allowedLatenessMs;
  return barrierOf({ watermark, eventWatermark: watermark, forgetBefore, ...fields });
}

function accept(state: PartitionState, batch: RecordBatch | null): void {
  if (batch !== null) acceptBatch(state, batch);
}

function stateAfter(records: readonly ProducedRecord[], barrier: PartitionBarrier): PartitionState {
  const state = emptyPartition(0, TRUSTING);
  accept(state, batchAt(100, records));
  sealPartition(state, barrier);
  return state;
}

/** Restored at the barrier, but for what a start message brings. */
function restored(from: PartitionState, isMine: (keyHash: number) => boolean = () => true): PartitionState {
  const state = emptyPartition(0, TRUSTING);
  state.latestEventTime = from.latestEventTime;
  state.watermark = from.watermark;
  restoreOccurrences(state, encodeOccurrences(from), isMine);
  return state;
}

function occurrencesOf(state: PartitionState): Occurrence[] {
  return [...state.occurrences.values()].flat().sort((a, b) => a.firstOffset - b.firstOffset);
}

Deno.test("a restored state is the state that was encoded, pending revisions included", () => {
  fc.assert(
    fc.property(anyRecords, anyRecords, fc.integer({ min: 0, max: 180 }), fc.boolean(), (
      records,
      more,
      minutes,
      revise,
    ) => {
      const state = stateAfter(records, barrierAt(minutes));
      assertEquals(restored(state), state);
      accept(state, batchAt(1_000, more));
      sealPartition(state, barrierAt(minutes, { number: 2, epoch: 2, revise }));
      assertEquals(restored(state), state);
    }),
  );
});

Deno.test("restored over any number of shards, every occurrence lives on in one, and the rows to come are the same", () => {
  fc.assert(
    fc.property(anyRecords, anyRecords, fc.integer({ min: 0, max: 90 }), fc.integer({ min: 1, max: 4 }), (
      before,
      after,
      minutes,
      shards,
    ) => {
      const whole = stateAfter(before, barrierAt(minutes));
      const parts = Array.from(
        { length: shards },
        (_, shard) => restored(whole, (keyHash) => keyHash % shards === shard),
      );
      assertEquals(parts.flatMap(occurrencesOf).length, occurrencesOf(whole).length);
      assertEquals(parts.reduce((sum, { held }) => sum + held, 0), whole.held);
      assertEquals(parts.reduce((sum, { openSessions }) => sum + openSessions, 0), whole.openSessions);
      const later = batchAt(1000, after);
      const split = splitByShard(
        later.count === 0 ? [] : [{ batch: later, start: 0, end: later.count }],
        shards,
      );
      const barrier = barrierAt(minutes + 60, { number: 2, closeOpen: true, revise: true });
      const rows = (state: PartitionState, batch: RecordBatch | null) => {
        accept(state, batch);
        const { finished, revised, deadLetters, counts } = sealPartition(state, barrier);
        const sealed = [...finished, ...revised.map(({ occurrence }) => occurrence)];
        return {
          rows: sealed.map((occurrence) =>
            [occurrence.firstOffset, sessionRow(occurrence, barrier)] as const
          ),
          letters: deadLetters.map(({ offset, reason }) => [offset, reason] as const),
          duplicates: counts.duplicates,
        };
      };
      const sorted = <T>(list: readonly (readonly [number, T])[]) => [...list].sort(([a], [b]) => a - b);
      const expected = rows(whole, after.length === 0 ? null : later);
      const found = parts.map((part, shard) => rows(part, split[shard]!));
      assertEquals(sorted(found.flatMap(({ rows }) => rows)), sorted(expected.rows));
      assertEquals(sorted(found.flatMap(({ letters }) => letters)), sorted(expected.letters));
      assertEquals(found.reduce((sum, { duplicates }) => sum + duplicates, 0), expected.duplicates);
    }),
  );
});

Deno.test("a key that is not the session id is kept, and decides the shard", () => {
  const state = stateAfter([{ key: encoder.encode("user-9"), value: eventBytes() }], barrierAt(0));
  const hashIs = (text: string) => (keyHash: number) => keyHash === routingHash(encoder.encode(text));
  const [occurrence] = occurrencesOf(restored(state, hashIs("user-9")));
  assertEquals(occurrence?.key, encoder.encode("user-9"));
  assertEquals(occurrencesOf(restored(state, hashIs("s1"))), []);
});

Deno.test("a finished session that is remembered takes a late event in after a restore, and a pending revision stays one", () => {
  const end = { key: encoder.encode("s1"), value: eventBytes({ event_type: "session_end" }) };
  const late = (id: string) => ({ key: end.key, value: eventBytes({ event_id: id, timestamp: T0 - 1 }) });
  const before = stateAfter([end], barrierAt(0, { epoch: 7 }));
  accept(before, batchAt(101, [late("e2")]));
  sealPartition(before, barrierAt(0, { number: 2, epoch: 8 }));
  const state = restored(before);
  assertEquals([state.pending.size, state.held, state.openSessions], [1, 1, 0]);
  accept(state, batchAt(102, [late("e3")]));
  const { revised, counts } = sealPartition(state, barrierAt(0, { number: 3, epoch: 9, revise: true }));
  assertEquals(revised.map(({ replacesEpoch, occurrence }) => [replacesEpoch, occurrence.revision]), [[
    7,
    1,
  ]]);
  assertEquals([counts.inSessions, counts.held], [2, 0]);
});

Deno.test("nothing is nothing, and several parts may be joined", () => {
  assertEquals(encodeOccurrences(emptyPartition(0, TRUSTING)).length, 0);
  const record = (id: string) => ({ key: encoder.encode(id), value: eventBytes({ session_id: id }) });
  const [a, b] = ["s1", "s2"].map((id) => encodeOccurrences(stateAfter([record(id)], barrierAt(0))));
  const state = emptyPartition(0, TRUSTING);
  restoreOccurrences(state, new Uint8Array([...a!, ...b!]), () => true);
  assertEquals([...state.occurrences.keys()], ["s1", "s2"]);
  assertEquals([state.openSessions, state.held], [2, 2]);
});

Deno.test("between two barriers there is no checkpoint", () => {
  const state = stateAfter([], barrierAt(0));
  accept(state, batchAt(1, [{ key: null, value: null }]));
  assertThrows(() => encodeOccurrences(state), AssertionError, "at a barrier");
  assert(state.deadLetters.length === 1);
});
