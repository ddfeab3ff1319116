/** `sessionary run`: the pipeline alone. */
import { startPipeline } from "../actors/supervisor.ts";
import type { ResolvedConfig } from "../schema/config.ts";
import { UserError } from "../schema/errors.ts";
import type { SettingValues } from "../schema/setting.ts";
import type { RUN_SETTINGS } from "../schema/settings.ts";
import { eventLogLocation } from "../sources/open.ts";
import type { CommandContext } from "./context.ts";
import { runningViews } from "./running_views.ts";
import { runService } from "./service.ts";

/**
 * Runs the pipeline until it is stopped or, with `untilEnd`, past the log's present end.
 *
 * @throws the error that stopped it
 */
export async function run(
  resolved: ResolvedConfig,
  mode: SettingValues<typeof RUN_SETTINGS>,
  context: CommandContext,
): Promise<void> {
  if (mode.closeOpen && !mode.untilEnd) {
    throw new UserError(
      "--close-open must come with --until-end: a pipeline that goes on would close sessions that go on too. " +
        "Add --until-end, or leave --close-open out.",
    );
  }
  const { config } = resolved;
  await runService({
    resolved,
    mode,
    source: eventLogLocation(config),
    startPipeline,
    ...runningViews(config),
  }, context);
}
