/** Which partitions a group has given to this instance, and what its reader has been told of that so far. */

/** What changed between two looks. */
export interface AssignmentChange {
  readonly revoked: readonly number[];
  readonly assigned: readonly number[];
}

/**
 * Follows the partitions of one group member. A partition that was away between two looks is in both lists of the next
 * one, however often it came back: somebody else may have moved it on.
 */
export class Assignment {
  #told: ReadonlySet<number> = new Set();
  #owned: ReadonlySet<number> = new Set();
  /** Away at some moment since the last look. */
  readonly #broken = new Set<number>();

  /** What the group has given by now. */
  get owned(): ReadonlySet<number> {
    return this.#owned;
  }

  /** Whether a look would find a change. */
  get isChanged(): boolean {
    return this.#owned.size !== this.#told.size ||
      [...this.#told].some((partition) => this.#isAway(partition));
  }

  /**
   * The group gives these partitions.
   *
   * @param kept whether nobody else can have had a partition that is given again
   * @returns the partitions that were lost on the way
   */
  joined(partitions: Iterable<number>, kept: boolean): readonly number[] {
    const owned = new Set(partitions);
    const lost = [...this.#owned].filter((partition) => !kept || !owned.has(partition));
    for (const partition of lost) this.#broken.add(partition);
    this.#owned = owned;
    return lost;
  }

  /** Everything is lost; returns what that is. */
  lost(): readonly number[] {
    return this.joined([], false);
  }

  /** What changed since the last look, ascending. */
  look(): AssignmentChange {
    const revoked = [...this.#told].filter((partition) => this.#isAway(partition));
    const assigned = [...this.#owned].filter((partition) =>
      !this.#told.has(partition) || this.#broken.has(partition)
    );
    this.#told = this.#owned;
    this.#broken.clear();
    return { revoked: revoked.sort((a, b) => a - b), assigned: assigned.sort((a, b) => a - b) };
  }

  #isAway(partition: number): boolean {
    return this.#broken.has(partition) || !this.#owned.has(partition);
  }
}
