import { assert, assertEquals, assertThrows } from "@std/assert";
import { UserError } from "../../schema/errors.ts";
import type { PageEvent } from "../../schema/column_batch.ts";
import { reduceSession, SESSION_COLUMNS } from "../../schema/session.ts";
import { type AcceptedEvent, parseEvent } from "../../schema/user_event.ts";
import { produce } from "../../sources/produce.ts";
import { SimulatedFeed } from "../../sources/simulated_feed.ts";
import { Simulator, virtualTimeline } from "../../sources/simulator.ts";
import { type TrueSession, TruthFile } from "../../sources/truth.ts";
import { inTempDir, openLog, seekAll } from "./log_support.ts";
import { valueAt } from "../../sources/source.ts";

interface TruthText {
  seed: number;
  events: number;
  records: number;
  sessions: TrueSession[];
}

const clock = { now: () => 0, sleep: () => Promise.resolve() };

async function assertTruthEqualsReducer(late: number): Promise<void> {
  await inTempDir(async (directory) => {
    const log = openLog(`${directory}/events.db`);
    const simulator = new Simulator({
      seed: 7,
      ...virtualTimeline(6_000, 1_700_000_000_000),
      outOfOrder: 0.05,
      duplicates: 0.03,
      late,
    });
    const feed = new SimulatedFeed(simulator, { events: 6_000, truthPath: `${directory}/t.json` });
    const { records } = await produce({ feed, producer: log.producer("clicks"), rate: "max", ...clock });
    const truth: TruthText = JSON.parse(Deno.readTextFileSync(`${directory}/t.json`));
    assertEquals([truth.seed, truth.events, truth.records], [7, 6_000, records]);
    assert(records > 6_050);

    const sessions = new Map<string, { event: AcceptedEvent; partition: number; offset: number }[]>();
    const source = log.source("clicks");
    await seekAll(source);
    for (;;) {
      const { batches } = await source.poll(1_000_000, 0);
      if (batches.length === 0) break;
      for (const batch of batches) {
        for (let i = 0; i < batch.count; i++) {
          const parsed = parseEvent(valueAt(batch, i));
          assert("event" in parsed);
          const { event } = parsed;
          const own = sessions.getOrInsert(event.sessionId, []);
          if (own.some((other) => other.event.eventId === event.eventId)) continue;
          own.push({ event, partition: batch.partition, offset: batch.offsets[i]! });
        }
      }
    }
    log.close();
    assertEquals(truth.sessions.length, sessions.size);
    for (const expected of truth.sessions) {
      const own = sessions.get(expected.session_id)!;
      const events = own.map(({ event }) => event).sort((a, b) => a.time - b.time);
      const cells = reduceSession(events, {
        closeReason: events.some(({ eventType }) => eventType === "session_end") ? "session_end" : "drain",
        sourcePartition: own[0]!.partition,
        firstOffset: own[0]!.offset,
        lastOffset: own[own.length - 1]!.offset,
        revision: 0,
        createdAt: 0,
        batchId: 0,
      });
      const iso = (time: number) => new Date(time).toISOString();
      const row: Record<string, unknown> = { session_date: iso(events[0]!.time).slice(0, 10) };
      SESSION_COLUMNS.forEach(({ name, kind }, i) => {
        if (name === "batch_id" || name === "created_at" || (name === "revision" && late > 0)) return;
        const cell = cells[i]!;
        if (kind === "timestamp") row[name] = iso(cell as number);
        else if (kind !== "list_page_event") row[name] = cell;
        else {
          row[name] = (cell as readonly PageEvent[]).map((page) => ({
            ...page,
            timestamp: iso(page.timestamp),
          }));
        }
      });
      assertEquals(expected as unknown as Record<string, unknown>, row);
    }
  });
}

Deno.test("the truth equals what the reducer makes of the log, row by row and column by column", () =>
  assertTruthEqualsReducer(0));

Deno.test("the truth knows late events, and says no revision then", () => assertTruthEqualsReducer(0.05));

Deno.test("a truth file that cannot be written is a sentence, and an abandoned one leaves nothing", async () => {
  await inTempDir((directory) => {
    assertThrows(() => new TruthFile(`${directory}/missing/t.json`, 1), UserError, "Writing the truth file");
    new TruthFile(`${directory}/t.json`, 1).abandon();
    assertEquals([...Deno.readDirSync(directory)], []);
  });
});

Deno.test("an empty truth file is JSON too", async () => {
  await inTempDir((directory) => {
    new TruthFile(`${directory}/t.json`, 5).finish(0, 0);
    const truth = JSON.parse(Deno.readTextFileSync(`${directory}/t.json`));
    assertEquals(truth, { seed: 5, events: 0, records: 0, sessions: [] });
  });
});
