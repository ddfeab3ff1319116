/** A copy of the program in which something is different: another version of it, beside this one in one process. */
import { type Edit } from "../sim/mutations.ts";
import { edited, type Program as Copy } from "../sim/program.ts";

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
  const folder = await Deno.makeTempDir({ prefix: "sessionary-copy-" });
  try {
    for (const path of FILES) await copyFile(folder, path, edits);
    for (const path of FOLDERS) await copyFolder(folder, path, edits);
    await Promise.all(edits.map(({ file }) => Deno.stat(`${folder}/${file}`)));
  } catch (error) {
    await Deno.remove(folder, { recursive: true });
    throw error;
  }
  return {
    root: `file://${folder}/`,
    remove: () => Deno.remove(folder, { recursive: true }),
    async run(env, ...args) {
      // Not type-checked: a copy is the program but for its edits, and each would be checked anew.
      const flags = ["-q", "--no-prompt", "--no-check", "--config", "deno.json", "-P=sessionary"];
      const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", ...flags, `${folder}/main.ts`, ...args],
        cwd: ROOT,
        env,
      }).output();
      const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).trimEnd();
      if (code !== 0) throw new Error(`${args.join(" ")} ended with ${code}: ${text(stderr)}${text(stdout)}`);
      return text(stdout);
    },
  };
}

async function copyFolder(target: string, path: string, edits: readonly Edit[]): Promise<void> {
  await Deno.mkdir(`${target}/${path}`, { recursive: true });
  for await (const { name, isFile, isDirectory } of Deno.readDir(new URL(path, ROOT))) {
    if (isDirectory) await copyFolder(target, `${path}/${name}`, edits);
    else if (isFile && name.endsWith(".ts")) await copyFile(target, `${path}/${name}`, edits);
  }
}

async function copyFile(target: string, path: string, edits: readonly Edit[]): Promise<void> {
  const own = edits.filter(({ file }) => file === path);
  await Deno.writeTextFile(`${target}/${path}`, await edited(path, own));
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
