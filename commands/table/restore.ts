/** `sessionary table restore`: the table's rows as they were. */
import { systemClock } from "../../actors/clock.ts";
import type { Config } from "../../schema/config.ts";
import { EXIT, UserError } from "../../schema/errors.ts";
import { openLake } from "../../sinks/lake/open.ts";
import type { CommandContext } from "../context.ts";
import { pickVersion, type VersionChoice } from "./pick_version.ts";

/**
 * Restores a version and says what came back and what went.
 *
 * @throws {UserError} where no version is named, there is none such, or its files are gone
 */
export async function restoreTable(
  config: Config,
  { json, ...choice }: VersionChoice & { readonly json: boolean },
  context: CommandContext,
): Promise<void> {
  const { lake, prepare } = await openLake(config, { now: systemClock.now, notice: context.warn });
  const version = await pickVersion(lake.past, choice);
  if (version === null) {
    throw new UserError("--version or --timestamp must say what is restored: both are missing.", EXIT.usage);
  }
  // Refuses where there is no table, before `open` would make one.
  await lake.past.describe(version);
  await prepare();
  await lake.open();
  const restored = await lake.restore(version);
  if (json) return context.print(JSON.stringify(restored, null, 1));
  if (restored.version === null) {
    return context.print(`The table's rows are those of version ${version} already.`);
  }
  if (restored.horizon !== null) {
    context.warn(`Dates before ${restored.horizon} were retired because of their age, and stay as they are.`);
  }
  const { filesBack, rowsBack, filesGone, rowsGone } = restored;
  context.print(
    `Restored version ${version} as version ${restored.version}: ${rowsBack} rows in ${filesBack} files came back, ` +
      `${rowsGone} rows in ${filesGone} files went.`,
  );
  context.warn(
    "ClickHouse follows while run or dev is up, otherwise when one starts. The events of rows that went are not read again.",
  );
}
