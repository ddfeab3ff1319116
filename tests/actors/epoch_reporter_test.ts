import { assertEquals } from "@std/assert";
import type { Epoch } from "../../actors/epoch_state.ts";
import { EpochReporter } from "../../actors/epoch_reporter.ts";
import { EpochTimeline } from "../../actors/epoch_timeline.ts";
import type { ActorReport } from "../../actors/protocol.ts";
import { FakeClock, turns } from "../support/fake_clock.ts";

const EPOCH = { number: 7, closedBy: "interval", records: 50, openSessions: 3 } as Epoch;

function facts(sessions: number) {
  return { epoch: EPOCH, version: 9, sessions, revisions: 0, deadLetters: 1, bytes: 80, commitMs: 4 };
}

Deno.test("an epoch is reported when its insert is done, and without it when ClickHouse lags; the sum counts both", async () => {
  const clock = new FakeClock();
  const reports: ActorReport[] = [];
  const timeline = new EpochTimeline(() => clock.now());
  timeline.reached(7, "askedMs");
  timeline.reached(7, "sealedMs");
  const reporter = new EpochReporter(clock, (report) => reports.push(report), timeline);
  const quick = reporter.committed(facts(2), Promise.resolve(12));
  await quick;
  const [landed] = timeline.list(0);
  assertEquals([landed!.version, landed!.sessions, landed!.bytes, landed!.events], [9, 2, 80, 50]);
  assertEquals([landed!.committedMs, landed!.insertedMs], [clock.now(), clock.now()]);
  const lagging = reporter.committed(facts(5), new Promise(() => {}));
  await turns();
  assertEquals(reports.length, 1);
  await clock.advance(5_000);
  await lagging;
  assertEquals(
    reports.map((report) => report.type === "epoch" && [report.report.sessions, report.report.insertMs]),
    [[2, 12], [5, null]],
  );
  assertEquals(reporter.summary, { epochs: 2, sessions: 7, events: 100, deadLetters: 2 });
});
