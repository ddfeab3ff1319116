/** The command line: its commands and flags, all from the tables of settings. */
import { Argument, Command, CommanderError, Option } from "commander";
import {
  resolveConfig,
  type ResolvedConfig,
  type ResolvedSettings,
  resolveSettings,
  type SettingSources,
} from "../schema/config.ts";
import { EXIT, UserError } from "../schema/errors.ts";
import { constraintOf, flagOf, formatSetting, type Setting, type SettingTable } from "../schema/setting.ts";
import { PRODUCE_SETTINGS } from "../schema/produce_settings.ts";
import {
  CONFIG_SETTINGS,
  DEV_SETTINGS,
  GROUPS,
  QUERY_SETTINGS,
  RUN_SETTINGS,
  SETTINGS,
  VERIFY_SETTINGS,
} from "../schema/settings.ts";
import { VERSION } from "../schema/version.ts";
import type { CommandContext } from "./context.ts";
import { configureLogging } from "./logging.ts";
import type { SchemaName } from "./schema.ts";

const DOCUMENTATION = `
Settings come from flags, then environment variables, then defaults; \`sessionary config\` shows them all.

Examples:
  $ sessionary dev                                     simulated readers, pipeline and queries in one process
  $ sessionary query brand_analytics                   from a second terminal
  $ sessionary produce --events 200000 --seed 7        fill the event log
  $ sessionary run --until-end --close-open            sessions of all that is in the log, then stop
  $ sessionary produce --access-log access.log.gz      replay a web server's log
  $ sessionary schema event > event.schema.json        the contract that producers keep

Exit codes: 0 stopped in order; 1 internal error, or verify found a difference; 2 wrong option or setting; 3 event log; 4 lake or warehouse;
5 data directory in use; 130 stopped at once by a second Ctrl-C.`;

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
interface CommandSpec<T extends SettingTable> {
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

/** The names that `query` takes; which they are is the warehouse's business, and a test compares. */
export const QUERY_NAMES: readonly string[] = [
  "brand_analytics",
  "device_analytics",
  "geographic_analytics",
  "subscription_analytics",
  "page_analytics",
  "session_summary",
  "sessions",
  "dead-letters",
];

const spec = <T extends SettingTable>(command: CommandSpec<T>) => command;

// Each command loads its own modules only: `schema` needs no ClickHouse, `produce` no workers.
const dev = spec({
  name: "dev",
  summary: "simulated readers, the pipeline and the web server in one process",
  settings: DEV_SETTINGS,
  prefix: "DEV_",
  groups: "all",
  run: async (resolved, own, context) => (await import("./dev.ts")).dev(resolved, own, context),
});

const run = spec({
  name: "run",
  summary: "the pipeline alone, over what is produced into the event log",
  settings: RUN_SETTINGS,
  prefix: "RUN_",
  groups: "all",
  run: async (resolved, { values }, context) => (await import("./run.ts")).run(resolved, values, context),
});

const produce = spec({
  name: "produce",
  summary: "write events into the event log: simulated readers, a file of events, or an access log",
  settings: PRODUCE_SETTINGS,
  prefix: "PRODUCE_",
  groups: [GROUPS.data, GROUPS.kafka, GROUPS.service],
  run: async (resolved, own, context) => (await import("./produce.ts")).produce(resolved, own, context),
});

const query = spec({
  name: "query",
  summary: "one of the named queries; also while dev or run is up",
  settings: QUERY_SETTINGS,
  prefix: "QUERY_",
  groups: [GROUPS.data, GROUPS.objectStore, GROUPS.clickhouse, GROUPS.service],
  run: async ({ config }, { values: settings }, context, name) => {
    const { openQueryService } = await import("./open_query_service.ts");
    const { query } = await import("./query.ts");
    await query({ name, config, settings, openQueryService }, context);
  },
});

const verify = spec({
  name: "verify",
  summary:
    "prove that Delta, ClickHouse, its six analytics and the ledger agree; --repair rebuilds ClickHouse",
  settings: VERIFY_SETTINGS,
  prefix: "VERIFY_",
  groups: [GROUPS.data, GROUPS.objectStore, GROUPS.clickhouse, GROUPS.service],
  run: async ({ config }, { values }, context) =>
    (await import("./verify.ts")).verifyData(config, values, context),
});

const config = spec({
  name: "config",
  summary: "the effective settings and where each came from; secrets are masked",
  settings: CONFIG_SETTINGS,
  prefix: "CONFIG_",
  groups: "all",
  run: async (resolved, { values: { json } }, context) =>
    (await import("./config.ts")).showConfig(resolved, json, context),
});

/**
 * Parses the arguments and runs the command that they name. `--help` and `--version` print and return.
 *
 * @throws {UserError} for wrong arguments or settings, and whatever the command throws
 */
export async function runCommandLine(args: readonly string[], context: CommandContext): Promise<void> {
  const program = new Command("sessionary")
    .description("Turns the click events of news sites into sessions: in a Delta table and in ClickHouse.")
    .version(VERSION, "-V, --version", "print the version")
    .helpOption("-h, --help", "print help")
    .helpCommand("help [command]", "print help for a command")
    .addHelpText("after", DOCUMENTATION)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.print(text.trimEnd()),
      // Errors are thrown, and printed by whoever called; what is left is help that nobody asked for.
      writeErr: (text) => context.warn(text.trimEnd()),
      outputError: () => {},
    });
  addCommand(program, dev, context);
  addCommand(program, produce, context)
    .usage(
      "[options]\n       sessionary produce --ndjson FILE [--key-separator TEXT]\n" +
        "       sessionary produce --access-log FILE [--session-key host|host+agent]",
    );
  addCommand(program, run, context);
  addCommand(program, query, context, new Argument("<name>", "which query").choices(QUERY_NAMES));
  addCommand(program, verify, context);
  addSchemaCommand(program, context);
  addCommand(program, config, context);
  try {
    await program.parseAsync([...args], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return;
    throw usageError(error);
  }
}

/** Commander's message as a sentence; bare `sessionary` has printed the help, and has nothing to add. */
function usageError(error: CommanderError): UserError {
  if (error.code === "commander.help") return new UserError("A command is needed: see above.", EXIT.usage);
  const message = error.message.replace(/^error: /, "").replaceAll("\n", " ").replace(/\.$/, "");
  return new UserError(
    `${message[0]?.toUpperCase()}${message.slice(1)}; \`--help\` shows what there is.`,
    EXIT.usage,
  );
}

function addSchemaCommand(program: Command, context: CommandContext): void {
  program.command("schema")
    .summary("print a contract: events (JSON Schema), the Delta table, or ClickHouse's tables")
    .description("Prints a contract: events (JSON Schema), the Delta table, or ClickHouse's tables.")
    .addArgument(new Argument("<what>").choices(["event", "delta", "clickhouse"] satisfies SchemaName[]))
    .action(async (what: SchemaName) => {
      const { showSchema } = await import("./schema.ts");
      showSchema(what, context);
    });
}

/** Adds a command with a flag for each setting of its own table and of its groups. */
function addCommand<T extends SettingTable>(
  program: Command,
  command: CommandSpec<T>,
  context: CommandContext,
  argument?: Argument,
): Command {
  const added = program.command(command.name)
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
