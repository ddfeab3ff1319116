/** The lake that the configuration names: a folder, for now the only one. */
import { type Config, dataPaths } from "../../schema/config.ts";
import { CheckpointStore } from "../checkpoint_store.ts";
import { FolderStore } from "./folder_store.ts";
import { type DeltaLake, openDeltaLake } from "./lake.ts";

export interface LakeDeps {
  /** Wall clock, epoch milliseconds. */
  readonly now: () => number;
  /** Told of what went wrong and costs nothing but speed. */
  readonly notice: (text: string) => void;
}

/** The Delta table with its dead letters, and the checkpoints beside them. Nothing is read or written yet. */
export function openLake(
  config: Config,
  { now, notice }: LakeDeps,
): { readonly lake: DeltaLake; readonly checkpoints: CheckpointStore } {
  const uuid = () => crypto.randomUUID();
  const store = new FolderStore({ root: dataPaths(config.dataDir).lake, uuid });
  const { pipeline, topic } = config;
  return {
    lake: openDeltaLake({ store, pipeline, topic, now, uuid, onWarning: notice }),
    checkpoints: new CheckpointStore({ store, pipeline, topic, notice }),
  };
}
