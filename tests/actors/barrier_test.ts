import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { type BarrierRequest, nextBarrier, type PartitionProgress } from "../../actors/barrier.ts";
import type { PartitionBarrier } from "../../schema/epoch.ts";
import { barrierOf, MINUTE, SEMANTICS, T0 } from "../support/records.ts";

const { sessionTimeoutMs, watermarkDelayMs, allowedLatenessMs } = SEMANTICS;

function next(
  progress: Partial<PartitionProgress> = {},
  request: Partial<BarrierRequest> = {},
): PartitionBarrier | null {
  return nextBarrier(
    {
      partition: 0,
      last: null,
      start: 0,
      position: progress.last?.to ?? 0,
      records: 0,
      atEnd: false,
      lastRecord: null,
      ...progress,
    },
    {
      ...{ epoch: 9, clock: T0, latestEventTime: null, idleness: true, closeOpen: false },
      ...{ revise: false, final: false, ...request },
    },
    SEMANTICS,
  );
}

const LAST = barrierOf({ number: 4, to: 100, clock: T0, watermark: T0, eventWatermark: T0 });

Deno.test("the first barrier is number 1 and starts where reading began", () => {
  const barrier = next({ start: 20, position: 25, records: 5 });
  assertEquals([barrier?.number, barrier?.from, barrier?.to, barrier?.epoch], [1, 20, 25, 9]);
});

Deno.test("a barrier goes on from the one before: its number, its offsets", () => {
  const barrier = next({ last: LAST, position: 130, records: 30 });
  assertEquals([barrier?.number, barrier?.from, barrier?.to], [5, 100, 130]);
});

Deno.test("nothing is posted where nothing changed", () => {
  assertEquals(next({ last: LAST }), null);
  assertEquals(next({ last: LAST }, { clock: T0 + MINUTE, latestEventTime: T0 }), null);
  assertEquals(next(), null);
  assertEquals(next({}, { closeOpen: true }), null);
});

Deno.test("a partition whose log does not start at 0 gets a first barrier that records its start", () => {
  const barrier = next({ start: 70, position: 70 });
  assertEquals([barrier?.number, barrier?.from, barrier?.to, barrier?.watermark], [1, 70, 70, null]);
  assertEquals(next({ last: barrier, start: 70, position: 70 }), null);
});

Deno.test("the watermark is unset until an event time is known, and then that less the delay", () => {
  assertEquals(next({ records: 1, position: 1 })?.watermark, null);
  assertEquals(next({ records: 1, position: 1 })?.forgetBefore, null);
  const barrier = next({ records: 1, position: 1 }, { latestEventTime: T0 + 5 * MINUTE })!;
  assertEquals(barrier.watermark, T0 + 5 * MINUTE - watermarkDelayMs);
  assertEquals(barrier.eventWatermark, barrier.watermark);
  assertEquals(barrier.forgetBefore, barrier.watermark! - allowedLatenessMs);
});

Deno.test("a watermark of 0 is a watermark", () => {
  assertEquals(next({ records: 1, position: 1 }, { latestEventTime: watermarkDelayMs })?.watermark, 0);
});

Deno.test("the watermark never moves back, nor does the clock", () => {
  const barrier = next({ last: LAST, records: 1, position: 101 }, {
    latestEventTime: T0 - 90 * MINUTE,
    clock: T0 - 90 * MINUTE,
  });
  assertEquals([barrier?.watermark, barrier?.eventWatermark, barrier?.clock], [T0, T0, T0]);
});

Deno.test("an idle partition's watermark goes on with the clock, up to where all it holds has timed out", () => {
  const latestEventTime = T0 + 10 * MINUTE;
  const delayed = latestEventTime - watermarkDelayMs;
  let last = next({ records: 1, position: 1 }, { latestEventTime })!;
  assertEquals(last.idleSince, null);
  const idleAt = T0 + MINUTE;
  last = next({ last, atEnd: true }, { latestEventTime, clock: idleAt })!;
  assertEquals([last.idleSince, last.watermark], [idleAt, delayed]);
  last = next({ last, atEnd: true }, { latestEventTime, clock: idleAt + 7 * MINUTE })!;
  assertEquals([last.idleSince, last.watermark], [idleAt, delayed + 7 * MINUTE]);
  assertEquals(last.eventWatermark, delayed);
  last = next({ last, atEnd: true }, { latestEventTime, clock: idleAt + 500 * MINUTE })!;
  assertEquals(last.watermark, latestEventTime + sessionTimeoutMs + 1);
  assertEquals(next({ last, atEnd: true }, { latestEventTime, clock: idleAt + 900 * MINUTE }), null);
});

Deno.test("idleness ends with a record, and its clock starts anew", () => {
  const latestEventTime = T0 + 10 * MINUTE;
  const idle = barrierOf({ idleSince: T0, watermark: T0 + 12 * MINUTE, eventWatermark: T0 + 9 * MINUTE });
  const busy = next({ last: idle, records: 1, position: 1, atEnd: true }, {
    latestEventTime,
    clock: T0 + MINUTE,
  })!;
  assertEquals([busy.idleSince, busy.watermark], [null, idle.watermark]);
  const again = next({ last: busy, atEnd: true }, { latestEventTime, clock: T0 + 2 * MINUTE })!;
  assertEquals(again.idleSince, T0 + 2 * MINUTE);
});

Deno.test("no partition is idle that has more to read, is of unknown time, or is in a bounded run", () => {
  const latestEventTime = T0 + MINUTE;
  const last = barrierOf({ watermark: T0, eventWatermark: T0 });
  const request = { latestEventTime, clock: T0 + MINUTE };
  assertEquals(next({ last, atEnd: false }, request), null);
  assertEquals(next({ last: barrierOf(), atEnd: true }, { ...request, latestEventTime: null }), null);
  assertEquals(next({ last, atEnd: true }, { ...request, idleness: false }), null);
});

Deno.test("closing what is open is asked of a partition once, also where no record arrived", () => {
  const barrier = next({ last: LAST }, { closeOpen: true });
  assertEquals([barrier?.closeOpen, barrier?.from, barrier?.to], [true, 100, 100]);
  assertEquals(next({ last: barrier }, { closeOpen: true }), null);
  assertEquals(next({ last: barrier, position: 101, records: 1 })?.closeOpen, false);
});

Deno.test("revisions that are due get a barrier of their own, and at the end every partition's newest records do", () => {
  const due = next({ last: LAST }, { revise: true });
  assertEquals([due?.revise, due?.from, due?.to, due?.watermark], [true, 100, 100, T0]);
  assertEquals(next({ last: LAST }, { final: true }), null);
  assertEquals(next({ last: LAST, position: 101, records: 1 }, { final: true })?.revise, true);
  assertEquals(next({ last: LAST, position: 101, records: 1 })?.revise, false);
});

Deno.test("a barrier carries the mark of the last record", () => {
  const lastRecord = { offset: 7, crc32: 1234 };
  assertEquals(next({ records: 1, position: 8, lastRecord })?.lastRecord, lastRecord);
});

const anyStep = fc.record({
  records: fc.constantFrom(0, 0, 1, 5),
  gap: fc.constantFrom(0, 0, 3),
  atEnd: fc.boolean(),
  clock: fc.integer({ min: T0, max: T0 + 200 * MINUTE }),
  latest: fc.option(fc.integer({ min: T0 - 60 * MINUTE, max: T0 + 60 * MINUTE }), { nil: null }),
  closeOpen: fc.boolean(),
  revise: fc.boolean(),
});

Deno.test("over any sequence barriers chain, watermarks and clocks only grow, and idleness keeps its bound", () => {
  fc.assert(fc.property(fc.array(anyStep, { maxLength: 30 }), fc.constantFrom(0, 50), (steps, start) => {
    let last: PartitionBarrier | null = null;
    let position = start;
    let latestEventTime: number | null = null;
    for (const { records, gap, atEnd, clock, latest, closeOpen, revise } of steps) {
      position += records + (records > 0 ? gap : 0);
      if (latest !== null) latestEventTime = Math.max(latest, latestEventTime ?? latest);
      const barrier: PartitionBarrier | null = next({ last, start, position, records, atEnd }, {
        clock,
        latestEventTime,
        closeOpen,
        revise,
      });
      if (barrier === null) {
        assertEquals([records, revise], [0, false]);
        continue;
      }
      assertEquals([barrier.number, barrier.from, barrier.to], [
        (last?.number ?? 0) + 1,
        last?.to ?? start,
        position,
      ]);
      assert(barrier.clock >= clock && barrier.clock >= (last?.clock ?? 0));
      assertEquals(barrier.watermark === null, latestEventTime === null);
      if (latestEventTime !== null) {
        assert(barrier.watermark! >= (last?.watermark ?? -Infinity));
        assert(barrier.eventWatermark! >= (last?.eventWatermark ?? -Infinity));
        assert(barrier.eventWatermark! <= barrier.watermark!);
        assertEquals(barrier.eventWatermark, latestEventTime - watermarkDelayMs);
        assert(barrier.watermark! <= latestEventTime + sessionTimeoutMs + 1);
        assertEquals(barrier.forgetBefore, barrier.watermark! - allowedLatenessMs);
      }
      assert(barrier.idleSince === null || (atEnd && records === 0 && barrier.idleSince <= barrier.clock));
      last = barrier;
    }
  }));
});
