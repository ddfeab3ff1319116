/**
 * The program that is simulated: a copy of the source in which Parquet and Arrow are replaced (`plain_files.ts`), and,
 * for a mutation, one thing is broken on purpose. So the program itself knows nothing of being simulated.
 */
import { type Edit, type Mutation } from "./mutations.ts";

const ROOT = new URL("../../", import.meta.url);
/** What a simulation loads. */
const FOLDERS = ["actors", "schema", "sinks", "sources", "tests/sim", "tests/support"];
const FILES = ["deno.json"];
const PLAIN = "../../tests/sim/plain_files.ts";

/** Whose imports of the codecs are turned to the stand-ins. */
const LAKE = /^sinks\/lake\/(?!arrow|parquet|delta_checkpoint)/;
const CODECS = /(?<=} from )"\.\/(arrow|parquet|delta_checkpoint)\.ts"/g;
/** Each process reads all commits: they are parsed once. */
const PARSING: Edit = {
  file: "sinks/lake/delta_log.ts",
  find: 'import { type DeltaAction, parseActions, serializeActions } from "./delta_actions.ts";',
  replace: `import { type DeltaAction, serializeActions } from "./delta_actions.ts";
import { parseActions } from "${PLAIN}";`,
};
/** Compression runs on a thread of its own, which no simulated time knows of. */
const COMPRESSION: readonly Edit[] = ["compress", "decompress"].map((name) => ({
  file: "sinks/checkpoint_store.ts",
  find: `const ${name} = promisify(zstd${name[0]!.toUpperCase()}${name.slice(1)});`,
  replace: `const ${name} = (bytes: Uint8Array, _options?: unknown) => Promise.resolve(bytes);`,
}));

/** A copy of the program on disk. */
export interface Program {
  /** Where its files are: a file URL that ends in a slash. */
  readonly root: string;
  remove(): Promise<void>;
}

export interface CopyOptions {
  /** What the copy's folder is called, at its beginning. */
  readonly prefix: string;
  readonly files: readonly string[];
  /** Whose TypeScript files are copied, with those of the folders in them. */
  readonly folders: readonly string[];
  readonly edits: readonly Edit[];
  /** What else becomes of a file's text. */
  readonly rewrite?: (path: string, text: string) => string;
}

/**
 * Copies the program, with `mutation` where it is given.
 *
 * @throws where the mutation does not fit: see {@linkcode edited}
 */
export function copyProgram(mutation: Mutation | null): Promise<Program> {
  return copyFiles({
    prefix: "sessionary-sim-",
    files: FILES,
    folders: FOLDERS,
    edits: [...COMPRESSION, PARSING, ...mutation?.edits ?? []],
    rewrite: (path, text) => LAKE.test(path) ? text.replaceAll(CODECS, `"${PLAIN}"`) : text,
  });
}

/**
 * Copies files of the program with edits.
 *
 * @throws where an edit does not fit: see {@linkcode edited}
 */
export async function copyFiles(options: CopyOptions): Promise<Program> {
  const { prefix, files, folders, edits } = options;
  const folder = await Deno.makeTempDir({ prefix });
  try {
    for (const path of files) await copyFile(folder, path, options);
    for (const path of folders) await copyFolder(folder, path, options);
    await Promise.all(edits.map(({ file }) => Deno.stat(`${folder}/${file}`)));
  } catch (error) {
    await Deno.remove(folder, { recursive: true });
    throw error;
  }
  return {
    root: `file://${folder}/`,
    remove: () => Deno.remove(folder, { recursive: true }),
  };
}

async function copyFolder(target: string, path: string, options: CopyOptions): Promise<void> {
  await Deno.mkdir(`${target}/${path}`, { recursive: true });
  for await (const { name, isFile, isDirectory } of Deno.readDir(new URL(path, ROOT))) {
    if (isDirectory) await copyFolder(target, `${path}/${name}`, options);
    else if (isFile && name.endsWith(".ts")) await copyFile(target, `${path}/${name}`, options);
  }
}

async function copyFile(target: string, path: string, { edits, rewrite }: CopyOptions): Promise<void> {
  const text = await edited(path, edits.filter(({ file }) => file === path));
  await Deno.writeTextFile(`${target}/${path}`, rewrite?.(path, text) ?? text);
}

/**
 * A file's text with a mutation's edits of it.
 *
 * @throws where a text that is to be replaced is not there exactly once: the program has changed, the list must too
 */
export async function edited(path: string, edits: readonly Edit[]): Promise<string> {
  let text = await Deno.readTextFile(new URL(path, ROOT));
  for (const { find, replace } of edits) {
    const found = text.split(find).length - 1;
    if (found !== 1) throw new Error(`${path} has ${found} times, not once: ${JSON.stringify(find)}`);
    text = text.replace(find, () => replace);
  }
  return text;
}
