/** The house rules of ARCHITECTURE.md, as a test. */
import { assert, assertEquals } from "@std/assert";
import manifest from "../deno.json" with { type: "json" };
import { environmentVariables, LAUNCHER_VARIABLE } from "../schema/config.ts";
import { ALL_TABLES } from "../schema/settings.ts";
import { ALLOCATOR_VARIABLE } from "../sinks/warehouse/chdb_engine.ts";
import { listSourceFiles, readSourceFile } from "./support/source_tree.ts";

const ROOT = decodeURIComponent(new URL("..", import.meta.url).pathname).replace(/\/$/, "");
const LINES_MAX = 400;
const FUNCTION_LINES_MAX = 80;

/** What each folder may import from, besides itself. Imports point one way. */
const IMPORTS: Readonly<Record<string, readonly string[]>> = {
  "main.ts": ["commands", "actors", "schema"],
  commands: ["web", "actors", "sources", "sinks", "schema"],
  web: ["schema"],
  actors: ["sources", "sinks", "schema"],
  sources: ["schema"],
  sinks: ["schema"],
  schema: ["deno.json"],
  bench: ["commands", "web", "actors", "sources", "sinks", "schema", "tests", "deno.json"],
  tests: ["main.ts", "commands", "web", "actors", "sources", "sinks", "schema", "bench", "deno.json"],
};

/** The other actors know sources and sinks by their seams, and by types. */
const WIRING = /^actors\/(supervisor\.ts|workers\/)/;
const SEAMS = new Set(["sources/source.ts", "sinks/sink.ts"]);

/** Who may start threads or post to them. */
const THREADS =
  /^(actors\/(mailbox|supervisor)\.ts|actors\/workers\/|sinks\/warehouse\/chdb_(worker|connection)\.ts)/;
const THREAD_USES = /^new Worker|\.postMessage$|^postMessage\(\)$/;

/** Time, timers and chance come from the clock, or from options that the wiring fills. */
const CLOCKS = new Set([
  "actors/clock.ts",
  "web/page/browser.ts", // the reader's browser
  "sinks/lake/open.ts", // names of new files
  "sinks/warehouse/chdb_connection.ts", // ids of queries
  "sources/log_file.ts", // the identity of a new log
]);
const CLOCK_USES =
  /^(Date\.now|performance\.now|Math\.random|crypto\.(randomUUID|getRandomValues)|(globalThis\.)?set(Timeout|Interval|Immediate)(\(\))?|new Date\(\))$/;

/** What the process was given, and its end. */
const PROCESS_USES = /^(Deno\.(env|exit|args|addSignalListener)|process\.(env|exit|argv))$/;

const files = new Map(listSourceFiles(ROOT).map((path) => [path, readSourceFile(ROOT, path)]));
const program = [...files.values()].filter(({ path }) => !/^(tests|bench)\//.test(path));

/** The files that a specifier means: one, none for packages, several for a worker's URL with a variable in it. */
function resolve(from: string, specifier: string): string[] {
  const mapped = Object.entries<string>(manifest.imports).find(([name]) => name === specifier)?.[1] ?? "";
  const base = mapped.startsWith("./") ? "" : from;
  const relative = mapped.startsWith("./") ? mapped : specifier;
  if (!relative.startsWith(".")) return [];
  const path = new URL(relative, `file:///${base}`).pathname.slice(1);
  if (!path.includes("*")) return [path];
  const [before, after] = path.split("*") as [string, string];
  return [...files.keys()].filter((file) => file.startsWith(before) && file.endsWith(after));
}

function folderOf(path: string): string {
  return path.split("/")[0]!;
}

/** Every violation as a line, so that one run shows them all. */
function assertNone(violations: readonly string[]): void {
  assertEquals(violations, []);
}

function usesOutside(uses: RegExp, isAllowed: (path: string) => boolean): string[] {
  return program.filter(({ path }) => !isAllowed(path)).flatMap((file) =>
    file.uses.filter((use) => uses.test(use)).map((use) => `${file.path}: ${use}`)
  );
}

Deno.test("Imports point one way: main, commands, then web and actors, then sources and sinks, then schema", () => {
  const violations: string[] = [];
  for (const { path, references } of files.values()) {
    for (const target of references.flatMap(({ specifier }) => resolve(path, specifier))) {
      const [from, to] = [folderOf(path), folderOf(target)];
      if (from !== to && !IMPORTS[from]?.includes(to)) violations.push(`${path} imports ${target}`);
    }
  }
  assertNone(violations);
});

Deno.test("Actors know sources and sinks by their seams; supervisor and worker entries wire the rest", () => {
  const violations: string[] = [];
  for (const { path, references } of program.filter(({ path }) => path.startsWith("actors/"))) {
    for (const { specifier, typeOnly } of references) {
      if (typeOnly || WIRING.test(path)) continue;
      const implementations = resolve(path, specifier).filter((target) => /^(sources|sinks)\//.test(target));
      violations.push(
        ...implementations.filter((target) => !SEAMS.has(target)).map((target) =>
          `${path} imports ${target}`
        ),
      );
    }
  }
  assertNone(violations);
});

Deno.test("Threads are started and posted to in the mailbox, the supervisor and worker entries only", () => {
  assertNone(usesOutside(THREAD_USES, (path) => THREADS.test(path)));
});

Deno.test("Time, timers and chance come from the clock only", () => {
  assertNone(usesOutside(CLOCK_USES, (path) => CLOCKS.has(path)));
});

Deno.test("Only main.ts reads the environment and ends the process", () => {
  // chDB's library is told by the environment alone, right before it is loaded.
  const allocator = "sinks/warehouse/chdb_engine.ts: Deno.env";
  assertNone(usesOutside(PROCESS_USES, (path) => path === "main.ts").filter((use) => use !== allocator));
});

Deno.test("Files and functions are short", () => {
  const violations: string[] = [];
  for (const { path, lines, functions } of files.values()) {
    if (lines > LINES_MAX) violations.push(`${path} has ${lines} lines`);
    for (const one of functions) {
      if (one.lines <= FUNCTION_LINES_MAX || one.definesTests) continue;
      violations.push(`${path}:${one.line} ${one.name} has ${one.lines} lines`);
    }
  }
  assertNone(violations);
});

Deno.test("Every exported function and class has a doc comment", () => {
  assertNone(program.flatMap(({ path, undocumented }) => undocumented.map((name) => `${path}: ${name}`)));
});

/** The files that `roots` reach, through imports and worker URLs. */
function reachable(roots: Iterable<string>): Set<string> {
  const reached = new Set<string>();
  const waiting = [...roots];
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const file = files.get(path);
    if (reached.has(path) || file === undefined) continue;
    reached.add(path);
    waiting.push(...file.references.flatMap(({ specifier }) => resolve(file.path, specifier)));
  }
  return reached;
}

Deno.test("Every file of the program is reached from main.ts, every other one from a test or a task", () => {
  const fromMain = reachable(["main.ts"]);
  const fromAll = reachable(
    [...files.keys()].filter((path) =>
      /_test\.ts$/.test(path) || Object.values(manifest.tasks).some((task) => task.includes(` ${path}`))
    ),
  );
  assertNone([
    ...program.filter(({ path }) => !fromMain.has(path)).map(({ path }) => `${path} is not reached`),
    ...[...files.keys()].filter((path) => /^(tests|bench)\//.test(path) && !fromAll.has(path)),
  ]);
});

Deno.test("Packages are pinned exactly, declared in deno.json, and all of them are imported", () => {
  const declared = Object.entries(manifest.imports);
  const unpinned = declared.filter(([, target]) =>
    !/^npm:.+@\d+\.\d+\.\d+$/.test(target) && !target.startsWith("./")
  );
  assertEquals(unpinned, []);
  const packages = new Set<string>();
  const undeclared: string[] = [];
  for (const { path, references } of files.values()) {
    for (const { specifier } of references) {
      if (/^(\.|node:)/.test(specifier)) continue;
      const name = declared.map(([name]) => name).find((name) =>
        specifier === name || specifier.startsWith(`${name}/`)
      );
      if (name === undefined) undeclared.push(`${path} imports ${specifier}`);
      else packages.add(name);
    }
  }
  assertEquals(undeclared, []);
  assertEquals(
    declared.map(([name]) => name).filter((name) => !packages.has(name.replace("@types/", ""))),
    [],
  );
});

Deno.test("No test is skipped, and nothing is left to be done", () => {
  const skips = /^(test|it|describe)\.(ignore|skip|only)$/;
  const others = [...files.values()].filter(({ path }) => path !== "tests/tidy_test.ts");
  assertNone(others.flatMap(({ path, uses, text }) => [
    ...uses.filter((use) => skips.test(use)).map((use) => `${path}: ${use}`),
    ...(path.endsWith("_test.ts") && /[{,]\s*(ignore|only):/.test(text)
      ? [`${path}: a test is skipped`]
      : []),
    ...(/\/[/*].*\b(TODO|FIXME|XXX)\b/.test(text) ? [`${path}: unfinished`] : []),
  ]));
});

const sets = Object.entries(manifest.permissions);

Deno.test("Every task that runs code names its permission set, and none has all permissions or prompts", () => {
  for (const [name, task] of Object.entries<string>(manifest.tasks)) {
    if (!/\bdeno (run|test|bench|compile|serve)\b/.test(task)) continue;
    assert(/ --no-prompt -P=[a-z]+ /.test(task), `${name} names its set`);
    assert(!/ (-[a-zA-Z]*A[a-zA-Z]*|--allow-\S+)( |$)/.test(task), `${name} adds nothing to its set`);
  }
});

Deno.test("The permission sets list the settings' variables and no others", () => {
  const variables = [...environmentVariables(...ALL_TABLES), LAUNCHER_VARIABLE, ALLOCATOR_VARIABLE];
  for (const [name, { env }] of sets) {
    // The service tests keep what they build outside the repository.
    const others = name === "services" ? ["HOME", "SESSIONARY_CACHE", "SESSIONARY_KAFKA_VERSION"] : [];
    // Libraries that look for variables of their own find none.
    assertEquals(env, { allow: [...variables, ...others].sort(), ignore: true }, name);
  }
});

Deno.test("The permission sets scope foreign code, and dev and the tests reach nothing but this machine", () => {
  for (const [name, { ffi, sys }] of sets) {
    assertEquals(ffi, ["./node_modules"], `${name}: chDB's native library`);
    assert(Array.isArray(sys), `${name}: sys is listed`);
  }
  assertEquals(manifest.permissions.dev.net, ["127.0.0.1"]);
  assertEquals(manifest.permissions.test.net, ["127.0.0.1"]);
});
