import { assertEquals } from "@std/assert";
import { EPOCHS_TRACED_MAX, EpochTimeline } from "../../actors/epoch_timeline.ts";

class Timed {
  now = 0;
  readonly timeline = new EpochTimeline(() => this.now);
  at(now: number, ...reached: Parameters<EpochTimeline["reached"]>): void {
    this.now = now;
    this.timeline.reached(...reached);
  }
}

Deno.test("An epoch has the time at which it came through each stage, and what was known by then", () => {
  const timed = new Timed();
  timed.at(10, 4, "askedMs");
  timed.at(20, 4, "sealedMs", { closedBy: "interval" });
  timed.at(30, 4, "uploadedMs");
  const facts = { version: 9, sessions: 2, revisions: 0, events: 30, deadLetters: 1, bytes: 500 };
  timed.at(40, 4, "committedMs", facts);
  const committed = {
    epoch: 4,
    askedMs: 10,
    sealedMs: 20,
    uploadedMs: 30,
    committedMs: 40,
    insertedMs: null,
    closedBy: "interval" as const,
    ...facts,
  };
  assertEquals(timed.timeline.list(0), [committed]);
  timed.at(50, 4, "insertedMs");
  assertEquals(timed.timeline.list(0), [{ ...committed, insertedMs: 50 }]);
});

Deno.test("A number that nothing came of is not listed while nothing is in flight, and begins anew", () => {
  const timed = new Timed();
  timed.at(10, 4, "askedMs");
  assertEquals(timed.timeline.list(0), []);
  assertEquals(timed.timeline.list(1).length, 1);
  timed.at(20, 4, "askedMs");
  assertEquals(timed.timeline.list(1)[0]!.askedMs, 20);
});

Deno.test("The last ones are remembered, oldest first, also where inserts come late", () => {
  const timed = new Timed();
  for (let epoch = 1; epoch <= EPOCHS_TRACED_MAX + 3; epoch++) {
    timed.at(epoch, epoch, "askedMs");
    timed.at(epoch, epoch, "sealedMs");
  }
  timed.at(999, 10, "insertedMs");
  const epochs = timed.timeline.list(0).map(({ epoch }) => epoch);
  assertEquals(epochs, Array.from({ length: EPOCHS_TRACED_MAX }, (_, i) => i + 4));
});

Deno.test("The insert of an epoch that is no longer remembered makes no half of one", () => {
  const timed = new Timed();
  timed.at(5, 1, "insertedMs");
  assertEquals(timed.timeline.list(5), []);
});
