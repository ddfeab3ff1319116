/** Partitions that come and go while ingest reads. */
import { assertEquals } from "@std/assert";
import { turns } from "../support/fake_clock.ts";
import { FakeSource } from "../support/fake_source.ts";
import {
  barriersAt,
  everyOffset,
  IngestWorld,
  recordsOf,
  replayOf,
  sourceOf,
  startOf,
} from "../support/ingest_world.ts";

const assignedIn = (w: IngestWorld) =>
  w.reports.flatMap((report) => report.type === "assigned" ? report.partitions : []);

Deno.test("a partition that is taken away is dropped everywhere, and no barrier of it follows", async () => {
  const source = sourceOf(5, 5);
  await using w = new IngestWorld(source);
  w.assign(startOf(0), startOf(1));
  await w.untilRouted(10);
  source.revoke(1);
  await w.until("the loss is told", () => w.has("revoked"));
  source.append(1, recordsOf(5));
  assertEquals((await w.close()).map(({ partition }) => partition), [0]);
  assertEquals(await w.close({ stale: [0, 1] }), []);
  const closed = w.reports.flatMap((report) => report.type === "closed" ? [report.snapshots] : []);
  assertEquals(closed, [[], [0]]);
  for (const messages of w.received) {
    assertEquals(messages.filter(({ type }) => type === "drop"), [{ type: "drop", partitions: [1] }]);
  }
});

Deno.test("a partition that is given back has another assignment, and starts when the coordinator says from where", async () => {
  const source = sourceOf(5);
  await using w = new IngestWorld(source);
  w.assign(startOf(0));
  await w.untilRouted(5);
  source.revoke(0);
  source.assign(0);
  await w.until("it is told again", () => assignedIn(w).length === 2);
  assertEquals(assignedIn(w).map(({ assignment }) => assignment), [1, 2]);
  source.append(0, recordsOf(4, 5));
  w.assign(startOf(0)); // planned for the time before: nobody may act on it
  await turns(20);
  assertEquals(w.routed().length, 5);
  w.assign(startOf(0, { assignment: 2, offset: 2 }));
  await w.untilRouted(12);
  assertEquals(w.routed().sort(), [...everyOffset(0, 0, 5), ...everyOffset(0, 2, 9)].sort());
});

Deno.test("a partition that is taken away in mid-replay is given up, and the others go on", async () => {
  const source = new FakeSource(2, 1, 1);
  const records = recordsOf(9);
  source.append(0, records);
  source.append(1, records);
  await using w = new IngestWorld(source, { shards: 1, config: { mailboxBytesMax: 1 } });
  w.assign(startOf(1));
  await w.untilRouted(9);
  const replay = replayOf(barriersAt(records, 3, 9));
  source.revoke(0);
  source.assign(0);
  await w.until("it is told again", () => assignedIn(w).length === 3);
  w.assign(startOf(0, { assignment: 3, replay }));
  await w.untilRouted(12);
  source.revoke(0);
  await w.until(
    "the loss is told again",
    () => w.reports.filter(({ type }) => type === "revoked").length === 2,
  );
  source.append(1, recordsOf(3, 9));
  await w.until("the other goes on", () => w.routed().includes("1:11"));
  const told = w.received[0]!.flatMap((message) => message.type === "live" ? [message.partitions] : []);
  assertEquals(told.at(-1), []);
  assertEquals((await w.close()).map(({ partition }) => partition), [1]);
});

Deno.test("what the log has moved on without us is discarded and assigned anew, unless it has been given back since", async () => {
  const source = sourceOf(5);
  await using w = new IngestWorld(source);
  w.assign(startOf(0));
  await w.untilRouted(5);
  w.send({ type: "discard", partitions: [{ partition: 0, assignment: 1 }] });
  await w.until("it is told again", () => assignedIn(w).length === 2);
  w.send({ type: "discard", partitions: [{ partition: 0, assignment: 1 }] });
  w.assign(startOf(0, { assignment: 2, offset: 5 }));
  source.append(0, recordsOf(1));
  await w.untilRouted(6);
  assertEquals(assignedIn(w).length, 2);
  assertEquals((await w.close()).map(({ from, to }) => [from, to]), [[5, 6]]);
});

Deno.test("an instance without partitions waits for some, and a bounded run ends at once", async () => {
  const source = sourceOf(5);
  source.revoke(0);
  await using w = new IngestWorld(source);
  await w.until("nothing is told to be assigned", () => w.has("assigned"));
  assertEquals(await w.close(), []);
  source.assign(0);
  await w.until("something is", () => assignedIn(w).length === 1);
  w.assign(startOf(0, { assignment: assignedIn(w)[0]!.assignment }));
  await w.untilRouted(5);
  const none = sourceOf(5);
  none.revoke(0);
  await using bounded = new IngestWorld(none, { mode: { untilEnd: true } });
  await bounded.until("the end is reached", () => bounded.has("end_reached"));
  assertEquals(bounded.notices, [
    "This run ends without partitions 0, which the group has not given to this instance. Where no other instance is " +
    "meant to run, one has died within the last seconds: start this run again.",
  ]);
});

Deno.test("a bounded run does not end while the partitions are being shared out anew", async () => {
  const source = sourceOf(5);
  await using w = new IngestWorld(source, { mode: { untilEnd: true } });
  source.isSettled = false;
  w.assign(startOf(0));
  await w.untilRouted(5);
  source.revoke(0);
  await w.until("the loss is told", () => w.has("revoked"));
  const polls = source.polls;
  await w.until("it goes on polling", () => source.polls > polls + 3);
  assertEquals(w.has("end_reached"), false);
  source.assign(0);
  source.isSettled = true;
  await w.until("the partition is back", () => assignedIn(w).length === 2);
  w.assign(startOf(0, { assignment: assignedIn(w)[1]!.assignment }));
  await w.until("the end is reached", () => w.has("end_reached"));
  assertEquals([w.notices, (await w.close()).map(({ to }) => to)], [[], [5]]);
});
