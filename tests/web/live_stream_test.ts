import { assert, assertEquals } from "@std/assert";
import { BACKOFF_MAX_MS } from "../../actors/retry.ts";
import { ANSWER_WAIT_MS, PROBE_INTERVAL_MS } from "../../actors/sink_probe.ts";
import { LiveStream, LOOK_INTERVAL_MS, VIEWERS_MAX } from "../../web/live_stream.ts";
import { FakeClock, turns } from "../support/fake_clock.ts";

class World {
  readonly clock = new FakeClock(0);
  made = 0;
  urgent = "up";
  readonly live = new LiveStream({
    status: () => `{"n":${++this.made}}`,
    urgent: () => this.urgent,
    sleep: (ms, signal) => this.clock.sleep(ms, signal),
  });

  async pass(ms: number): Promise<void> {
    for (let waited = 0; waited < ms; waited += 250) await this.clock.advance(250);
  }
}

/** The events that a stream has ready, as numbers. */
async function read(reader: ReadableStreamDefaultReader<Uint8Array>, count: number): Promise<number[]> {
  const numbers: number[] = [];
  while (numbers.length < count) {
    const { value } = await reader.read();
    const text = new TextDecoder().decode(value);
    numbers.push(...[...text.matchAll(/^event: status\ndata: \{"n":(\d+)\}\n$/gm)].map(([, n]) => Number(n)));
  }
  return numbers;
}

Deno.test("A viewer gets a status at once and then every second; two get the same one, made once", async () => {
  const world = new World();
  const [a, b] = [world.live.open()!.getReader(), world.live.open()!.getReader()];
  assertEquals([await read(a, 1), await read(b, 1)], [[1], [2]]);
  await world.pass(1_000);
  assertEquals([await read(a, 1), await read(b, 1)], [[3], [3]]);
  await a.cancel();
  await b.cancel();
});

Deno.test("What is urgent does not wait for its second", async () => {
  const world = new World();
  const viewer = world.live.open()!.getReader();
  await read(viewer, 1);
  world.urgent = "down";
  await world.pass(250);
  assertEquals(await read(viewer, 1), [2]);
  await viewer.cancel();
});

Deno.test("Without viewers nothing is made, and one that does not read holds nothing up", async () => {
  const world = new World();
  await world.pass(3_000);
  assertEquals(world.made, 0);
  const viewer = world.live.open()!.getReader();
  await world.pass(60_000);
  assertEquals((await read(viewer, 2)).length, 2);
  await world.pass(1_000);
  const newest = world.made;
  assertEquals(await read(viewer, 1), [newest]);
  await viewer.cancel();
  await turns();
  await world.pass(3_000);
  assertEquals(world.made, newest);
});

Deno.test("There are only so many viewers, and none after the end", async () => {
  const world = new World();
  const streams = Array.from({ length: VIEWERS_MAX }, () => world.live.open()!);
  assertEquals(world.live.open(), null);
  await streams[0]!.cancel();
  assertEquals(world.live.viewers, VIEWERS_MAX - 1);
  world.live.close();
  assertEquals([world.live.viewers, world.live.open()], [0, null]);
  const reader = streams[1]!.getReader();
  await reader.read(); // The first status was ready before.
  assertEquals((await reader.read()).done, true);
});

Deno.test("The waits from a sink's fall, or its return, to the page add up to less than five seconds", () => {
  // The coordinator reports at once when a sink turns.
  assert(PROBE_INTERVAL_MS + ANSWER_WAIT_MS + LOOK_INTERVAL_MS < 5_000);
  assert(BACKOFF_MAX_MS + LOOK_INTERVAL_MS < 5_000);
});
