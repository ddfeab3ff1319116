/** Where the services of the tests are kept between runs: outside the repository, built once for a version. */

/** `SESSIONARY_CACHE`, by default `.cache/sessionary` in the user's home. */
export function cacheFolder(): string {
  const named = Deno.env.get("SESSIONARY_CACHE");
  if (named) return named;
  const home = Deno.env.get("HOME") ?? Deno.env.get("USERPROFILE");
  if (home) return `${home}/.cache/sessionary`;
  throw new Error("SESSIONARY_CACHE must name a folder for the services of the tests: there is no HOME.");
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

/**
 * A folder of the cache, which `build` fills the first time. It appears whole or not at all, also where two test runs
 * build it at once.
 *
 * @param name with the version in it, because what is there is not built again
 */
export async function cached(name: string, build: (folder: string) => Promise<void>): Promise<string> {
  const folder = `${cacheFolder()}/${name}`;
  if (await exists(folder)) return folder;
  const partial = `${folder}.partial-${crypto.randomUUID()}`;
  await Deno.mkdir(partial, { recursive: true });
  try {
    await build(partial);
    await Deno.rename(partial, folder);
  } catch (error) {
    await Deno.remove(partial, { recursive: true }).catch(() => {});
    if (!await exists(folder)) throw error;
  }
  return folder;
}

export interface ToolOptions {
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Completes "… is missing": what to install, or how to give the service by the environment instead. */
  readonly otherwise: string;
}

/** Runs a tool to its end. Throws a sentence where there is none, or its output where it fails. */
export async function runTool(tool: string, { args, env = {}, otherwise }: ToolOptions): Promise<string> {
  let output: Deno.CommandOutput;
  try {
    output = await new Deno.Command(tool, { args: [...args], env, stdin: "null" }).output();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new Error(`The service tests need \`${tool}\`, and it is missing: ${otherwise}`, { cause: error });
  }
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  if (output.success) return text(output.stdout);
  const tail = `${text(output.stdout)}${text(output.stderr)}`.slice(-4_000);
  throw new Error(`\`${tool} ${args.join(" ")}\` failed (${otherwise}):\n${tail}`);
}
