/** A command of the command line: its flags come from tables of settings. */
import { type Argument, type Command, Option } from "commander";
import {
  resolveConfig,
  type ResolvedConfig,
  type ResolvedSettings,
  resolveSettings,
  type SettingSources,
} from "../schema/config.ts";
import { constraintOf, flagOf, formatSetting, type Setting, type SettingTable } from "../schema/setting.ts";
import { SETTINGS } from "../schema/settings.ts";
import type { CommandContext } from "./context.ts";
import { configureLogging } from "./logging.ts";

/** What a flag's value is called in help. */
const METAVARIABLES = {
  text: "text",
  path: "path",
  choice: "word",
  url: "url",
  integer: "n",
  number: "n",
  rate: "n|max",
  duration: "duration",
  size: "size",
  switch: null,
} as const;

/** One command: its own table of settings, and which of the pipeline's groups it takes flags of. */
export interface CommandSpec<T extends SettingTable> {
  readonly name: string;
  readonly summary: string;
  readonly settings: T;
  /** The prefix of its settings' variables. */
  readonly prefix: string;
  readonly groups: readonly string[] | "all";
  readonly run: (
    resolved: ResolvedConfig,
    own: ResolvedSettings<T>,
    context: CommandContext,
    argument: string,
  ) => Promise<void> | void;
}

/** The command as it is, with the types of its own settings. */
export const spec = <T extends SettingTable>(command: CommandSpec<T>) => command;

/** Adds a command with a flag for each setting of its own table and of its groups. */
export function addCommand<T extends SettingTable>(
  parent: Command,
  command: CommandSpec<T>,
  context: CommandContext,
  argument?: Argument,
): Command {
  const added = parent.command(command.name)
    .summary(command.summary)
    .description(`${command.summary[0]!.toUpperCase()}${command.summary.slice(1)}.`);
  if (argument !== undefined) added.addArgument(argument);
  const ownFlags = addOptions(added, Object.entries(command.settings), command.prefix);
  const sharedFlags = addOptions(
    added,
    Object.entries(SETTINGS).filter(([, { group }]) => takes(command, group)),
    "",
  );
  return added.action(async (...parameters: unknown[]) => {
    const sources = (flags: SettingSources["flags"]) => ({ ...context, flags });
    const resolved = resolveConfig(sources(readFlags(added, sharedFlags)));
    const own = resolveSettings(command.settings, sources(readFlags(added, ownFlags)), command.prefix);
    await configureLogging(resolved.config, context);
    await command.run(resolved, own, context, argument === undefined ? "" : String(parameters[0]));
  });
}

function takes<T extends SettingTable>({ groups }: CommandSpec<T>, group: string): boolean {
  return groups === "all" || groups.includes(group);
}

/** Adds the flags; secrets have none. Returns each setting's name with its flag's key in commander. */
function addOptions(
  command: Command,
  settings: readonly (readonly [string, Setting])[],
  prefix: string,
): ReadonlyMap<string, string> {
  const keys = new Map<string, string>();
  for (const [name, setting] of settings) {
    if (setting.secret) continue;
    const metavariable = METAVARIABLES[setting.form];
    const flag = flagOf(setting, prefix);
    const option = new Option(metavariable === null ? flag : `${flag} <${metavariable}>`, describe(setting))
      .helpGroup(setting.group);
    command.addOption(option);
    keys.set(name, option.attributeName());
  }
  return keys;
}

function describe(setting: Setting): string {
  const words = setting.form === "choice" ? `: ${constraintOf(setting).replace("one of ", "")}` : "";
  const fallback = setting.default === null || setting.form === "switch"
    ? ""
    : `, default ${formatSetting(setting, setting.default)}`;
  return `${setting.doc}${words} (${setting.env}${fallback})`;
}

function readFlags(command: Command, keys: ReadonlyMap<string, string>): SettingSources["flags"] {
  return Object.fromEntries([...keys].map(([name, key]) => [name, command.getOptionValue(key)]));
}
