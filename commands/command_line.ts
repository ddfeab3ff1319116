/** The command line: its commands and flags, all from the tables of settings. */
import { Argument, Command, CommanderError } from "commander";
import { EXIT, UserError } from "../schema/errors.ts";
import { PRODUCE_SETTINGS } from "../schema/produce_settings.ts";
import {
  CONFIG_SETTINGS,
  DEV_SETTINGS,
  GROUPS,
  QUERY_SETTINGS,
  RUN_SETTINGS,
  VERIFY_SETTINGS,
} from "../schema/settings.ts";
import { VERSION } from "../schema/version.ts";
import { addCommand, spec } from "./command_spec.ts";
import type { CommandContext } from "./context.ts";
import type { SchemaName } from "./schema.ts";
import { ERASE_SETTINGS } from "../schema/erase_settings.ts";
import { addTableCommands } from "./table.ts";

const DOCUMENTATION = `
Settings come from flags, then environment variables, then defaults; \`sessionary config\` shows them all.

Examples:
  $ sessionary dev                                     simulated readers, pipeline and queries in one process
  $ sessionary query brand_analytics                   from a second terminal
  $ sessionary produce --events 200000 --seed 7        fill the event log
  $ sessionary run --until-end --close-open            sessions of all that is in the log, then stop
  $ sessionary produce --access-log access.log.gz      replay a web server's log
  $ sessionary table history                           what each commit of the Delta table did
  $ sessionary schema event > event.schema.json        the contract that producers keep

Exit codes: 0 stopped in order; 1 internal error, or verify found a difference; 2 wrong option or setting; 3 event log; 4 lake or warehouse;
5 data directory in use; 130 stopped at once by a second Ctrl-C.`;

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

const erase = spec({
  name: "erase",
  summary: "take a reader or a session out of all that Sessionary keeps, and say what still holds them",
  settings: ERASE_SETTINGS,
  prefix: "ERASE_",
  groups: [GROUPS.data, GROUPS.objectStore, GROUPS.service],
  run: async ({ config }, { values }, context) =>
    (await import("./erase.ts")).eraseData(config, values, context),
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
    // `table show --version N` is the subcommand's own option.
    .enablePositionalOptions()
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
  addCommand(program, erase, context);
  addTableCommands(program, context);
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
