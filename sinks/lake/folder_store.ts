/** An {@linkcode ObjectStore} on a folder: every write is atomic and, once it returned, survives a power loss. */
import { dirname } from "node:path";
import { messageOf, SinkError } from "../../schema/errors.ts";
import type { ObjectInfo, ObjectStore } from "../sink.ts";
import { assertObjectKey } from "./object_key.ts";

/** Holds files being written; on the root's own file system, so that they can be renamed and linked into place. */
const TEMPORARY_FOLDER = ".tmp";

/** What a person can do about an operating system's error code, and whether trying again can help by itself. */
const ADVICE: Readonly<Record<string, { readonly text: string; readonly retryable: boolean }>> = {
  ENOSPC: { text: "The disk is full: free some space.", retryable: false },
  EDQUOT: { text: "The disk quota is used up: free some space.", retryable: false },
  EACCES: { text: "Access is denied: give this user the right to read and write there.", retryable: false },
  EPERM: {
    text: "The system does not permit it: check the owner, and that there are hard links.",
    retryable: false,
  },
  ENOTSUP: { text: "Use a file system with hard links: commits need them.", retryable: false },
  EROFS: { text: "The file system is read-only: mount it writable.", retryable: false },
  ENOTDIR: { text: "A file stands where a folder is needed: move it away.", retryable: false },
  EISDIR: { text: "A folder stands where a file is needed: move it away.", retryable: false },
  ENOENT: { text: "The folder was removed while it was in use.", retryable: false },
  EMFILE: { text: "Too many files are open: raise the limit (ulimit -n).", retryable: true },
  ENFILE: { text: "Too many files are open on this machine.", retryable: true },
  EAGAIN: { text: "The system is short of a resource for the moment.", retryable: true },
  EBUSY: { text: "The file is in use.", retryable: true },
  ETIMEDOUT: { text: "The file system did not answer in time.", retryable: true },
  ESTALE: { text: "The network file system lost the file's handle.", retryable: true },
};

function codeOf(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as Error & { code?: unknown }).code : undefined;
  return typeof code === "string" ? code : undefined;
}

function folderError(action: string, path: string, error: unknown): SinkError {
  const advice = ADVICE[codeOf(error) ?? ""] ??
    { text: "Check the disk and its permissions.", retryable: false };
  const message = `Cannot ${action} '${path}': ${messageOf(error)}. ${advice.text}`;
  return new SinkError(message, advice.retryable, { cause: error });
}

async function syncFolder(path: string): Promise<void> {
  using folder = await Deno.open(path, { read: true });
  await folder.sync();
}

/** Whether a folder whose keys start with `subtree` can hold keys that a listing asks for. */
function mayMatch(subtree: string, prefix: string, startAfter: string | undefined): boolean {
  if (!subtree.startsWith(prefix) && !prefix.startsWith(subtree)) return false;
  return startAfter === undefined || startAfter.startsWith(subtree) || subtree > startAfter;
}

export interface FolderStoreOptions {
  /** The root; it is created by the first write. */
  readonly root: string;
  /** A unique name for each temporary file. */
  readonly uuid: () => string;
}

/**
 * A folder as an object store. Several processes may use one folder.
 *
 * Needs read and write access to the root.
 */
export class FolderStore implements ObjectStore {
  readonly location: string;
  readonly #uuid: () => string;
  /** Folders that exist and whose own entries are on disk. */
  readonly #ready = new Set<string>();

  constructor(options: FolderStoreOptions) {
    this.location = options.root.length > 1 ? options.root.replace(/\/+$/, "") : options.root;
    this.#uuid = options.uuid;
  }

  async put(key: string, bytes: Uint8Array): Promise<void> {
    const target = this.#pathOf(key);
    try {
      const temporary = await this.#writeTemporary(bytes);
      try {
        await this.#prepareFolder(dirname(target));
        await Deno.rename(temporary, target);
      } catch (error) {
        await Deno.remove(temporary).catch(() => {});
        throw error;
      }
      await syncFolder(dirname(target));
    } catch (error) {
      throw folderError("write", target, error);
    }
  }

  async putIfAbsent(key: string, bytes: Uint8Array): Promise<"created" | "exists"> {
    const target = this.#pathOf(key);
    try {
      const temporary = await this.#writeTemporary(bytes);
      try {
        await this.#prepareFolder(dirname(target));
        // A link, unlike a rename, fails where the name is taken; unlike an exclusive create, it shows whole content.
        await Deno.link(temporary, target);
        return "created";
      } catch (error) {
        if (error instanceof Deno.errors.AlreadyExists) return "exists";
        throw error;
      } finally {
        await Deno.remove(temporary).catch(() => {});
        // Also where another writer was first: what we build on its object must not outlive the object itself.
        await syncFolder(dirname(target));
      }
    } catch (error) {
      throw folderError("create", target, error);
    }
  }

  async get(key: string): Promise<Uint8Array | null> {
    const path = this.#pathOf(key);
    try {
      return await Deno.readFile(path);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return null;
      throw folderError("read", path, error);
    }
  }

  async list(prefix: string, startAfter?: string): Promise<readonly ObjectInfo[]> {
    const found: ObjectInfo[] = [];
    const base = prefix.slice(0, prefix.lastIndexOf("/") + 1);
    if (base !== "") assertObjectKey(base.slice(0, -1));
    await this.#collect(base, prefix, startAfter, found);
    return found.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  }

  async delete(key: string): Promise<void> {
    const path = this.#pathOf(key);
    try {
      await Deno.remove(path);
      await syncFolder(dirname(path));
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return;
      throw folderError("delete", path, error);
    }
  }

  #pathOf(key: string): string {
    assertObjectKey(key);
    return `${this.location}/${key}`;
  }

  async #writeTemporary(bytes: Uint8Array): Promise<string> {
    const folder = `${this.location}/${TEMPORARY_FOLDER}`;
    if (!this.#ready.has(folder)) {
      await Deno.mkdir(folder, { recursive: true });
      await this.#syncAncestors();
      this.#ready.add(folder);
    }
    const path = `${folder}/${this.#uuid()}`;
    try {
      using file = await Deno.open(path, { write: true, createNew: true });
      for (let written = 0; written < bytes.length;) written += await file.write(bytes.subarray(written));
      await file.sync();
      return path;
    } catch (error) {
      await Deno.remove(path).catch(() => {});
      throw error;
    }
  }

  /** Creates the folder and puts its entry, and those of its parents up to the root, on disk. */
  async #prepareFolder(path: string): Promise<void> {
    if (this.#ready.has(path)) return;
    await Deno.mkdir(path, { recursive: true });
    for (let parent = path; parent.length > this.location.length;) {
      parent = dirname(parent);
      await syncFolder(parent);
    }
    this.#ready.add(path);
  }

  /** Puts the root's own entry on disk, as far up as this process may read: beyond, it was there before us. */
  async #syncAncestors(): Promise<void> {
    for (let path = this.location; path !== dirname(path);) {
      path = dirname(path);
      // Asked first, because opening a folder out of bounds would prompt the user.
      const { state } = await Deno.permissions.query({ name: "read", path });
      if (state !== "granted") return;
      await syncFolder(path);
    }
  }

  /** Adds to `found` the objects below the folder `base` (a key with a final slash, or empty for the root). */
  async #collect(
    base: string,
    prefix: string,
    startAfter: string | undefined,
    found: ObjectInfo[],
  ): Promise<void> {
    const folder = `${this.location}/${base}`;
    try {
      for await (const entry of Deno.readDir(folder)) {
        if (base === "" && entry.name.startsWith(".")) continue;
        const key = base + entry.name;
        if (entry.isDirectory) {
          if (mayMatch(`${key}/`, prefix, startAfter)) {
            await this.#collect(`${key}/`, prefix, startAfter, found);
          }
        } else if (key.startsWith(prefix) && (startAfter === undefined || key > startAfter)) {
          const info = await this.#describe(key);
          if (info !== null) found.push(info);
        }
      }
    } catch (error) {
      if (error instanceof SinkError) throw error;
      if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return;
      throw folderError("list", folder, error);
    }
  }

  async #describe(key: string): Promise<ObjectInfo | null> {
    const path = `${this.location}/${key}`;
    try {
      const info = await Deno.stat(path);
      return info.isFile ? { key, size: info.size, modifiedAtMs: info.mtime?.getTime() ?? 0 } : null;
    } catch (error) {
      // Deleted between the listing and here.
      if (error instanceof Deno.errors.NotFound) return null;
      throw folderError("read", path, error);
    }
  }
}
