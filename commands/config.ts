/** `sessionary config`: the effective settings, and where each came from. */
import { describeConfig, type ResolvedConfig } from "../schema/config.ts";
import type { CommandContext } from "./context.ts";
import { formatTable } from "./terminal.ts";

/** Prints the pipeline's settings, secrets masked, as a table or as JSON. */
export function showConfig(resolved: ResolvedConfig, json: boolean, context: CommandContext): void {
  const settings = describeConfig(resolved);
  if (json) return context.print(JSON.stringify(settings, null, 2));
  const rows = settings.map(({ variable, value, origin, doc }) => [variable, value, origin, doc]);
  context.print(formatTable({ columns: ["variable", "value", "from", "meaning"], rows }));
}
