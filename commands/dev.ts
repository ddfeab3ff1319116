/** `sessionary dev`: simulated readers, the pipeline and the web server in one process. */
import { startPipeline } from "../actors/supervisor.ts";
import type { ResolvedConfig, ResolvedSettings } from "../schema/config.ts";
import type { DEV_SETTINGS } from "../schema/settings.ts";
import { openProducer } from "../sources/open.ts";
import { produce } from "../sources/produce.ts";
import { SimulatedFeed } from "../sources/simulated_feed.ts";
import type { CommandContext } from "./context.ts";
import { liveSimulator, randomSeed } from "./produce.ts";
import { runningViews } from "./running_views.ts";
import { runService } from "./service.ts";

/**
 * Runs until it is stopped: first the readers, then, when all that they sent is committed, the pipeline.
 *
 * @throws the error that stopped it
 */
export async function dev(
  resolved: ResolvedConfig,
  { values }: ResolvedSettings<typeof DEV_SETTINGS>,
  context: CommandContext,
): Promise<void> {
  const { config } = resolved;
  const { rate, seed } = values;
  await runService({
    resolved,
    mode: { untilEnd: false, closeOpen: false },
    source: `simulated readers, ${rate} events/s`,
    feed: async (stop) => {
      const producer = await openProducer(config, context.clock, context.warn);
      try {
        await produce({
          feed: new SimulatedFeed(liveSimulator(seed ?? randomSeed(context), rate, context)),
          producer,
          rate,
          now: () => context.clock.monotonic(),
          sleep: (ms, signal) => context.clock.sleep(ms, signal),
          signal: stop,
        });
      } finally {
        await producer.close();
      }
    },
    startPipeline,
    ...runningViews(config),
  }, context);
}
