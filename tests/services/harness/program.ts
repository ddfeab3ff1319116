/** The program as users start it: a process of its own, set up by its environment. */

const ROOT = decodeURIComponent(new URL("../../..", import.meta.url).pathname);
const OUTPUT_SHOWN = 4_000;

/** How Deno runs a script of the project as the image does, with a permission set of deno.json. */
export function denoRun(set: string, script: string): string[] {
  const flags = ["-q", "--no-prompt", "--cached-only", "--node-modules-dir=manual"];
  return ["run", ...flags, `--config=${ROOT}deno.json`, `-P=${set}`, `${ROOT}${script}`];
}

/**
 * Starts `sessionary ARGS` with these variables and no other settings.
 *
 * @param yields whether it gives way to what is measured: it stands for other machines
 */
export function startProgram(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  { output = "piped", yields = false }: { output?: "null" | "piped"; yields?: boolean } = {},
): Deno.ChildProcess {
  const [program, prefix] = yields ? ["nice", ["-n", "10", Deno.execPath()]] : [Deno.execPath(), []];
  return new Deno.Command(program, {
    args: [...prefix, ...denoRun("sessionary", "main.ts"), ...args],
    env: { ...env },
    stdin: "null",
    stdout: output,
    stderr: output,
  }).spawn();
}

/** Runs it to its end; returns what it printed, and throws it where it failed. */
export async function runProgram(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<string> {
  return (await runProgramWhole(args, env)).printed;
}

/** Runs it to its end; returns what it printed and, of standard error, what it said, and throws both where it failed. */
export async function runProgramWhole(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<{ readonly printed: string; readonly said: string }> {
  const { success, code, stdout, stderr } = await startProgram(args, env).output();
  const [printed, said] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)) as [
    string,
    string,
  ];
  if (success) return { printed, said };
  throw new Error(
    `sessionary ${args.join(" ")} ended with ${code}:\n${`${printed}${said}`.slice(-OUTPUT_SHOWN)}`,
  );
}
