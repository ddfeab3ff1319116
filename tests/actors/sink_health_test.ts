import { assert, assertEquals } from "@std/assert";
import { SinkHealth } from "../../actors/sink_health.ts";
import { ANSWER_WAIT_MS, PROBE_INTERVAL_MS, probeSink } from "../../actors/sink_probe.ts";
import { STATS_INTERVAL_MS } from "../../actors/stats_report.ts";
import { SinkError } from "../../schema/errors.ts";
import { FakeClock, turns } from "../support/fake_clock.ts";

Deno.test("a sink is down while any operation on it fails, since the first one failed", () => {
  let now = 10;
  const health = new SinkHealth(() => now);
  assertEquals(health.state, { down: null, sinceMs: 10 });
  now = 20;
  health.failed("the upload", "Disk full.");
  now = 30;
  health.failed("the commit", "Disk still full.");
  health.failed("the upload", "Disk full, tried again.");
  assertEquals(health.state, { down: "Disk full, tried again.", sinceMs: 20 });
  now = 40;
  health.ended("the upload");
  assertEquals(health.state, { down: "Disk still full.", sinceMs: 20 });
  now = 50;
  health.ended("the commit");
  assertEquals(health.state, { down: null, sinceMs: 50 });
});

Deno.test("an operation that ends without having failed changes nothing", () => {
  let now = 1;
  const health = new SinkHealth(() => now);
  now = 2;
  health.ended("the upload");
  assertEquals(health.state, { down: null, sinceMs: 1 });
});

/** A sink that a probe asks; each `ping` waits in `pending`. */
class ProbedSink {
  readonly clock = new FakeClock(0);
  readonly health = new SinkHealth(() => this.clock.time);
  readonly pending: PromiseWithResolvers<void>[] = [];
  readonly #stop = new AbortController();
  readonly #running = probeSink({
    ping: () => {
      const asked = Promise.withResolvers<void>();
      this.pending.push(asked);
      return asked.promise;
    },
    health: this.health,
    clock: this.clock,
    signal: this.#stop.signal,
  });

  async stop(): Promise<void> {
    this.#stop.abort();
    for (const { resolve } of this.pending) resolve();
    await this.#running;
  }
}

Deno.test("a sink that stops answering, by silence or by an error, is down within five seconds", async () => {
  assert(PROBE_INTERVAL_MS + ANSWER_WAIT_MS + STATS_INTERVAL_MS < 5_000);
  const sink = new ProbedSink();
  await sink.clock.advance(PROBE_INTERVAL_MS);
  sink.pending[0]!.resolve();
  await turns();
  assertEquals(sink.health.state.down, null);
  await sink.clock.advance(PROBE_INTERVAL_MS);
  await sink.clock.advance(ANSWER_WAIT_MS);
  assertEquals(sink.health.state, { down: "It has not answered for 2 s.", sinceMs: 4_000 });
  sink.pending[1]!.reject(new SinkError("Connection refused.", true));
  await turns();
  assertEquals(sink.health.state, { down: "Connection refused.", sinceMs: 4_000 });
  await sink.clock.advance(PROBE_INTERVAL_MS);
  sink.pending[2]!.resolve();
  await turns();
  assertEquals(sink.health.state, { down: null, sinceMs: 5_000 });
  await sink.stop();
});

Deno.test("whoever must know at once is told when a sink falls and when it is back, and not in between", () => {
  const told: (string | null)[] = [];
  const health: SinkHealth = new SinkHealth(() => 0, () => told.push(health.state.down));
  health.ended("an insert");
  health.failed("an insert", "Refused.");
  health.failed("an insert", "Silent.");
  health.ended("an insert");
  assertEquals(told, ["Refused.", null]);
});

Deno.test("a sink that hangs is not asked again before it has answered", async () => {
  const sink = new ProbedSink();
  for (let i = 0; i < 10; i++) await sink.clock.advance(PROBE_INTERVAL_MS);
  assertEquals(sink.pending.length, 1);
  await sink.stop();
});

Deno.test("a failing operation keeps a sink down though its probe succeeds", async () => {
  const sink = new ProbedSink();
  sink.health.failed("the upload", "Disk full.");
  await sink.clock.advance(PROBE_INTERVAL_MS);
  sink.pending[0]!.resolve();
  await turns();
  assertEquals(sink.health.state.down, "Disk full.");
  await sink.stop();
});
