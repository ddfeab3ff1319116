/**
 * The page's own files and those of its libraries, as they are served. The page is TypeScript; its types are taken out
 * when it is first asked for (Node's `stripTypeScriptTypes`: they become blanks, nothing is built), and the names of its
 * libraries become their addresses.
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { stripTypeScriptTypes } from "node:module";
import { SinkError } from "../schema/errors.ts";

/** A file as it is sent. */
export interface Asset {
  readonly contentType: string;
  readonly body: Uint8Array<ArrayBuffer>;
  readonly etag: string;
}

const ENTRY = new URL("./page/main.ts", import.meta.url);
const PACKAGES = new URL("../node_modules/", import.meta.url);

/** Modules that the page imports by name, and where they lie in their packages. */
const LIBRARIES: Readonly<Record<string, string>> = {
  "lit-html": "lit-html/lit-html.js",
  "uplot": "uplot/dist/uPlot.esm.js",
};

/** Those, and the chart's style sheet. */
const LIBRARY_FILES: readonly string[] = [...Object.values(LIBRARIES), "uplot/dist/uPlot.min.css"];

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  ts: "text/javascript; charset=utf-8",
  svg: "image/svg+xml",
};

/** Reads each file once, when it is first asked for. */
export class PageAssets {
  readonly #loaded = new Map<string, Asset>();
  readonly #files: ReadonlyMap<string, URL>;

  /**
   * @throws {SinkError} where the page's folder is not there: the program was copied without it
   */
  constructor() {
    const folder = new URL("./", ENTRY);
    try {
      const own = [...Deno.readDirSync(folder)].filter(({ isFile }) => isFile).map(({ name }) => name);
      this.#files = new Map([
        ...own.map((name): [string, URL] => [`/page/${name}`, new URL(name, folder)]),
        ...LIBRARY_FILES.map((path): [string, URL] => [`/lib/${path}`, new URL(path, PACKAGES)]),
      ]);
    } catch (error) {
      throw new SinkError(
        "The page's files (web/page) must lie beside the program, and can't be read: copy the whole repository.",
        false,
        { cause: error },
      );
    }
  }

  /** The paths that are served; the page itself is `/page/index.html`, also at `/`. */
  get paths(): readonly string[] {
    return [...this.#files.keys()];
  }

  /** The file at a path; null where there is none. */
  async get(path: string): Promise<Asset | null> {
    const known = this.#loaded.get(path);
    if (known !== undefined) return known;
    const file = this.#files.get(path);
    if (file === undefined) return null;
    const body = await loadFile(file);
    const hash = createHash("sha256").update(body).digest("base64url");
    const contentType = CONTENT_TYPES[path.slice(path.lastIndexOf(".") + 1)] ?? "application/octet-stream";
    const asset = { contentType, body, etag: `"${hash}"` };
    this.#loaded.set(path, asset);
    return asset;
  }
}

async function loadFile(file: URL): Promise<Uint8Array<ArrayBuffer>> {
  if (!file.pathname.endsWith(".ts")) return await Deno.readFile(file);
  const script = stripTypeScriptTypes(await Deno.readTextFile(file));
  return new Uint8Array(Buffer.from(addressLibraries(script)));
}

/** `from "name"` at the end of an import, with the address in place of the name. */
function addressLibraries(script: string): string {
  return script.replaceAll(
    /(\bfrom\s*")([^".][^"]*)(";)/g,
    (whole, before: string, name: string, after: string) => {
      const path = LIBRARIES[name];
      return path === undefined ? whole : `${before}/lib/${path}${after}`;
    },
  );
}
