/** The keys of an object store: `/`-separated, relative, and never able to leave the root. */
import { AssertionError } from "../../schema/errors.ts";

/** Segments with a leading dot are for the stores' own use (temporary files), so no object may have one first. */
export const RESERVED_PREFIX = ".";

function flaw(key: string): string | null {
  if (key === "") return "is empty";
  if (key.startsWith(RESERVED_PREFIX)) return "starts with a dot, which is reserved";
  if (/[\0\\]/.test(key)) return "has a NUL or a backslash";
  if (!key.isWellFormed()) return "has a lone surrogate";
  for (const segment of key.split("/")) {
    if (segment === "") return "has an empty segment";
    if (segment === "." || segment === "..") return `has the segment '${segment}'`;
  }
  return null;
}

/** Throws unless `key` names an object inside the root: keys come from the program, never from input. */
export function assertObjectKey(key: string): void {
  const found = flaw(key);
  if (found !== null) {
    throw new AssertionError(`An object's key must stay inside the store: '${key}' ${found}.`);
  }
}
