/** Two instances of the program on real services: one goes and comes back, one is held up while the other goes on. */
import { assert, assertEquals } from "@std/assert";
import { withTempDir } from "../support/command_context.ts";
import type { Instance } from "./crash/instance.ts";
import { PARTITIONS, World } from "./crash/world.ts";
import { HttpFaultProxy } from "./harness/fault_proxy.ts";
import { type PipelineEnv, Stack } from "./harness/stack.ts";

const DISORDER = { late: 5, duplicates: 5, outOfOrder: 5 };
/** Longer than the group waits for a member (10 s), and shorter than the program waits for S3. */
const HELD_MS = 18_000;

/** Two instances that have begun; at the end everything must be there once. */
async function withTwo(
  seed: number,
  overrides: (stack: Stack) => readonly PipelineEnv[],
  work: (world: World, instances: readonly [Instance, Instance]) => Promise<void>,
): Promise<void> {
  await withTempDir(async (folder) => {
    await using stack = await Stack.start();
    const options = { instances: 2, seed, rate: 200, open: 100, disorder: DISORDER };
    await using world = await World.start(stack, folder, options, overrides(stack));
    const [first, second] = world.instances as unknown as readonly [Instance, Instance];
    for (const instance of [first, second]) instance.start([], {});
    await world.begun();
    await shared(world);
    await work(world, [first, second]);
    assertEquals((await world.finish()).problems, []);
  });
}

/** Waits until both have half of the partitions. */
async function shared(world: World): Promise<void> {
  await world.until("both instances to have half of the partitions", async () => {
    const held = await Promise.all(world.instances.map((instance) => instance.partitions()));
    return held.every(({ length }) => length === PARTITIONS / 2) && new Set(held.flat()).size === PARTITIONS;
  });
}

/** Waits until it has landed so many more events. */
async function landsMore(world: World, instance: Instance, events = 500): Promise<void> {
  const target = instance.events + events;
  await world.until(`instance ${instance.name} to land events`, () => instance.events >= target);
}

Deno.test("an instance that stops in order hands its partitions over, and takes its share again when it is back", () =>
  withTwo(21, () => [], async (world, [first, second]) => {
    await second.drain();
    await world.until("the first to have all", async () => (await first.partitions()).length === PARTITIONS);
    await landsMore(world, first);
    const restored = first.counts.taken;
    second.start([], {});
    await shared(world);
    await landsMore(world, second);
    await landsMore(world, first);
    // What it kept it has not restored again.
    assertEquals(first.counts.taken, restored);
  }));

Deno.test("an instance that is held up in a commit while the other takes its partitions over is fenced, and goes on", async () => {
  let proxy: HttpFaultProxy | null = null;
  const behindProxy = (stack: Stack) => {
    proxy = new HttpFaultProxy({ hostname: "127.0.0.1", port: stack.minio.port });
    return [{ S3_ENDPOINT: proxy.url }];
  };
  try {
    await withTwo(22, behindProxy, async (world, [held, other]) => {
      let arrived = false;
      const isCommit = ({ method, path }: { method: string; path: string }) => {
        const matches = method === "PUT" && /_delta_log\/\d{20}\.json/.test(decodeURIComponent(path));
        arrived ||= matches;
        return matches;
      };
      const handled = proxy!.once(isCommit, { type: "delay", ms: HELD_MS });
      await world.until("a commit on its way", () => arrived);
      held.signal("SIGSTOP");
      await world.until(
        "the other to have all",
        async () => (await other.partitions()).length === PARTITIONS,
      );
      await landsMore(world, other);
      await handled;
      held.signal("SIGCONT");
      await world.until("the fence", () => held.counts.fenced > 0);
      await shared(world);
      await landsMore(world, held);
      assertEquals(held.lives.length, 1);
      assert(held.isRunning);
    });
  } finally {
    await (proxy as HttpFaultProxy | null)?.[Symbol.asyncDispose]();
  }
});
