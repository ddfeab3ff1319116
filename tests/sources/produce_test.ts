import { assert, assertEquals, assertLess, assertRejects } from "@std/assert";
import { SourceError } from "../../schema/errors.ts";
import { NdjsonFeed } from "../../sources/ndjson.ts";
import { produce } from "../../sources/produce.ts";
import { SimulatedFeed } from "../../sources/simulated_feed.ts";
import { Simulator, virtualTimeline } from "../../sources/simulator.ts";
import type { ProducedRecord, Producer } from "../../sources/source.ts";
import { inTempDir } from "./log_support.ts";

/** A producer that keeps what it is sent, and the clock that a test moves. */
function bench() {
  const sends: { at: number; records: readonly ProducedRecord[] }[] = [];
  const clock = { now: 0 };
  let offset = 0;
  let inFlight = 0;
  const producer: Producer = {
    topic: "clicks",
    async send(records) {
      assertEquals(inFlight++, 0);
      await Promise.resolve();
      inFlight--;
      sends.push({ at: clock.now, records });
      return records.map(() => ({ partition: 0, offset: offset++ }));
    },
    close: () => Promise.resolve(),
  };
  const time = {
    now: () => clock.now,
    sleep: (ms: number) => {
      clock.now += ms;
      return Promise.resolve();
    },
  };
  return { sends, clock, producer, time };
}

function simulated(events?: number, truthPath?: string): SimulatedFeed {
  const simulator = new Simulator({ seed: 1, ...virtualTimeline(events ?? 1_000, 1_700_000_000_000) });
  return new SimulatedFeed(simulator, {
    ...(events === undefined ? {} : { events }),
    ...(truthPath === undefined ? {} : { truthPath }),
  });
}

Deno.test("at 10 records a second each is sent when it is due", async () => {
  const { sends, producer, time } = bench();
  const result = await produce({ feed: simulated(21), producer, rate: 10, ...time });
  assertEquals(sends.map(({ at, records }) => [at, records.length]), sends.map((_, i) => [i * 100, 1]));
  assertEquals([result.records, result.complete], [21, true]);
});

Deno.test("at a high rate records go out in ticks, as many as the rate says", async () => {
  const { sends, producer, time } = bench();
  const result = await produce({ feed: simulated(20_000), producer, rate: 10_000, ...time });
  assertLess(Math.abs(result.elapsedMs - 2_000), 25);
  assertLess(Math.abs(result.recordsPerSecond - 10_000), 150);
  for (const { records } of sends) assert(records.length <= 101);
});

Deno.test("a stall is made up for by one second's records at most", async () => {
  const { sends, producer, time, clock } = bench();
  await produce({
    feed: simulated(300),
    producer,
    rate: 100,
    ...time,
    onProgress: ({ records }) => {
      if (records === 10) clock.now += 60_000;
    },
  });
  const largest = Math.max(...sends.map(({ records }) => records.length));
  assertEquals(largest, 101);
});

Deno.test("at full rate sends are filled up to their bound, one at a time, and progress counts bytes", async () => {
  const { sends, producer, time } = bench();
  const seen: number[] = [];
  const result = await produce({
    feed: simulated(2_000),
    producer,
    rate: "max",
    sendBytes: 64 * 1024,
    ...time,
    onProgress: ({ bytes }) => seen.push(bytes),
  });
  assertEquals(result.records, 2_000);
  const sizes = sends.map(({ records }) =>
    records.reduce((sum, { key, value }) => sum + key!.length + value!.length, 0)
  );
  assertEquals(sizes.reduce((sum, size) => sum + size, 0), result.bytes);
  assertEquals(seen.at(-1), result.bytes);
  for (const size of sizes.slice(0, -1)) assert(size > 63 * 1024 && size <= 64 * 1024, String(size));
});

Deno.test("an abort stops after the send under way, and the truth is of what was sent", async () => {
  await inTempDir(async (directory) => {
    const { producer, time } = bench();
    const controller = new AbortController();
    const path = `${directory}/t.json`;
    const result = await produce({
      feed: simulated(undefined, path),
      producer,
      rate: "max",
      ...time,
      onProgress: ({ records }) => records > 5_000 && controller.abort(),
      signal: controller.signal,
    });
    assertEquals(result.complete, false);
    const truth = JSON.parse(Deno.readTextFileSync(path)) as {
      records: number;
      sessions: { total_events: number }[];
    };
    assertEquals(truth.records, result.records);
    assertEquals(truth.sessions.reduce((sum, { total_events }) => sum + total_events, 0), result.records);
  });
});

Deno.test("an abort does not wait for an input that never comes", async () => {
  const { producer, time } = bench();
  const { promise: never } = Promise.withResolvers<Uint8Array>();
  async function* pipe() {
    yield new TextEncoder().encode("{}\n");
    yield await never;
  }
  const controller = new AbortController();
  const feed = new NdjsonFeed({ path: "-" }, pipe());
  const signal = controller.signal;
  const onProgress = () => queueMicrotask(() => controller.abort());
  const result = await produce({ feed, producer, rate: "max", ...time, onProgress, signal });
  assertEquals([result.records, result.complete], [1, false]);
});

Deno.test("a send that fails ends the production with its error and leaves no truth file", async () => {
  await inTempDir(async (directory) => {
    const { producer, time } = bench();
    const failing = { ...producer, send: () => Promise.reject(new SourceError("the disk is full")) };
    const run = () =>
      produce({ feed: simulated(100, `${directory}/t.json`), producer: failing, rate: "max", ...time });
    await assertRejects(run, SourceError, "the disk is full");
    assertEquals([...Deno.readDirSync(directory)], []);
  });
});
