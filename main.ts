/** Sessionary's entry: the only place that reads the environment and ends the process. */
import { systemClock } from "./actors/clock.ts";
import { runCommandLine } from "./commands/command_line.ts";
import type { CommandContext } from "./commands/context.ts";
import { environmentVariables, LAUNCHER_VARIABLE, secretFileVariable } from "./schema/config.ts";
import { EXIT, messageOf, UserError } from "./schema/errors.ts";
import type { Setting } from "./schema/setting.ts";
import { ALL_TABLES } from "./schema/settings.ts";

/** The variables that the tables of settings name, as far as they are set. */
function readEnvironment(): Record<string, string | undefined> {
  return Object.fromEntries(environmentVariables(...ALL_TABLES).map((name) => [name, Deno.env.get(name)]));
}

/** The files that `<NAME>_FILE` names, for each secret NAME. */
function readSecretFiles(env: Readonly<Record<string, string | undefined>>): CommandContext["secretFiles"] {
  const files: Record<string, { path: string; content: string }> = {};
  const settings: Setting[] = ALL_TABLES.flatMap((table) => Object.values<Setting>(table));
  for (const setting of settings.filter(({ secret }) => secret)) {
    const variable = secretFileVariable(setting);
    const path = env[variable];
    if (!path) continue;
    try {
      files[setting.env] = { path, content: Deno.readTextFileSync(path) };
    } catch (error) {
      throw new UserError(
        `${variable} must name a file that can be read, and ${path} is not (${
          messageOf(error)
        }): mend it or unset it.`,
        EXIT.usage,
        { cause: error },
      );
    }
  }
  return files;
}

/** One Ctrl-C may arrive twice: from the terminal, and passed on by `deno task` or `npx`. */
const SAME_SIGNAL_MS = 500;

let readsKeys = false;

/** The commands that go on until they are stopped. */
const LONG_COMMANDS = new Set(["dev", "run", "produce"]);
const CTRL_C = 3;

/** Ends the process; a terminal whose keys were read as they come is given back as it was. */
function exit(code: number): never {
  if (readsKeys) Deno.stdin.setRaw(false);
  Deno.exit(code);
}

/** Aborts at the first Ctrl-C or SIGTERM; the second one ends the process at once. */
function stopSignal(command: string | undefined): AbortSignal {
  const controller = new AbortController();
  let first = 0;
  const onSignal = () => {
    const now = systemClock.monotonic();
    if (controller.signal.aborted) {
      if (now - first > SAME_SIGNAL_MS) exit(EXIT.interrupted);
      return;
    }
    first = now;
    controller.abort();
    console.error("Stopping in order; once more stops at once.");
  };
  Deno.addSignalListener("SIGINT", onSignal);
  // Windows knows no SIGTERM.
  if (Deno.build.os !== "windows") Deno.addSignalListener("SIGTERM", onSignal);
  if (LONG_COMMANDS.has(command ?? "") && mustReadKeys()) readCtrlC(onSignal).catch(() => {});
  return controller.signal;
}

/**
 * Whether Ctrl-C must be taken as a key: a terminal sends its signal to npx too, which then reports 130 however orderly
 * the stop was. Only where all streams are the terminal: a job in the background that changes its terminal is stopped,
 * and one that is put there has its output redirected.
 */
function mustReadKeys(): boolean {
  return Deno.env.get(LAUNCHER_VARIABLE) === "npx" &&
    [Deno.stdin, Deno.stdout, Deno.stderr].every((stream) => stream.isTerminal());
}

async function readCtrlC(onCtrlC: () => void): Promise<void> {
  Deno.stdin.setRaw(true);
  readsKeys = true;
  for await (const keys of Deno.stdin.readable) {
    if (keys.includes(CTRL_C)) onCtrlC();
  }
}

/** One sentence for what an operator can mend; a bug says that it is one. The stack is for LOG_LEVEL=debug. */
function report(error: unknown, debug: boolean): number {
  const known = error instanceof UserError;
  console.error(
    known
      ? error.message
      : `Internal error: ${messageOf(error)}${debug ? "" : " (LOG_LEVEL=debug shows where.)"}`,
  );
  if (debug && error instanceof Error) console.error(error.stack);
  return known ? error.exitCode : EXIT.internal;
}

async function main(args: readonly string[]): Promise<number> {
  const env = readEnvironment();
  try {
    await runCommandLine(args, {
      print: (text) => console.log(text),
      warn: (text) => console.error(text),
      isTerminal: Deno.stdout.isTerminal() && Deno.stderr.isTerminal(),
      clock: systemClock,
      stop: stopSignal(args[0]),
      env,
      secretFiles: readSecretFiles(env),
      pid: Deno.pid,
    });
    return EXIT.ok;
  } catch (error) {
    return report(error, env.LOG_LEVEL === "debug" || /--log-level[= ]debug\b/.test(args.join(" ")));
  }
}

exit(await main(Deno.args));
