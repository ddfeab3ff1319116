/** A copy of the program in which something is different: another version of it, beside this one in one process. */
import { type Edit } from "../sim/mutations.ts";
import { copyFiles, type Program as Copy } from "../sim/program.ts";

/** A copy, to import from or to run. */
export interface Program extends Copy {
  /** Runs its command line in a process of its own; returns what it printed. Throws where it fails. */
  run(env: Readonly<Record<string, string>>, ...args: readonly string[]): Promise<string>;
}

const ROOT = new URL("../../", import.meta.url);
const FOLDERS = [
  "actors",
  "commands",
  "schema",
  "sinks",
  "sources",
  "web",
  "tests/sinks",
  "tests/support",
  "tests/sim",
];
const FILES = ["deno.json", "main.ts"];

/**
 * Copies the program with edits.
 *
 * @throws where an edit does not fit
 */
export async function copyProgramWith(edits: readonly Edit[]): Promise<Program> {
  const copy = await copyFiles({ prefix: "sessionary-copy-", files: FILES, folders: FOLDERS, edits });
  return {
    ...copy,
    async run(env, ...args) {
      // Not type-checked: a copy is the program but for its edits, and each would be checked anew.
      const flags = ["-q", "--no-prompt", "--no-check", "--config", "deno.json", "-P=sessionary"];
      const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", ...flags, `${copy.root}main.ts`, ...args],
        cwd: ROOT,
        env,
      }).output();
      const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).trimEnd();
      if (code !== 0) throw new Error(`${args.join(" ")} ended with ${code}: ${text(stderr)}${text(stdout)}`);
      return text(stdout);
    },
  };
}

/** A later version of the program, with columns of each sort at the end of its table. Run it with SESSIONIZER=plain. */
export async function laterVersion(): Promise<Program> {
  const last =
    '  column("last_offset", "int64", "UInt64", (_, f) => f.lastOffset, "Highest offset of its events."),\n';
  return await copyProgramWith([
    { file: "schema/session.ts", find: last, replace: `${last}${LATER_COLUMNS}` },
    { file: "deno.json", find: '"version": "0.1.0"', replace: '"version": "9.9.9"' },
  ]);
}

/** Their names. */
export const LATER_NAMES = ["first_page", "categorized_events", "pages_seen"] as const;
const LATER_COLUMNS = `
  column("first_page", "utf8", "String", (e) => e.find(({ page_url }) => page_url !== null)?.page_url ?? null,
    "The first page.", { nullable: true }),
  column("categorized_events", "int32", "Nullable(UInt16)", (e) => e.filter(({ category }) => category !== null).length,
    "Events with a category.", { nullable: true }),
  column("pages_seen", "list_utf8", "String", (e) => distinct(e.map(({ page_url }) => page_url)),
    "Distinct URLs.", { nullable: true }),
`;
