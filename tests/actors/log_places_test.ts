import { assertEquals } from "@std/assert";
import { LogPlaces } from "../../actors/log_places.ts";
import { EMPTY_LEDGER } from "../../schema/epoch.ts";
import { barrierOf } from "../support/records.ts";

const snapshotOf = (partition: number, number: number) => ({
  barrier: barrierOf({ partition, number }),
  ledger: EMPTY_LEDGER,
  latestEventTime: null,
  occurrences: [],
});

Deno.test("a checkpoint names the version that holds its barrier, not the newest at hand", () => {
  const places = new LogPlaces();
  places.note([barrierOf({ partition: 0, number: 4 }), barrierOf({ partition: 1, number: 9 })], 11);
  // Another instance commits partition 1's barrier 10 in version 12, then this one goes on with partition 0.
  places.note([barrierOf({ partition: 0, number: 5 })], 13);
  const placed = places.place([snapshotOf(0, 5), snapshotOf(1, 9)]);
  assertEquals(placed.map(({ barrier, deltaVersion }) => [barrier.partition, deltaVersion]), [[0, 13], [
    1,
    11,
  ]]);
});

Deno.test("no checkpoint is written of a state that the log has left behind, or does not hold", () => {
  const places = new LogPlaces();
  places.note([barrierOf({ partition: 0, number: 4 })], 11);
  places.note([barrierOf({ partition: 0, number: 6 })], 15);
  assertEquals(places.place([snapshotOf(0, 4), snapshotOf(1, 1)]), []);
});
