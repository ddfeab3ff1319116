/** The embedded log keeps the contracts of sources and producers. */
import { openEmbeddedLog } from "../../sources/embedded_log.ts";
import { producerContract } from "./producer_contract.ts";
import { PARTITIONS, sourceContract, type SourceWorld } from "./source_contract.ts";

async function embeddedWorld(): Promise<SourceWorld> {
  const folder = await Deno.makeTempDir();
  // Each append has a time of its own, so that retention can be asked to keep from any of them on.
  let clock = 1_700_000_000_000;
  const log = openEmbeddedLog({
    path: `${folder}/events.db`,
    now: () => clock += 1_000,
    sleep: (ms) => new Promise((resolve) => setTimeout(resolve, Math.min(ms, 1))),
  });
  const source = log.source("clicks", { partitions: PARTITIONS });
  return {
    source,
    producer: log.producer("clicks"),
    async removeBefore(partition, offset) {
      const kept = await source.recordAt(partition, offset);
      log.retain("clicks", { ageMs: clock + 1_000 - kept!.timestamps[0]! });
    },
    async [Symbol.asyncDispose]() {
      log.close();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

sourceContract("the embedded log", embeddedWorld);
producerContract("the embedded log", embeddedWorld);
