import { assert, assertEquals, assertRejects } from "@std/assert";
import { retrying } from "../../actors/retry.ts";
import { SinkError, SourceError } from "../../schema/errors.ts";
import { FakeClock, turns } from "../support/fake_clock.ts";

const busy = () => new SinkError("The lake is busy.", true);

/** Runs an attempt that fails `failures` times, the clock moving as far as each pause asks for. */
async function run(failures: number, clock = new FakeClock()) {
  const notices: string[] = [];
  let tries = 0;
  const attempt = () => tries++ < failures ? Promise.reject(busy()) : Promise.resolve("done");
  const result = retrying(attempt, { clock, what: "The upload", notice: (text) => notices.push(text) });
  await turns();
  while (tries <= failures) await clock.advance(clock.sleeps.at(-1)!);
  return { result: await result, notices, sleeps: clock.sleeps, tries };
}

Deno.test("what works at once is tried once, without a word", async () => {
  assertEquals(await run(0), { result: "done", notices: [], sleeps: [], tries: 1 });
});

Deno.test("a retryable failure is tried again until it works, and told twice: at first and at last", async () => {
  const { result, notices, tries } = await run(3);
  assertEquals([result, tries], ["done", 4]);
  assertEquals(notices, [
    "The upload failed and is tried again: The lake is busy.",
    "The upload succeeded after 4 tries.",
  ]);
});

Deno.test("pauses double from 100 ms to 2.5 s, jittered down to a half", async () => {
  const ceilings = [100, 200, 400, 800, 1600, 2500, 2500, 2500, 2500, 2500];
  assertEquals((await run(10, new FakeClock(0, () => 0))).sleeps, ceilings.map((ms) => ms / 2));
  const longest = (await run(10, new FakeClock(0, () => 0.999_999))).sleeps;
  longest.forEach((ms, i) => assert(ms > ceilings[i]! * 0.999 && ms <= ceilings[i]!));
});

/** Sleeping takes no time. */
class RestlessClock extends FakeClock {
  override sleep(ms: number): Promise<void> {
    this.sleeps.push(ms);
    return Promise.resolve();
  }
}

Deno.test("no pause grows beyond 2.5 s, however long the outage", async () => {
  const clock = new RestlessClock(0, () => 0);
  let tries = 0;
  const attempt = () => tries++ < 1100 ? Promise.reject(busy()) : Promise.resolve(tries);
  assertEquals(await retrying(attempt, { clock, what: "The upload", notice: () => {} }), 1101);
  assertEquals(Math.max(...clock.sleeps), 1250);
});

for (
  const error of [new SinkError("Disk full.", false), new SourceError("Gone."), new Error("bug")]
) {
  Deno.test(`${error.name} '${error.message}' is not tried again`, async () => {
    const clock = new FakeClock();
    const notices: string[] = [];
    const attempt = () => Promise.reject(error);
    const thrown = await assertRejects(() =>
      retrying(attempt, { clock, what: "The upload", notice: (text) => notices.push(text) })
    );
    assertEquals([thrown, notices, clock.sleeps], [error, [], []]);
  });
}

Deno.test("when it is stopped it gives up with the last error, out of its pause and without another try", async () => {
  const clock = new FakeClock();
  const stop = new AbortController();
  let tries = 0;
  const attempt = () => Promise.reject(new SinkError(`Failure ${++tries}.`, true));
  const result = retrying(attempt, { clock, what: "The insert", notice: () => {}, signal: stop.signal });
  const rejected = assertRejects(() => result, SinkError, "Failure 2.");
  await turns();
  await clock.advance(100);
  assertEquals(tries, 2);
  stop.abort();
  await rejected;
  assertEquals(tries, 2);
});
