/**
 * The coordinator: every epoch interval it has ingest close an epoch, gathers what the shards seal, and lands it: files,
 * one Delta commit, then the ClickHouse insert, every fifth epoch a checkpoint, and the source's offsets. When an epoch
 * may do what is `epoch.ts`'s; this runs its effects.
 */
import type { ColumnBatch } from "../schema/column_batch.ts";
import type { Config } from "../schema/config.ts";
import type { Erasure } from "../schema/erasure.ts";
import { assertNever, invariant } from "../schema/errors.ts";
import { type CoordinatorStats, type Sink, SINKS, type Stage } from "../schema/pipeline_stats.ts";
import type { CheckpointStore } from "../sinks/checkpoint_store.ts";
import type { Lake, LakeState, StagedFile, Warehouse } from "../sinks/sink.ts";
import type { PartitionRange } from "../sources/source.ts";
import type { Clock } from "./clock.ts";
import {
  committedCounts,
  epochAdvances,
  epochDeadLetters,
  epochErased,
  epochRecord,
  epochRevisions,
  epochRows,
  fencedNotice,
} from "./commit.ts";
import { type DeadLetterTopic, feedDeadLetters, refeedDeadLetters } from "./dead_letter_feed.ts";
import { groupClosingTimes } from "./end_to_end.ts";
import { transition } from "./epoch.ts";
import { watermarksOf } from "./epoch_books.ts";
import {
  type Epoch,
  type EpochEffect,
  type EpochEvent,
  type EpochsState,
  initialEpochs,
} from "./epoch_state.ts";
import { EpochReporter } from "./epoch_reporter.ts";
import { EpochTicker } from "./epoch_ticker.ts";
import { type ErasureWatchOptions, readErasures, watchErasures } from "./erasure_watch.ts";
import { Follower } from "./follower.ts";
import { checkpointHeader, LogPlaces, type PlacedSnapshot } from "./log_places.ts";
import type { Channel } from "./mailbox.ts";
import { Meter } from "./meter.ts";
import type {
  ActorReport,
  Assignment,
  IngestCommand,
  IngestReport,
  PipelineSummary,
  RunMode,
  ShardReport,
} from "./protocol.ts";
import { ReplayCheck } from "./replay_check.ts";
import { planRestart, replayNotice } from "./restart.ts";
import { retrying } from "./retry.ts";
import { probeSink } from "./sink_probe.ts";
import { reportStats } from "./stats_report.ts";

/** How long a drain waits for ClickHouse before it leaves the rest to the next start. */
const DRAIN_WAREHOUSE_MS = 60_000;

/** What the coordinator works with. */
export interface CoordinatorDeps {
  readonly config: Config;
  readonly mode: RunMode;
  readonly clock: Clock;
  readonly lake: Lake;
  /** Makes sure that the lake's store keeps what its commits rest on. */
  readonly prepareLake: () => Promise<void>;
  readonly warehouse: Warehouse;
  readonly checkpoints: CheckpointStore;
  /** The requests to erase that are open; without it there are none. */
  readonly erasures?: () => Promise<readonly Erasure[]>;
  readonly deadLetterTopic: DeadLetterTopic;
  readonly ingest: Channel<IngestCommand, IngestReport>;
  readonly shards: readonly Channel<never, ShardReport>[];
  readonly report: (report: ActorReport) => void;
  /** How to ask a sink whether it is there; without one, only its operations tell. */
  readonly pings: Readonly<Partial<Record<Sink, () => Promise<void>>>>;
}

/** What was uploaded for an epoch, until it is committed. */
interface Staged {
  readonly files: readonly StagedFile[];
  readonly rows: number;
  readonly revisions: ColumnBatch;
  readonly deadLetters: ColumnBatch;
  readonly deadLetterFile: string | null;
  readonly sealedAt: number;
}

/** Lands one epoch after another; made once for a run. Partitions come to it and go while it runs. */
export class Coordinator {
  /** Null until the lake is open; events wait in `#early`. */
  #epochs: EpochsState | null = null;
  readonly #early: EpochEvent[] = [];
  #follower!: Follower;
  readonly #staged = new Map<number, Staged>();
  /** What every partition of the topic held when ingest last said so; null before it first did. */
  #ranges: readonly PartitionRange[] | null = null;
  /** Whether the epochs know of the first assignment: before, nothing is restored because nothing is known. */
  #assigned = false;
  #firstPartitions: number | null = null;
  readonly #restored = Promise.withResolvers<void>();
  #ready = false;
  readonly #ended = Promise.withResolvers<void>();
  readonly #ticker: EpochTicker;
  readonly #meter: Meter;
  readonly #erasures: ErasureWatchOptions;
  #replayedBarriers = 0;
  readonly #replayCheck: ReplayCheck;
  #deltaVersion = -1;
  readonly #places = new LogPlaces();
  readonly #reporter: EpochReporter;
  /** Checkpoints are written one after another, off the commits' path. */
  #checkpointing: Promise<void> = Promise.resolve();

  constructor(private readonly deps: CoordinatorDeps) {
    this.#meter = new Meter(deps.clock);
    this.#replayCheck = new ReplayCheck(deps.lake, deps.shards.length);
    this.#reporter = new EpochReporter(deps.clock, deps.report, this.#meter.timeline);
    const { clock, config: { epochIntervalMs: intervalMs }, erasures: open = () => Promise.resolve([]) } =
      deps;
    this.#ticker = new EpochTicker(clock, intervalMs);
    const tell = (erasures: readonly Erasure[]) => this.#apply({ type: "erasures", erasures });
    this.#erasures = { open, clock, intervalMs, tell };
  }

  /** Starts from the log, runs until a drain or the end of a bounded run, and returns what was done. */
  async run(): Promise<PipelineSummary> {
    const { lake, warehouse, config, mode, shards, prepareLake, deadLetterTopic } = this.deps;
    this.#listen();
    const opened = prepareLake().then(() => Promise.all([lake.open(), readErasures(this.#erasures)]));
    const [[state]] = await Promise.all([opened, warehouse.open()]);
    this.#deltaVersion = state.version;
    await this.#follow(state);
    const epochs = initialEpochs({
      shards: shards.length,
      closeOpenAtEnd: mode.closeOpen,
      revisionIntervalMs: config.revisionIntervalMs,
      lastEpoch: state.lastEpoch,
    });
    this.#epochs = epochs;
    this.#early.splice(0).forEach((event) => this.#apply(event));
    await Promise.race([this.#restored.promise, this.#ended.promise]);
    await deadLetterTopic.open();
    this.#ready = true;
    this.deps.report({ type: "ready" });
    if (mode.verifyReplay) {
      this.#info(`The replay made the committed rows again at ${await this.#replayCheck.done()} barriers.`);
    }
    if (!mode.untilEnd) this.#ticker.run((at) => this.#apply({ type: "tick", at })).catch(this.#ended.reject);
    const watching = new AbortController();
    this.#watch(epochs, watching.signal).catch(this.#ended.reject);
    try {
      await this.#ended.promise;
    } finally {
      watching.abort();
    }
    this.deps.report({ type: "stats", stats: this.#stats(epochs) });
    return this.#reporter.summary;
  }

  /** Until `signal` aborts: asks the sinks whether they are there, and says what is counted. */
  async #watch(epochs: EpochsState, signal: AbortSignal): Promise<void> {
    const { clock, pings, report } = this.deps;
    const probes = SINKS.flatMap((sink) => {
      const ping = pings[sink];
      return ping === undefined
        ? []
        : [probeSink({ ping, health: this.#meter.sinks[sink].health, clock, signal })];
    });
    this.#meter.sinkTurned = () => report({ type: "stats", stats: this.#stats(epochs) });
    if (this.deps.erasures !== undefined) probes.push(watchErasures(this.#erasures, signal));
    await Promise.all([...probes, reportStats(() => this.#stats(epochs), report, clock, signal)]);
  }

  #stats(epochs: EpochsState): CoordinatorStats {
    return this.#meter.stats({
      deltaVersion: this.#deltaVersion,
      lastEpoch: epochs.lastEpoch,
      epochsInFlight: epochs.inFlight.length,
      lagVersions: this.#follower.lag,
      watermarks: watermarksOf(epochs),
      replayedBarriers: this.#replayedBarriers,
    });
  }

  /** Stops reading, lands what is finished, writes a checkpoint of the rest; then `run` returns. */
  drain(): void {
    this.#apply({ type: "drain" });
  }

  /** ClickHouse gets what it lacks, and from then on what is committed. */
  async #follow({ tableId, version }: LakeState): Promise<void> {
    const { lake, warehouse, clock } = this.deps;
    const meter = this.#meter;
    this.#follower = new Follower({ lake, warehouse, tableId, clock, notice: this.#warn, meter });
    const missing = await this.#follower.catchUp(version);
    if (missing > 1) this.#info(`ClickHouse lacks ${missing} of the table's versions: catching up.`);
    this.#follower.run().catch(this.#ended.reject);
    this.#follower.watch().catch(this.#ended.reject);
  }

  /** Reads where the log stands with partitions that came to this instance, and has them restored to it. */
  async #plan(partitions: readonly Assignment[]): Promise<void> {
    const { lake, clock, checkpoints, ingest } = this.deps;
    const ranges = this.#ranges;
    invariant(ranges !== null, "ingest says what the partitions hold when it says that they are assigned");
    const retry = { clock, notice: this.#warn, watcher: this.#meter.sinks.lake };
    const { starts, planned, recent, version } = await retrying(async () => {
      const state = await lake.state();
      this.#firstPartitions ??= state.firstPartitions ?? ranges.length;
      const plan = await planRestart(lake, state, checkpoints, ranges, partitions);
      return { ...plan, version: state.version };
    }, { ...retry, what: "Reading where the partitions stand in the Delta log" });
    const replayed = starts.reduce((sum, { replay }) => sum + replay.length, 0);
    this.#replayedBarriers += replayed;
    const notice = replayNotice(partitions, replayed, this.#ready);
    if (notice !== null) this.#info(notice);
    this.#replayCheck.expect(recent);
    this.#places.note(planned.flatMap(({ barrier }) => barrier ?? []), version);
    this.#apply({ type: "planned", partitions: planned });
    ingest.send({ type: "assign", partitions: starts });
    await refeedDeadLetters(this.deps.deadLetterTopic, lake, recent);
  }

  /** Listens from the first moment on; what comes before the lake is open waits for it. */
  #listen(): void {
    this.deps.ingest.receive((message) => {
      switch (message.type) {
        case "assigned":
          this.#ranges = message.ranges;
          return this.#apply(message);
        case "revoked":
        case "closed":
        case "end_reached":
          return this.#apply(message);
        case "full":
          return this.#apply({ type: "full", at: this.deps.clock.monotonic() });
        case "stopped":
          // By way of this port, so that it comes before the run's end.
          this.deps.report({ type: "stats", stats: message.stats });
          return this.#ended.resolve();
        default:
          assertNever(message);
      }
    });
    for (const shard of this.deps.shards) {
      shard.receive((message) => {
        if (message.type !== "remade") return this.#apply(message);
        this.#replayCheck.take(message).catch(this.#ended.reject);
      });
    }
  }

  #apply(event: EpochEvent): void {
    if (this.#epochs === null) return void this.#early.push(event);
    for (const effect of transition(this.#epochs, event)) this.#run(effect);
    const { unplanned, restoring } = this.#epochs;
    this.#assigned ||= event.type === "assigned";
    if (this.#assigned && unplanned.size + restoring.size === 0) this.#restored.resolve();
  }

  /** Runs an effect; what it throws ends the process. */
  #run(effect: EpochEffect): void {
    switch (effect.type) {
      case "close":
        this.#meter.asked(effect.command.epoch);
        return this.deps.ingest.send(effect.command);
      case "plan":
        return void this.#plan(effect.partitions).catch(this.#ended.reject);
      case "discard":
        return this.deps.ingest.send(effect);
      case "stage":
        return void this.#stage(effect.epoch, effect.attempt).catch(this.#ended.reject);
      case "commit":
        return void this.#commit(effect.epoch).catch(this.#ended.reject);
      case "checkpoint": {
        const snapshots = this.#places.place(effect.snapshots);
        this.#checkpointing = this.#checkpointing.then(() => this.#checkpoint(snapshots));
        return void this.#checkpointing.catch(this.#ended.reject);
      }
      case "settled":
        return void this.#settle().catch(this.#ended.reject);
      default:
        assertNever(effect);
    }
  }

  async #stage(epoch: Epoch, attempt: number): Promise<void> {
    const sealedAt = this.deps.clock.monotonic();
    this.#meter.sealed(epoch.number, epoch.closedBy);
    const rows = epochRows(epoch);
    const revisions = epochRevisions(epoch);
    const deadLetters = epochDeadLetters(epoch);
    const { lake } = this.deps;
    const staged = await this.#retry("upload", `The upload of epoch ${epoch.number}`, async () => ({
      files: rows.rows === 0 ? [] : await lake.stage(epoch.number, rows),
      deadLetterFile: deadLetters.rows === 0 ? null : await lake.stageDeadLetters(epoch.number, deadLetters),
    }));
    this.#meter.timeline.reached(epoch.number, "uploadedMs");
    if (epoch.attempt === attempt) {
      this.#staged.set(epoch.number, { ...staged, rows: rows.rows, revisions, deadLetters, sealedAt });
    }
    this.#apply({ type: "staged", epoch: epoch.number, attempt });
  }

  async #commit(epoch: Epoch): Promise<void> {
    const { lake, config, clock } = this.deps;
    const staged = this.#staged.get(epoch.number);
    invariant(staged !== undefined, `epoch ${epoch.number} is staged before it is committed`);
    this.#staged.delete(epoch.number);
    const { files, rows, revisions, deadLetters, deadLetterFile, sealedAt } = staged;
    const record = epochRecord(epoch, config, {
      firstPartitions: this.#firstPartitions!,
      rows,
      revisions: revisions.rows,
      deadLetters,
      deadLetterFile,
    });
    const [advances, erased] = [epochAdvances(epoch), epochErased(epoch)];
    const timestampMs = Math.floor(clock.now());
    const outcome = await this.#retry(
      "commit",
      `The Delta commit of epoch ${epoch.number}`,
      () => lake.commit({ files, revisions, advances, record, erased, timestampMs }),
    );
    if (outcome.status === "fenced") return this.#fenced(epoch, outcome.partitions);
    if (outcome.conflicts > 0) this.#ticker.stagger();
    const { version } = outcome;
    this.#deltaVersion = version;
    this.#places.note(epoch.barriers, version);
    const commitMs = clock.monotonic() - sealedAt;
    const counts = committedCounts(epoch, files, record, outcome.conflicts);
    this.#meter.committed(counts);
    // Times are not kept by partition: of an epoch that lost some, none are counted.
    const closing = groupClosingTimes(
      epoch.reduced ? [] : epoch.seals.map(({ closingTimes }) => closingTimes),
    );
    const inserted = Promise.withResolvers<number>();
    this.#follower.push(outcome.version, (insertMs) => {
      this.#meter.queryable(closing);
      inserted.resolve(insertMs);
    });
    const landed = { sessions: rows, revisions: revisions.rows, deadLetters: deadLetters.rows };
    const facts = { epoch, version, ...landed, bytes: counts.bytes, commitMs };
    this.#reporter.committed(facts, inserted.promise).catch(this.#ended.reject);
    await feedDeadLetters(this.deps.deadLetterTopic, deadLetters);
    const positions = new Map(epoch.barriers.map(({ partition, to }) => [partition, to]));
    this.deps.ingest.send({ type: "committed", epoch: epoch.number, positions });
    this.#apply({ type: "committed", epoch: epoch.number });
  }

  /** Another instance has moved partitions on: the epoch goes without them, and they are restored from the log. */
  #fenced(epoch: Epoch, partitions: readonly number[]): void {
    this.#warn(fencedNotice(epoch, partitions));
    this.#apply({ type: "fenced", epoch: epoch.number, partitions });
  }

  async #checkpoint(snapshots: readonly PlacedSnapshot[]): Promise<void> {
    for (const snapshot of snapshots) {
      const header = checkpointHeader(snapshot, this.deps.config);
      await this.#retry(
        "checkpoint",
        `The checkpoint of partition ${snapshot.barrier.partition}`,
        () => this.deps.checkpoints.write(header, snapshot.occurrences),
      );
    }
  }

  /** Everything is committed: waits for what lags behind, then has ingest close the source. */
  async #settle(): Promise<void> {
    this.#ticker.stop();
    await this.#checkpointing;
    if (!await this.#follower.settled(DRAIN_WAREHOUSE_MS)) {
      this.#warn(
        `ClickHouse still lacks ${this.#follower.lag} committed versions: they are inserted at the next start.`,
      );
    }
    this.#follower.stop();
    this.deps.ingest.send({ type: "shutdown" });
  }

  readonly #warn = (text: string) => this.deps.report({ type: "notice", level: "warning", text });
  readonly #info = (text: string) => this.deps.report({ type: "notice", level: "info", text });

  /** Does a stage's work in the lake, until it succeeds. */
  async #retry<T>(stage: Stage, what: string, attempt: () => Promise<T>): Promise<T> {
    const { clock } = this.deps;
    const started = clock.monotonic();
    const result = await retrying(attempt, {
      clock,
      notice: this.#warn,
      what,
      watcher: this.#meter.sinks.lake,
    });
    this.#meter.took(stage, clock.monotonic() - started);
    return result;
  }
}
