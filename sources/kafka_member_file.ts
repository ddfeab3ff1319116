/**
 * The member id that this instance has in its group, kept beside its data: after a kill the successor says goodbye for it,
 * so that the group need not find out by the session timeout.
 */

/** A member of a group. */
export interface GroupMembership {
  readonly groupId: string;
  readonly memberId: string;
}

/** The membership that the file holds; null where there is none, or none that can be read. */
export function readMembership(path: string): GroupMembership | null {
  try {
    const { groupId, memberId } = JSON.parse(Deno.readTextFileSync(path)) as Partial<GroupMembership>;
    if (typeof groupId !== "string" || typeof memberId !== "string") return null;
    return { groupId, memberId };
  } catch {
    return null;
  }
}

/**
 * Replaces what the file holds, whole or not at all. It is written between two requests, so it blocks.
 *
 * @throws {Error} the system's, where the file can't be written
 */
export function writeMembership(path: string, membership: GroupMembership): void {
  const written = `${path}.new`;
  Deno.writeTextFileSync(written, `${JSON.stringify(membership)}\n`);
  Deno.renameSync(written, path);
}

/** Removes the file; one that is not there is no error. */
export function removeMembership(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
