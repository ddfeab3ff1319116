import { assert, assertEquals, assertMatch } from "@std/assert";
import fc from "fast-check";
import { nextBarrier } from "../../actors/barrier.ts";
import type { PartitionBarrier } from "../../schema/epoch.ts";
import type { OpenSession } from "../../schema/open_session.ts";
import { explainOpen } from "../../web/why_open.ts";
import { barrierOf, MINUTE, SEMANTICS, T0 } from "../support/records.ts";

const { sessionTimeoutMs, watermarkDelayMs, maxSessionDurationMs, maxSessionEvents, maxClockSkewMs } =
  SEMANTICS;

function openSession(fields: Partial<OpenSession> = {}): OpenSession {
  return {
    sessionId: "s1",
    userId: 7,
    partition: 0,
    shard: 0,
    firstOffset: 0,
    lastOffset: 1,
    start: T0,
    end: T0,
    events: 2,
    brand: null,
    lastEvent: { type: "search", time: T0, offset: 1, pageUrl: null },
    latestEventTime: T0,
    watermark: null,
    sessionTimeoutMs,
    watermarkDelayMs,
    maxSessionDurationMs,
    maxSessionEvents,
    maxClockSkewMs,
    ...fields,
  };
}

function way(session: OpenSession, reason: string, last: PartitionBarrier, now: number) {
  const { watermark, clock, idleSince, partition } = last;
  const known = watermark === null ? null : { partition, watermark, clock, idleSince };
  return explainOpen(session, known, now, 10_000).ways.find((one) => one.reason === reason)!;
}

/** The barrier after `last` at `clock`, when the latest event is of `latest`; `records` since. */
function barrier(last: PartitionBarrier, latest: number, clock: number, records: number): PartitionBarrier {
  const progress = { partition: 0, last, start: 0, position: 10, records, atEnd: true, lastRecord: null };
  const asked = { epoch: last.epoch + 1, clock, latestEventTime: latest };
  const request = { ...asked, idleness: true, closeOpen: false, revise: false, final: false };
  return nextBarrier(progress, request, SEMANTICS) ?? last;
}

/** Whether the sessionizer closes a session that ends at `end` by this barrier. */
function closes(end: number, { watermark }: PartitionBarrier): boolean {
  return watermark !== null && end + sessionTimeoutMs < watermark;
}

Deno.test("An event of the time that is named closes the session by the gap, and one a millisecond older does not", () => {
  fc.assert(fc.property(fc.nat({ max: 40 * MINUTE }), fc.nat({ max: 40 * MINUTE }), (before, ahead) => {
    const last = barrierOf({ watermark: T0 - before, eventWatermark: T0 - before, clock: T0 });
    const session = openSession({ end: T0, latestEventTime: T0 + ahead });
    if (closes(session.end, last)) return;
    const { earliestMs, when } = way(session, "timeout", last, 0);
    const needed = earliestMs! + maxClockSkewMs; // an event may be that far ahead of the broker's clock
    assert(closes(T0, barrier(last, needed, T0 + 1, 1)));
    assert(!closes(T0, barrier(last, needed - 1, T0 + 1, 1)));
    assertMatch(when, /^Partition 0 has an event of 2023-11-14 22:44:20 UTC or later/);
  }));
});

Deno.test("An idle partition closes the session at the moment that is named, and not a millisecond before", () => {
  fc.assert(fc.property(fc.nat({ max: 40 * MINUTE }), fc.nat({ max: 20 * MINUTE }), (after, waited) => {
    const latest = T0 + after; // another session's
    const idle = barrierOf({ watermark: latest - watermarkDelayMs, clock: T0, idleSince: T0 });
    const last = barrier(idle, latest, T0 + waited, 0);
    const session = openSession({ end: T0, latestEventTime: latest });
    if (closes(session.end, last)) return;
    const { earliestMs } = way(session, "idle", last, T0 + waited);
    assert(closes(T0, barrier(last, latest, earliestMs!, 0)));
    assert(!closes(T0, barrier(last, latest, earliestMs! - 1, 0)));
  }));
});

Deno.test("A partition that is not idle yet could be so from the next barrier on at the earliest", () => {
  const last = barrierOf({ watermark: T0 - MINUTE, clock: T0 });
  const { earliestMs } = way(openSession(), "idle", last, T0 + 5_000);
  const idle = barrier(last, T0, T0 + 5_000, 0);
  assert(closes(T0, barrier(idle, T0, earliestMs!, 0)));
  assert(!closes(T0, barrier(idle, T0, earliestMs! - 1, 0)));
});

Deno.test("The sentence says what is missing, with a zone; without a watermark, that there is none yet", () => {
  const known = { partition: 0, watermark: T0 - MINUTE, clock: T0, idleSince: null };
  const { why, remainingMs, deadlineMs } = explainOpen(openSession(), known, T0, 10_000);
  assertEquals([deadlineMs, remainingMs], [T0 + 30 * MINUTE, 31 * MINUTE + 1]);
  assertEquals(
    why,
    "No session_end has come; its last event is of 2023-11-14 22:13:20 UTC, and a gap of 30 min must pass before the " +
      "watermark of partition 0, which stands at 2023-11-14 22:12:20 UTC and has 31 min 1 s to go.",
  );
  const unknown = explainOpen(openSession(), null, T0, 10_000);
  assertEquals(unknown.remainingMs, null);
  assertMatch(unknown.why, /partition 0 has no watermark before its first barrier\.$/);
});

Deno.test("Where the watermark has passed already, the next barrier closes it", () => {
  const passed = { partition: 0, watermark: T0 + 31 * MINUTE, clock: T0, idleSince: null };
  const { why, ways, remainingMs } = explainOpen(openSession(), passed, T0, 10_000);
  assertMatch(why, /it closes at the next barrier\.$/);
  assertEquals(remainingMs, 0);
  assertEquals(ways.find(({ reason }) => reason === "timeout")!.earliestMs, T0);
});
