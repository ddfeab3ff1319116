/** A person who restores the table to an old version while the processes go on, over the same network. */
import { SinkError, UserError } from "../../schema/errors.ts";
import { openDeltaLake } from "../../sinks/lake/lake.ts";
import type { Random } from "../../sources/random.ts";
import type { Party } from "./scheduler.ts";
import type { World } from "./simulation.ts";
import { RemoteStore } from "./stores.ts";

/** One run of `table restore`: it may fail, die, or not know whether it has restored. What came of it is in the log. */
export class Restorer implements Party {
  alive = true;
  pausedUntil = 0;

  constructor(private readonly world: World, private readonly random: Random, readonly name: string) {}

  kill(): void {
    this.alive = false;
  }

  fail(error: unknown): void {
    throw error;
  }

  async run(): Promise<void> {
    const { bucket, network, trace, scheduler } = this.world;
    const lake = openDeltaLake({
      store: new RemoteStore(bucket, network, this, "lake"),
      pipeline: "sessionary",
      topic: "web_clicks",
      now: () => scheduler.now,
      uuid: () => this.random.uuid(),
      onWarning: () => {},
    });
    try {
      const { version } = await lake.open();
      const restored = await lake.restore(this.random.below(version + 1));
      trace(() => `${this.name} has restored: ${JSON.stringify(restored)}`);
    } catch (error) {
      // A request that was not answered.
      if (!(error instanceof SinkError && error.retryable) && !(error instanceof UserError)) throw error;
      trace(() => `${this.name} has failed: ${error.message}`);
    } finally {
      this.alive = false;
    }
  }
}
