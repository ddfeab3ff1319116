import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { splitByShard } from "../../actors/route.ts";
import { acceptBatch, emptyPartition, type PartitionSeal, sealPartition } from "../../actors/sessionizer.ts";
import { sessionRow } from "../../actors/session_rows.ts";
import { shardOf } from "../../actors/shard.ts";
import { textHash64 } from "../../schema/hash64.ts";
import { recordBatchOf } from "../../sources/record_batch.ts";
import { Bench, type Click, MINUTE, record, SEMANTICS, T0 } from "../support/sessionizer_bench.ts";

const encoder = new TextEncoder();

/** Sessions of a few ids whose gaps are either well inside the timeout or well beyond it. */
const clicks = fc.array(
  fc.record({
    session: fc.constantFrom("a", "b", "c", "__proto__"),
    gap: fc.oneof(
      fc.integer({ min: 0, max: 10 * MINUTE }),
      fc.integer({ min: 61 * MINUTE, max: 90 * MINUTE }),
    ),
  }),
  { minLength: 1, maxLength: 60 },
).map((steps) => {
  const clocks = new Map<string, number>();
  const unordered = steps.map(({ session, gap }, i) => {
    const at = (clocks.get(session) ?? 0) + gap;
    clocks.set(session, at);
    return { session, at, id: `e${i}` };
  });
  return unordered.sort((a, b) => a.at - b.at);
});

/** An oracle that shares nothing with the sessionizer: cuts each id's sorted times at gaps beyond the timeout. */
function byGaps(events: readonly (Click & { session: string; id: string })[]): string[] {
  const sessions: string[] = [];
  for (const id of new Set(events.map(({ session }) => session))) {
    const own = events.filter(({ session }) => session === id).sort((a, b) => a.at - b.at);
    let current: typeof own = [];
    for (const event of own) {
      if (current.length > 0 && event.at - current.at(-1)!.at > SEMANTICS.sessionTimeoutMs) {
        sessions.push(`${id}:${current.map(({ id }) => textHash64(id)).sort()}`);
        current = [];
      }
      current.push(event);
    }
    sessions.push(`${id}:${current.map(({ id }) => textHash64(id)).sort()}`);
  }
  return sessions.sort();
}

function sessionsOf(seals: readonly PartitionSeal[]): string[] {
  return seals.flatMap(({ finished }) =>
    finished.map(({ sessionId, events }) => `${sessionId}:${events.map(({ idHash }) => idHash).sort()}`)
  ).sort();
}

Deno.test("property: sessions are the gaps' sessions, whatever the order of arrival inside a session", () => {
  fc.assert(fc.property(clicks, fc.integer({ min: 1 }), (events, seed) => {
    // Swaps neighbours that lie less than a quarter of the timeout apart: no session's boundary is crossed.
    const arrived = [...events];
    for (let i = 1, draw = seed; i < arrived.length; i++, draw = Math.imul(draw, 48271)) {
      if (draw & 1 && arrived[i]!.at - arrived[i - 1]!.at < SEMANTICS.sessionTimeoutMs / 4) {
        [arrived[i - 1], arrived[i]] = [arrived[i]!, arrived[i - 1]!];
      }
    }
    const bench = new Bench().feed(...arrived);
    assertEquals(sessionsOf([bench.seal(null, { closeOpen: true })]), byGaps(events));
  }));
});

Deno.test("property: where epochs are cut changes no session, as long as the watermark keeps its delay", () => {
  fc.assert(fc.property(clicks, fc.array(fc.nat({ max: 60 }), { maxLength: 8 }), (events, cuts) => {
    const bench = new Bench();
    const seals: PartitionSeal[] = [];
    let latest = -Infinity;
    events.forEach((event, i) => {
      bench.feed(event);
      latest = Math.max(latest, event.at);
      if (cuts.includes(i)) seals.push(bench.seal(latest - SEMANTICS.watermarkDelayMs));
    });
    seals.push(bench.seal(null, { closeOpen: true, watermark: bench.state.watermark }));
    assertEquals(sessionsOf(seals), byGaps(events));
  }));
});

Deno.test("property: the number of shards changes no row, and in every seal the ledger balances", () => {
  fc.assert(
    fc.property(clicks, fc.integer({ min: 2, max: 5 }), fc.nat({ max: 60 }), (events, shards, cut) => {
      const rowsWith = (count: number) => {
        const states = Array.from({ length: count }, () => emptyPartition(3, SEMANTICS));
        const rows: string[] = [];
        const feed = (from: number, to: number, number: number) => {
          const records = events.slice(from, to).map(record);
          if (records.length > 0) {
            const parts = splitByShard(
              [{ batch: recordBatchOf(3, from, T0 + 1e10, records), start: 0, end: records.length }],
              count,
            );
            parts.forEach((part, shard) => part !== null && acceptBatch(states[shard]!, part));
          }
          const latest = Math.max(...events.slice(0, Math.max(to, 1)).map(({ at }) => at));
          const watermark = T0 + latest - SEMANTICS.watermarkDelayMs;
          const seals = states.map((state) =>
            sealPartition(state, {
              ...{
                partition: 3,
                number,
                epoch: number,
                from,
                to,
                clock: T0,
                idleSince: null,
                lastRecord: null,
              },
              ...{
                eventWatermark: watermark,
                watermark,
                forgetBefore: null,
                closeOpen: number === 2,
                revise: false,
              },
            })
          );
          const total = (name: keyof PartitionSeal["counts"]) =>
            seals.reduce((sum, { counts }) => sum + (counts[name] ?? 0), 0);
          return { seals, total };
        };
        let [consumed, inSessions, other] = [0, 0, 0];
        const middle = Math.min(cut, events.length);
        for (const [from, to, number] of [[0, middle, 1], [middle, events.length, 2]] as const) {
          const { seals, total } = feed(from, to, number);
          consumed += total("records");
          inSessions += total("inSessions");
          other += total("duplicates") + total("deadLetters");
          assertEquals(consumed, inSessions + other + total("held"));
          for (const { barrier, finished } of seals) {
            rows.push(...finished.map((occurrence) => JSON.stringify(sessionRow(occurrence, barrier))));
          }
        }
        return rows.sort();
      };
      assertEquals(rowsWith(shards), rowsWith(1));
    }),
  );
});

Deno.test("shards are chosen by the key's bytes, and every shard gets its share", () => {
  const counts = new Array(4).fill(0);
  for (let i = 0; i < 4_000; i++) counts[shardOf(encoder.encode(`session-${i}`), 4)]++;
  assert(counts.every((count) => count > 800 && count < 1_200), String(counts));
});
