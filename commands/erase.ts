/**
 * `sessionary erase`: a request is filed beside the table, by which running instances, or the next one, drop what is open at
 * their next barriers. Then the rows leave the table, the dead letters lose their bytes, and old checkpoints go; last, the
 * embedded log's records lose theirs, as no restart reads them any more. It is over only when every partition has been
 * through such a barrier and has a checkpoint from after it; until then the command may be called again, and goes on with
 * the same request.
 */
import { systemClock } from "../actors/clock.ts";
import type { Config } from "../schema/config.ts";
import type { ERASE_SETTINGS } from "../schema/erase_settings.ts";
import { type ErasureKind, isErasureOf, letterTest, recordTest } from "../schema/erasure.ts";
import type { PartitionBarrier } from "../schema/epoch.ts";
import { EXIT, UserError } from "../schema/errors.ts";
import type { SettingValues } from "../schema/setting.ts";
import type { ErasureRequest } from "../sinks/erasure_store.ts";
import { type OpenedLake, openLake } from "../sinks/lake/open.ts";
import { eraseEvents } from "../sources/open.ts";
import type { CommandContext } from "./context.ts";

/** How often the log and the checkpoints are looked at while the command waits. */
const POLL_MS = 500;

type Settings = SettingValues<typeof ERASE_SETTINGS>;

interface Subject {
  readonly kind: ErasureKind;
  readonly value: string;
}

/** What was erased, and what waits. */
interface ErasureReport {
  readonly id: string;
  readonly kind: ErasureKind;
  readonly dryRun: boolean;
  /** Rows that left the table; ClickHouse takes as many back when it follows. */
  readonly rows: number;
  readonly filesRewritten: number;
  readonly filesRead: number;
  /** The version that took them out. */
  readonly version: number | null;
  readonly deadLetters: number;
  /** Records of the embedded log that lost key and value; null where the log is Kafka, or the erasure is not over. */
  readonly records: number | null;
  /** Partitions that no instance has taken through a barrier with the erasure yet. */
  readonly openPartitions: readonly number[];
  /** Checkpoints from before it that are still there. */
  readonly oldCheckpoints: number;
}

/**
 * Erases and reports.
 *
 * @throws {UserError} where not exactly one id is named, and where the erasure is not over yet
 */
export async function eraseData(config: Config, settings: Settings, context: CommandContext): Promise<void> {
  const subject = subjectOf(settings);
  const opened = await openLake(config, { now: systemClock.now, notice: context.warn });
  const { lake, erasures } = opened;
  // Refuses where there is no table, before `open` would make one.
  await lake.past.describe();
  await opened.prepare();
  await lake.open();
  const request = await requestOf(opened, subject, settings.dryRun);
  const { erasure } = request;
  const barriers = settings.dryRun
    ? new Map<number, PartitionBarrier>()
    : await passedBarriers(opened, request, settings.wait, context);
  const rows = await lake.erasure.eraseRows(erasure, settings.dryRun);
  const letter = letterTest(erasure, subject.value);
  const deadLetters = await lake.erasure.eraseDeadLetters(letter, settings.dryRun);
  const openPartitions = settings.dryRun ? [] : await missing(opened, barriers);
  const oldCheckpoints = await oldCheckpointsLeft(opened, barriers);
  const { dryRun } = settings;
  const isOver = openPartitions.length === 0 && oldCheckpoints === 0;
  const erased = dryRun || !isOver ? null : await eraseEvents(
    config,
    systemClock,
    // No restart reads below them any more.
    new Map([...barriers].map(([partition, { to }]) => [partition, to])),
    { record: recordTest(erasure, subject.value), letter },
  );
  const report = {
    id: erasure.id,
    kind: erasure.kind,
    dryRun,
    ...rows,
    deadLetters,
    records: erased?.records ?? null,
    openPartitions,
    oldCheckpoints,
  };
  if (!dryRun && isOver) {
    await erasures.finish(request, { ...request, ...report, finishedAtMs: Math.floor(systemClock.now()) });
  }
  context.print(settings.json ? JSON.stringify(report, null, 1) : sentences(report, config).join("\n"));
  if (erased?.complete === false) {
    context.warn(
      "The embedded log's write-ahead file may still hold the records, because another process reads the log: it is " +
        "emptied when the last process that uses the log ends.",
    );
  }
  if (dryRun || isOver) return;
  throw new UserError(
    `The erasure ${erasure.id} is not over: the partitions [${
      openPartitions.join(", ")
    }] may still hold open sessions, and ` +
      `${oldCheckpoints} checkpoints are older than it. Start run or dev, or leave it running, and call the same command again.`,
    EXIT.sink,
  );
}

function subjectOf({ userId, sessionId }: Settings): Subject {
  if ((userId === null) === (sessionId === null)) {
    throw new UserError("Either --user-id or --session-id must say what is erased, not both.", EXIT.usage);
  }
  return sessionId === null
    ? { kind: "user_id", value: String(userId) }
    : { kind: "session_id", value: sessionId };
}

/** The open request for the same id, or a new one; that of a dry run is not filed. */
async function requestOf(
  { lake, erasures }: OpenedLake,
  { kind, value }: Subject,
  dryRun: boolean,
): Promise<ErasureRequest> {
  const open = await erasures.open();
  const same = open.find(({ erasure }) => isErasureOf(erasure, kind, value));
  if (same !== undefined) return same;
  const erasure = erasures.draft(kind, value);
  const { version } = await lake.state();
  const request = { erasure, requestedAtMs: Math.floor(systemClock.now()), version };
  if (!dryRun) await erasures.request(request);
  return request;
}

/**
 * Waits until every partition has been through a barrier with the erasure, and checkpoints make those before it needless,
 * but no longer than `waitMs`.
 *
 * @returns the first such barrier, by partition
 */
async function passedBarriers(
  opened: OpenedLake,
  { erasure, version }: ErasureRequest,
  waitMs: number,
  { stop }: CommandContext,
): Promise<Map<number, PartitionBarrier>> {
  const until = systemClock.monotonic() + waitMs;
  for (;;) {
    const barriers = new Map<number, PartitionBarrier>();
    for (const { record } of await opened.lake.epochsAfter(version)) {
      for (const { barrier } of record.partitions) {
        if (!barriers.has(barrier.partition) && barrier.erase?.some(({ id }) => id === erasure.id)) {
          barriers.set(barrier.partition, barrier);
        }
      }
    }
    const passed = (await missing(opened, barriers)).length === 0;
    if (passed && await oldCheckpointsLeft(opened, barriers) === 0) return barriers;
    if (stop.aborted || systemClock.monotonic() >= until) return barriers;
    await systemClock.sleep(POLL_MS, stop);
  }
}

/** The partitions that the log knows and `barriers` lacks. */
async function missing(
  { lake }: OpenedLake,
  barriers: ReadonlyMap<number, PartitionBarrier>,
): Promise<number[]> {
  const { positions } = await lake.state();
  return positions.map(({ partition }) => partition).filter((partition) => !barriers.has(partition));
}

/** Deletes the checkpoints from before the barriers as far as newer ones are there, and counts those that are not. */
async function oldCheckpointsLeft(
  { checkpoints }: OpenedLake,
  barriers: ReadonlyMap<number, PartitionBarrier>,
): Promise<number> {
  let left = 0;
  for (const [partition, { number }] of barriers) left += await checkpoints.deleteBefore(partition, number);
  return left;
}

function sentences(report: ErasureReport, { kafkaBrokers, topic }: Config): string[] {
  const { dryRun, rows, filesRewritten, filesRead, version, deadLetters } = report;
  const log = kafkaBrokers === null
    ? ""
    : `Kafka's topics '${topic}' and that of its dead letters, until their retention or compaction removes the ` +
      "records; ";
  if (dryRun) {
    return [
      `${rows} rows in ${filesRewritten} of ${filesRead} files and ${deadLetters} dead letters would go.`,
    ];
  }
  return [
    `Erasure ${report.id}: ${rows} rows left the Delta table in version ${version}, ${filesRewritten} of ${filesRead} files ` +
    `were written anew, and ${deadLetters} dead letters lost their key and value` +
    (report.records === null ? "." : `, as did ${report.records} records of the embedded log.`),
    "ClickHouse and its views follow while run or dev is up, otherwise when one starts.",
    `What still holds the data: ${log}the table's files from before, until VACUUM deletes them ` +
    "(`sessionary table vacuum --retention 0ms --force-short-retention`); its change data, until the log's cleanup; archives " +
    "and backups. Events that come from now on open new sessions.",
  ];
}
