/** Where in the Delta log a partition's newest barrier is: what its checkpoint says of itself. */
import type { Config } from "../schema/config.ts";
import { type PartitionBarrier, SEMANTICS_VERSION } from "../schema/epoch.ts";
import type { CheckpointHeader } from "../sinks/checkpoint_store.ts";
import type { Snapshot } from "./epoch_state.ts";

/** A snapshot with a version that holds its barrier, and no later one of its partition. */
export interface PlacedSnapshot extends Snapshot {
  readonly deltaVersion: number;
}

/**
 * The newest barriers that this instance knows to be in the log. A restart reads the log from a checkpoint's version on.
 * Were that merely the newest version at hand, a barrier that another instance committed in between would be hidden from
 * every restart for ever.
 */
export class LogPlaces {
  readonly #places = new Map<number, { readonly number: number; readonly version: number }>();

  /** `version` holds these barriers, and no later ones of their partitions. */
  note(barriers: readonly PartitionBarrier[], version: number): void {
    for (const { partition, number } of barriers) this.#places.set(partition, { number, version });
  }

  /** The snapshots that a checkpoint can be written of: those of partitions that nobody has moved on since. */
  place(snapshots: readonly Snapshot[]): PlacedSnapshot[] {
    return snapshots.flatMap((snapshot) => {
      const place = this.#places.get(snapshot.barrier.partition);
      return place?.number === snapshot.barrier.number ? [{ ...snapshot, deltaVersion: place.version }] : [];
    });
  }
}

/** What a checkpoint says of itself. */
export function checkpointHeader(
  { barrier, ledger, latestEventTime, deltaVersion }: PlacedSnapshot,
  { pipeline, topic }: Pick<Config, "pipeline" | "topic">,
): CheckpointHeader {
  return {
    semanticsVersion: SEMANTICS_VERSION,
    pipeline,
    topic,
    barrier,
    ledger,
    latestEventTime,
    deltaVersion,
  };
}
