/** Where log records go: standard error, because standard output belongs to the command. */
import { configure, getAnsiColorFormatter, getTextFormatter, jsonLinesFormatter } from "@logtape/logtape";
import type { Config } from "../schema/config.ts";
import type { CommandContext } from "./context.ts";

/** Configures the loggers of category `sessionary`, once a process. */
export async function configureLogging(
  { logLevel, logFormat }: Pick<Config, "logLevel" | "logFormat">,
  context: Pick<CommandContext, "warn" | "isTerminal">,
): Promise<void> {
  const format = logFormat === "json"
    ? jsonLinesFormatter
    : context.isTerminal
    ? getAnsiColorFormatter({ timestamp: "time" })
    : getTextFormatter();
  await configure({
    sinks: { stderr: (record) => context.warn(format(record).trimEnd()) },
    loggers: [
      { category: "sessionary", lowestLevel: logLevel, sinks: ["stderr"] },
      { category: ["logtape", "meta"], lowestLevel: "warning", sinks: ["stderr"] },
    ],
    reset: true,
  });
}
