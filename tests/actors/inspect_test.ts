import { assert, assertEquals } from "@std/assert";
import { inspectSessions } from "../../actors/inspect.ts";
import { ANSWER_WAIT_MS, Inspections, INSPECTIONS_MAX } from "../../actors/inspections.ts";
import type { SessionActorCommand } from "../../actors/protocol.ts";
import { acceptBatch, emptyPartition, type PartitionState, sealPartition } from "../../actors/sessionizer.ts";
import {
  OPEN_SESSIONS_LISTED_MAX,
  type OpenSession,
  type OpenSessionQuery,
} from "../../schema/open_session.ts";
import { recordBatchOf } from "../../sources/record_batch.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { barrierOf, eventBytes, MINUTE, SEMANTICS, T0 } from "../support/records.ts";

/** An event's fields, of the session `session_id`. */
type Fields = Readonly<Record<string, unknown>> & { readonly session_id: string };

/** A partition that has taken these events in. */
function stateOf(partition: number, events: readonly Fields[]): PartitionState {
  const state = emptyPartition(partition, SEMANTICS);
  const records = events.map((fields, i) => ({
    key: new TextEncoder().encode(fields.session_id),
    value: eventBytes({ event_id: `e${i}`, ...fields }),
  }));
  acceptBatch(state, recordBatchOf(partition, 0, T0 + MINUTE, records));
  return state;
}

const RECENT: OpenSessionQuery = { by: "recent", limit: 10 };
const idsOf = (sessions: readonly OpenSession[]) => sessions.map(({ sessionId }) => sessionId);

Deno.test("An open session is told with its last event by time, and where its partition stands", () => {
  const state = stateOf(3, [
    { session_id: "a", timestamp: T0 + 5_000, event_type: "article_view", page_url: "/late", brand: "B" },
    { session_id: "a", timestamp: T0, event_type: "search" },
    { session_id: "b", timestamp: T0 + 9_000 },
  ]);
  sealPartition(state, barrierOf({ partition: 3, watermark: T0 - MINUTE, eventWatermark: T0 - MINUTE }));
  const [, a] = inspectSessions([state], 1, RECENT);
  assertEquals(a, {
    sessionId: "a",
    userId: 7,
    partition: 3,
    shard: 1,
    firstOffset: 0,
    lastOffset: 1,
    start: T0,
    end: T0 + 5_000,
    events: 2,
    brand: "B",
    lastEvent: { type: "article_view", time: T0 + 5_000, offset: 0, pageUrl: "/late" },
    latestEventTime: T0 + 9_000,
    watermark: T0 - MINUTE,
    sessionTimeoutMs: SEMANTICS.sessionTimeoutMs,
    watermarkDelayMs: SEMANTICS.watermarkDelayMs,
    maxSessionDurationMs: SEMANTICS.maxSessionDurationMs,
    maxSessionEvents: SEMANTICS.maxSessionEvents,
    maxClockSkewMs: SEMANTICS.maxClockSkewMs,
  });
});

Deno.test("Only open sessions are told of: not those that ended, also while they are remembered", () => {
  const state = stateOf(0, [
    { session_id: "ended", timestamp: T0, event_type: "session_end" },
    { session_id: "open", timestamp: T0 },
  ]);
  assertEquals(idsOf(inspectSessions([state], 0, RECENT)), ["open"]);
  sealPartition(state, barrierOf());
  assertEquals(idsOf(inspectSessions([state], 0, RECENT)), ["open"]);
  assertEquals(inspectSessions([state], 0, { by: "session_id", sessionId: "ended", limit: 5 }), []);
});

Deno.test("Sessions are found by id and by reader, in all partitions", () => {
  const states = [
    stateOf(0, [{ session_id: "a", user_id: 1 }, { session_id: "b", user_id: 2 }]),
    stateOf(1, [{ session_id: "a", user_id: 2 }, { session_id: "c", user_id: 3 }]),
  ];
  const find = (query: OpenSessionQuery) =>
    inspectSessions(states, 0, query).map(({ sessionId, partition }) => `${sessionId}${partition}`).sort();
  assertEquals(find({ by: "session_id", sessionId: "a", limit: 5 }), ["a0", "a1"]);
  assertEquals(find({ by: "user_id", userId: 2, limit: 5 }), ["a1", "b0"]);
  assertEquals(find({ by: "session_id", sessionId: "__proto__", limit: 5 }), []);
});

Deno.test("Of many the newest are told, at most the limit, and never more than one answer may hold", () => {
  const events = Array.from({ length: 4_000 }, (_, i) => ({
    session_id: `s${i}`,
    timestamp: T0 + (i * 7_919) % 4_000,
  }));
  const state = stateOf(0, events);
  const newest = events.sort((a, b) => b.timestamp - a.timestamp).map(({ session_id }) => session_id);
  assertEquals(idsOf(inspectSessions([state], 0, RECENT)), newest.slice(0, 10));
  const greedy = inspectSessions([state], 0, { by: "recent", limit: 1_000_000 });
  assertEquals(idsOf(greedy), newest.slice(0, OPEN_SESSIONS_LISTED_MAX));
});

Deno.test("Looking changes nothing: what a barrier brings out is the same", () => {
  const [looked, left] = [0, 1].map(() => stateOf(0, [{ session_id: "a", timestamp: T0 }]));
  inspectSessions([looked!], 0, RECENT);
  const barrier = barrierOf({ watermark: T0 + 31 * MINUTE, eventWatermark: T0 + 31 * MINUTE });
  assertEquals(sealPartition(looked!, barrier), sealPartition(left!, barrier));
});

/** Two shards that answer when the test lets them. */
class Shards {
  readonly clock = new FakeClock(0);
  readonly asked: SessionActorCommand[][] = [[], []];
  readonly inspections = new Inspections(
    this.asked.map((commands) => (command: SessionActorCommand) => void commands.push(command)),
    this.clock,
  );
}

const openAt = (sessionId: string, end: number) => ({ sessionId, end }) as OpenSession;

Deno.test("The shards' answers are put together, the newest first, within the limit", async () => {
  const { inspections, asked } = new Shards();
  const answer = inspections.inspect({ by: "recent", limit: 2 });
  const [{ id }] = asked[0] as [SessionActorCommand];
  inspections.answer(id, 1, [openAt("b", 3), openAt("c", 1)]);
  inspections.answer(id, 0, [openAt("a", 2)]);
  const { sessions, silentShards } = await answer;
  assertEquals([idsOf(sessions), silentShards], [["b", "a"], []]);
});

Deno.test("A shard that does not answer in time is named, and its late answer harms nobody", async () => {
  const { inspections, asked, clock } = new Shards();
  const answer = inspections.inspect(RECENT);
  const [{ id }] = asked[0] as [SessionActorCommand];
  inspections.answer(id, 0, [openAt("a", 2)]);
  await clock.advance(ANSWER_WAIT_MS);
  const { sessions, silentShards } = await answer;
  assertEquals([idsOf(sessions), silentShards], [["a"], [1]]);
  const next = inspections.inspect(RECENT);
  inspections.answer(id, 1, [openAt("late", 9)]);
  const again = asked[0]![1]!.id;
  assert(again !== id);
  for (const shard of [0, 1]) inspections.answer(again, shard, []);
  assertEquals((await next).sessions, []);
});

Deno.test("Only so many questions are under way", async () => {
  const { inspections, asked } = new Shards();
  const answers = Array.from({ length: INSPECTIONS_MAX + 1 }, () => inspections.inspect(RECENT));
  assertEquals((await answers.at(-1)!).silentShards, [0, 1]);
  assertEquals(asked[0]!.length, INSPECTIONS_MAX);
  for (const { id } of asked[0]!) for (const shard of [0, 1]) inspections.answer(id, shard, []);
  await Promise.all(answers);
});
