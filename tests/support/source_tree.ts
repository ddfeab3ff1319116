/** The repository's TypeScript as facts for the tidy test, by Deno's own parser. */
/// <reference lib="deno.unstable" />

/** One import or re-export, static or dynamic, a `new URL("…", import.meta.url)` or an `import.meta.resolve("…")`. */
export interface Reference {
  /** As written; `*` stands for each variable part of a worker's URL. */
  readonly specifier: string;
  readonly typeOnly: boolean;
}

export interface FunctionFact {
  readonly name: string;
  readonly line: number;
  readonly lines: number;
  /** A suite of tests, as long as its tests are together. */
  readonly definesTests: boolean;
}

/** What the tidy test needs to know of one file. */
export interface SourceFile {
  /** From the repository's root. */
  readonly path: string;
  readonly text: string;
  readonly lines: number;
  readonly references: readonly Reference[];
  readonly functions: readonly FunctionFact[];
  /** Exported functions and classes that no doc comment stands before. */
  readonly undocumented: readonly string[];
  /** Members and free calls that may matter, such as `Deno.exit`, `postMessage()`, `new Worker`, `new Date()`. */
  readonly uses: readonly string[];
}

const SKIPPED_FOLDERS = new Set(["node_modules", "data", ".git"]);

/** The paths of all TypeScript files below `root`, sorted. */
export function listSourceFiles(root: string, folder = ""): string[] {
  const found: string[] = [];
  for (const entry of Deno.readDirSync(`${root}/${folder}`)) {
    const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory && !SKIPPED_FOLDERS.has(entry.name)) found.push(...listSourceFiles(root, path));
    else if (entry.isFile && entry.name.endsWith(".ts")) found.push(path);
  }
  return found.sort();
}

/** Parses one file. Works in `deno test` only, which has the parser. */
export function readSourceFile(root: string, path: string): SourceFile {
  const text = Deno.readTextFileSync(`${root}/${path}`);
  const facts = { references: [], functions: [], undocumented: [], uses: [] };
  Deno.lint.runPlugin(factPlugin(text, facts), path, text);
  return { path, text, lines: text.split("\n").length - 1, ...facts };
}

interface Facts {
  readonly references: Reference[];
  readonly functions: FunctionFact[];
  readonly undocumented: string[];
  readonly uses: string[];
}

function factPlugin(text: string, facts: Facts): Deno.lint.Plugin {
  const create = (context: Deno.lint.RuleContext): Deno.lint.LintVisitor => ({
    ...referenceVisitor(facts),
    ...useVisitor(facts),
    ...functionVisitor(text, facts),
    ExportNamedDeclaration(node) {
      if (node.source) {
        facts.references.push({ specifier: node.source.value, typeOnly: node.exportKind === "type" });
      }
      const { declaration } = node;
      if (declaration?.type !== "FunctionDeclaration" && declaration?.type !== "ClassDeclaration") return;
      const last = context.sourceCode.getCommentsBefore(node).at(-1);
      const documented = last?.type === "Block" && last.value.startsWith("*") &&
        text.slice(last.range[1], node.range[0]).trim() === "";
      if (!documented) facts.undocumented.push(declaration.id?.name ?? "default");
    },
  });
  return { name: "tidy", rules: { facts: { create } } };
}

/** A string literal's value; null for any other node. */
function literal(node: Deno.lint.Node | undefined): string | null {
  return node?.type === "Literal" && typeof node.value === "string" ? node.value : null;
}

/** The path in `new URL("…", import.meta.url)`. */
function workerPath(node: Deno.lint.Node | undefined): string | null {
  if (node?.type === "TemplateLiteral") return node.quasis.map(({ cooked }) => cooked).join("*");
  return literal(node);
}

function referenceVisitor(facts: Facts): Deno.lint.LintVisitor {
  return {
    ImportDeclaration(node) {
      facts.references.push({ specifier: node.source.value, typeOnly: node.importKind === "type" });
    },
    ExportAllDeclaration(node) {
      facts.references.push({ specifier: node.source.value, typeOnly: node.exportKind === "type" });
    },
    ImportExpression(node) {
      const specifier = literal(node.source);
      if (specifier !== null) facts.references.push({ specifier, typeOnly: false });
    },
    TSImportType(node) {
      const specifier = literal(node.argument);
      if (specifier !== null) facts.references.push({ specifier, typeOnly: true });
    },
  };
}

/** `import.meta.resolve` */
function isMetaResolve(callee: Deno.lint.Node): boolean {
  return callee.type === "MemberExpression" && callee.object.type === "MetaProperty" &&
    callee.property.type === "Identifier" && callee.property.name === "resolve";
}

function useVisitor(facts: Facts): Deno.lint.LintVisitor {
  return {
    MemberExpression(node) {
      if (node.property.type !== "Identifier") return;
      const object = node.object.type === "Identifier" ? node.object.name : "";
      facts.uses.push(`${object}.${node.property.name}`);
    },
    CallExpression(node) {
      if (node.callee.type === "Identifier") facts.uses.push(`${node.callee.name}()`);
      const specifier = literal(node.arguments[0]);
      if (isMetaResolve(node.callee) && specifier !== null) {
        facts.references.push({ specifier, typeOnly: false });
      }
    },
    NewExpression(node) {
      if (node.callee.type !== "Identifier") return;
      const { name } = node.callee;
      facts.uses.push(node.arguments.length === 0 ? `new ${name}()` : `new ${name}`);
      const specifier = workerPath(node.arguments[0]);
      if (name === "URL" && specifier?.endsWith(".ts")) facts.references.push({ specifier, typeOnly: false });
    },
  };
}

function functionVisitor(text: string, facts: Facts): Deno.lint.LintVisitor {
  const lineOf = (position: number) => text.slice(0, position).split("\n").length;
  const note = (node: Deno.lint.Node, name: string) => {
    const line = lineOf(node.range[0]);
    const definesTests = text.slice(...node.range).includes("Deno.test(");
    facts.functions.push({ name, line, lines: lineOf(node.range[1]) - line + 1, definesTests });
  };
  return {
    FunctionDeclaration: (node) => note(node, node.id?.name ?? "default"),
    FunctionExpression: (node) => note(node, node.id?.name ?? "function"),
    ArrowFunctionExpression: (node) => note(node, "arrow function"),
  };
}
