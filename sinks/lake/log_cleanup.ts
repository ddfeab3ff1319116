/**
 * The log's upkeep (protocol: "Metadata Cleanup"): commits and Delta checkpoints that are older than the table's
 * `delta.logRetentionDuration` go, as far as a readable Delta checkpoint stands in for them, and never those that someone
 * of ours still reads: ClickHouse, which follows the versions, and a restart, which replays barriers.
 */
import { readCheckpointHeader } from "../checkpoint_store.ts";
import type { ObjectStore } from "../sink.ts";
import { deadLetterManifest, type DeadLetterName } from "./dead_letter_files.ts";
import { commitInfoOf } from "./delta_actions.ts";
import type { DeltaLog } from "./delta_log.ts";
import { logRetentionMs, type Snapshot } from "./delta_snapshot.ts";
import { readInSlices } from "./slices.ts";

const DAY_MS = 24 * 60 * 60 * 1000;

/** What a cleanup did. */
export interface LogCleanup {
  readonly filesDeleted: number;
  /** The oldest version that can be read; null where nothing was deleted. */
  readonly oldestVersion: number | null;
}

/**
 * Deletes what the log needs no more, the oldest first.
 *
 * @param followedTo every version below is in ClickHouse
 * @param now wall clock, epoch milliseconds
 */
export async function cleanLog(
  store: ObjectStore,
  log: DeltaLog,
  snapshot: Snapshot,
  followedTo: number,
  now: number,
): Promise<LogCleanup> {
  const nothing = { filesDeleted: 0, oldestVersion: null };
  const retentionMs = logRetentionMs(snapshot.metaData.configuration);
  if (retentionMs === Infinity) return nothing;
  const { commits, checkpoints, files } = await log.list();
  // From a day's beginning on, as the protocol has it: so a log is cleaned once a day, whoever does it.
  const kept = Math.floor((now - retentionMs) / DAY_MS) * DAY_MS;
  let old = -1;
  for (const [version, writtenAt] of [...commits].sort(([a], [b]) => a - b)) {
    if (writtenAt >= kept) break;
    old = version;
  }
  const lowest = Math.min(old, followedTo, await neededByReplays(store, snapshot));
  for (const version of checkpoints) {
    // With its own commit, without which Spark does not travel to the version.
    if (version > lowest || !commits.has(version) || !await log.hasReadableCheckpoint(version)) continue;
    const doomed = files.filter((file) => file.version < version);
    if (doomed.length === 0) return nothing;
    await keepDeadLetterNames(
      store,
      log,
      doomed.flatMap(({ version }) => commits.has(version) ? [version] : []),
      version,
    );
    for await (const _ of readInSlices(doomed, ({ key }) => store.delete(key)));
    return { filesDeleted: doomed.length, oldestVersion: version };
  }
  return nothing;
}

/**
 * The lowest version that a restart of any pipeline's partition may read: those after its oldest kept checkpoint. A
 * partition whose newest checkpoint stands at its last barrier needs none.
 */
async function neededByReplays(store: ObjectStore, { version, txns }: Snapshot): Promise<number> {
  let lowest = version + 1;
  for (const { appId } of txns.values()) {
    const match = /^([^/]+\/[^/]+\/\d+)$/.exec(appId);
    if (match === null) continue;
    const barrier = txns.get(`${appId}/barrier`)?.version ?? 0;
    const headers = [];
    for (const { key } of await store.list(`checkpoints/${appId}/`)) {
      const bytes = await store.get(key);
      headers.push(bytes === null ? null : readCheckpointHeader(bytes));
    }
    if (headers.at(-1)?.barrier.number === barrier) continue;
    const readable = headers.flatMap((header) => header ?? []);
    const from = readable.length === 0
      ? 0
      : Math.min(...readable.map(({ deltaVersion }) => deltaVersion + 1));
    lowest = Math.min(lowest, from);
  }
  return lowest;
}

/** A dead letter counts only where a commit names its file: the names outlive the commits. */
async function keepDeadLetterNames(
  store: ObjectStore,
  log: DeltaLog,
  versions: readonly number[],
  before: number,
): Promise<void> {
  const names: DeadLetterName[] = [];
  for await (const commit of log.readCommits(versions.toSorted((a, b) => a - b))) {
    const record = commit === null ? undefined : commitInfoOf(commit.actions).sessionary;
    if (!record?.deadLetterFile) continue;
    names.push({ pipeline: record.pipeline, topic: record.topic, file: record.deadLetterFile });
  }
  if (names.length === 0) return;
  await store.put(deadLetterManifest(before), new TextEncoder().encode(JSON.stringify(names)));
}
