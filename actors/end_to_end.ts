/**
 * The broker timestamps of the events that closed sessions, on their way to the insert that makes those sessions
 * queryable. While ClickHouse is down they wait, so an epoch's timestamps are kept as a bounded number of groups. PURE.
 */

/** Groups per epoch: 12 KB, and a hundredth of a second of an epoch of 10 s. */
const GROUPS_MAX = 1_024;

/** `counts[i]` sessions whose closing event has about the timestamp `times[i]`, epoch milliseconds. */
export interface ClosingTimes {
  readonly times: Float64Array;
  readonly counts: Uint32Array;
}

/**
 * Groups timestamps into steps of the same length, the shortest (≥ 1 ms) that leaves at most `groupsMax` steps between
 * the least and the greatest.
 */
export function groupClosingTimes(parts: readonly Float64Array[], groupsMax = GROUPS_MAX): ClosingTimes {
  let [least, greatest] = [Infinity, -Infinity];
  for (const part of parts) {
    for (const time of part) {
      least = Math.min(least, time);
      greatest = Math.max(greatest, time);
    }
  }
  if (least > greatest) return { times: new Float64Array(), counts: new Uint32Array() };
  const step = Math.ceil((greatest - least + 1) / groupsMax);
  const counts = new Uint32Array(Math.floor((greatest - least) / step) + 1);
  for (const part of parts) {
    for (const time of part) counts[Math.floor((time - least) / step)]!++;
  }
  const used = [...counts.keys()].filter((group) => counts[group]! > 0);
  return {
    times: Float64Array.from(used, (group) => least + group * step + (step - 1) / 2),
    counts: Uint32Array.from(used, (group) => counts[group]!),
  };
}
