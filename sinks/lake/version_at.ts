/**
 * Which version of a table was the newest at a time. A commit's time is what its `commitInfo.timestamp` says, as delta-rs
 * has it and `table history` shows it, and where that is absent the time of its file: a bucket that was copied or restored
 * keeps the first and not the second. (In-commit timestamps need a table feature that this program does not write.)
 * Writers' clocks differ, so a version counts as made no earlier than the one before it: times never go back.
 */
import { UserError } from "../../schema/errors.ts";
import { commitInfoOf } from "./delta_actions.ts";
import type { DeltaLog, ListedCommit } from "./delta_log.ts";
import { readInSlices } from "./slices.ts";

/** Versions within which the times of writers whose clocks differ may be out of order. */
const DISORDER_VERSIONS_MAX = 100;

/** The times of a log's commits, each read once. */
class CommitTimes {
  readonly #known = new Map<number, number>();

  constructor(private readonly log: DeltaLog) {}

  async of({ version, modifiedAtMs }: ListedCommit): Promise<number> {
    const known = this.#known.get(version);
    if (known !== undefined) return known;
    const commit = await this.log.readCommit(version);
    const time = commit === null ? modifiedAtMs : commitInfoOf(commit.actions).timestamp ?? modifiedAtMs;
    this.#known.set(version, time);
    return time;
  }
}

/**
 * The newest version made at or before a time, epoch milliseconds. Reads a few commits, not all.
 *
 * @throws {UserError} where the log has none that early
 */
export async function versionAt(log: DeltaLog, timestampMs: number): Promise<number> {
  const commits = await log.listCommits();
  const times = new CommitTimes(log);
  let later = await firstLater(commits, timestampMs, times);
  for (;;) {
    const before = commits.slice(Math.max(0, later - DISORDER_VERSIONS_MAX), later);
    let found = -1;
    let i = later - before.length;
    for await (const time of readInSlices(before, (commit) => times.of(commit))) {
      if (found < 0 && time > timestampMs) found = i;
      i++;
    }
    if (found < 0) break;
    later = found;
  }
  const made = commits[later - 1];
  if (made !== undefined) return made.version;
  const oldest = commits[0];
  const text = (ms: number) => new Date(ms).toISOString();
  const has = oldest === undefined
    ? "it has no commits"
    : `its log begins with version ${oldest.version}, of ${text(await times.of(oldest))}`;
  throw new UserError(
    `The Delta table '${log.location}' must have a version from ${
      text(timestampMs)
    } or earlier, and ${has}: ` +
      "choose a later time.",
  );
}

/** The index of the first commit that is later than the time, by bisection, as if times were in order. */
async function firstLater(
  commits: readonly ListedCommit[],
  timestampMs: number,
  times: CommitTimes,
): Promise<number> {
  let [low, high] = [0, commits.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (await times.of(commits[middle]!) > timestampMs) high = middle;
    else low = middle + 1;
  }
  return low;
}
