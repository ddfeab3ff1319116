/** Erasing at a barrier, in the plain sessionizer's state: PURE. A session with any event of an erased reader goes whole. */
import { type Erasure, ErasureMatcher } from "../schema/erasure.ts";
import type { Occurrence, PartitionState } from "./sessionizer.ts";

/**
 * Drops the occurrences that the erasures mean, open and remembered ones.
 *
 * @returns how many of their events no committed row holds
 */
export function eraseOccurrences(state: PartitionState, erasures: readonly Erasure[]): number {
  if (erasures.length === 0) return 0;
  const matcher = new ErasureMatcher(erasures);
  const gone = new Set<Occurrence>();
  let erased = 0;
  for (const [sessionId, occurrences] of state.occurrences) {
    const bySession = matcher.session(sessionId);
    const kept = occurrences.filter((occurrence) => {
      if (!bySession && !occurrence.events.some(({ event }) => matcher.user(event.userId))) return true;
      erased += occurrence.rowEpoch === null ? occurrence.events.length : occurrence.amended;
      if (occurrence.closed === null) state.openSessions--;
      state.pending.delete(occurrence);
      gone.add(occurrence);
      return false;
    });
    if (kept.length === 0) state.occurrences.delete(sessionId);
    else if (kept.length < occurrences.length) state.occurrences.set(sessionId, kept);
  }
  state.finished = state.finished.filter((occurrence) => !gone.has(occurrence));
  return erased;
}
