/** The settings of the Delta table's upkeep. */
import { duration, type SettingTable, size } from "./setting.ts";

export const UPKEEP_HEADING = "Table upkeep:";

/** How often and how the table is looked after. */
export const UPKEEP_SETTINGS = {
  optimizeIntervalMs: duration(
    {
      env: "OPTIMIZE_INTERVAL",
      group: UPKEEP_HEADING,
      doc: "time between two looks for small files to pack; 0: never",
    },
    "10m",
    "0ms",
    "7d",
  ),
  optimizeTargetBytes: size(
    { env: "OPTIMIZE_TARGET_SIZE", group: UPKEEP_HEADING, doc: "size of a packed file, about" },
    "64MiB",
    "1MiB",
    "1GiB",
  ),
  vacuumIntervalMs: duration(
    {
      env: "VACUUM_INTERVAL",
      group: UPKEEP_HEADING,
      doc: "time between two deletions of files that left the table; 0: never",
    },
    "1d",
    "0ms",
    "30d",
  ),
  vacuumRetentionMs: duration(
    {
      env: "VACUUM_RETENTION",
      group: UPKEEP_HEADING,
      doc: "how long such files are kept, for readers of older versions",
    },
    "7d",
    "7d",
    "3650d",
  ),
} as const satisfies SettingTable;
