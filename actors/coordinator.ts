/**
 * The coordinator: every epoch interval it has ingest close an epoch, gathers what the shards seal, and lands it: files,
 * one Delta commit, then the ClickHouse insert, every fifth epoch a checkpoint, and the source's offsets. When an epoch
 * may do what is `epoch.ts`'s; this runs its effects.
 */
import type { ColumnBatch } from "../schema/column_batch.ts";
import type { Config } from "../schema/config.ts";
import { SEMANTICS_VERSION } from "../schema/epoch.ts";
import { assertNever, invariant, SinkError } from "../schema/errors.ts";
import { type CoordinatorStats, type Sink, SINKS, type Stage } from "../schema/pipeline_stats.ts";
import type { CheckpointStore } from "../sinks/checkpoint_store.ts";
import type { Lake, LakeState, StagedFile, Warehouse } from "../sinks/sink.ts";
import type { PartitionRange, Producer } from "../sources/source.ts";
import type { Clock } from "./clock.ts";
import { epochAdvances, epochDeadLetters, epochRecord, epochRows } from "./commit.ts";
import { feedDeadLetters } from "./dead_letter_feed.ts";
import { groupClosingTimes } from "./end_to_end.ts";
import {
  type Epoch,
  type EpochEffect,
  type EpochEvent,
  type EpochsState,
  initialEpochs,
  type Snapshot,
  transition,
} from "./epoch.ts";
import { EpochReporter } from "./epoch_reporter.ts";
import { Follower } from "./follower.ts";
import type { Channel } from "./mailbox.ts";
import { Meter } from "./meter.ts";
import type {
  ActorReport,
  IngestCommand,
  IngestReport,
  PipelineSummary,
  RunMode,
  ShardReport,
} from "./protocol.ts";
import { planRestart, type RestartPlan } from "./restart.ts";
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
  readonly warehouse: Warehouse;
  readonly checkpoints: CheckpointStore;
  readonly deadLetterTopic: Producer;
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
  readonly deadLetters: ColumnBatch;
  readonly deadLetterFile: string | null;
  readonly sealedAt: number;
}

type Restored = Extract<ShardReport, { type: "restored" }>["partitions"][number];

/** Lands one epoch after another; made once for a run. */
export class Coordinator {
  /** Null until all shards are restored; events wait in `#early`. */
  #epochs: EpochsState | null = null;
  readonly #early: EpochEvent[] = [];
  #follower!: Follower;
  readonly #staged = new Map<number, Staged>();
  readonly #ended = Promise.withResolvers<void>();
  readonly #ticking = new AbortController();
  readonly #meter: Meter;
  readonly #closeAskedAt = new Map<number, number>();
  #replayedBarriers = 0;
  #deltaVersion = -1;
  #reporter!: EpochReporter;
  /** Checkpoints are written one after another, off the commits' path. */
  #checkpointing: Promise<void> = Promise.resolve();

  constructor(private readonly deps: CoordinatorDeps) {
    this.#meter = new Meter(deps.clock);
  }

  /** Starts from the log, runs until a drain or the end of a bounded run, and returns what was done. */
  async run(): Promise<PipelineSummary> {
    const { lake, warehouse, config, mode } = this.deps;
    const { ranges, restored } = this.#listen();
    const [state] = await Promise.all([lake.open(), warehouse.open()]);
    const epochs = await this.#restart(state, await ranges);
    for (const { partition, latestEventTime } of await restored) {
      if (latestEventTime === null) continue;
      epochs.latest.set(
        partition,
        Math.max(epochs.latest.get(partition) ?? latestEventTime, latestEventTime),
      );
    }
    this.#follower.run().catch(this.#ended.reject);
    this.deps.report({ type: "ready" });
    this.#reporter = new EpochReporter(this.deps.clock, this.deps.report);
    this.#epochs = epochs;
    this.#early.splice(0).forEach((event) => this.#apply(event));
    if (!mode.untilEnd) this.#tick(config.epochIntervalMs).catch(this.#ended.reject);
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
    await Promise.all([...probes, reportStats(() => this.#stats(epochs), report, clock, signal)]);
  }

  #stats(epochs: EpochsState): CoordinatorStats {
    return this.#meter.stats({
      deltaVersion: this.#deltaVersion,
      lastEpoch: epochs.lastEpoch,
      epochsInFlight: epochs.inFlight.length,
      lagVersions: this.#follower.lag,
      watermarks: [...epochs.barriers.values()].flatMap(({ partition, watermark, clock, idleSince }) =>
        watermark === null ? [] : [{ partition, watermark, clock, idleSince }]
      ),
      replayedBarriers: this.#replayedBarriers,
    });
  }

  /** Stops reading, lands what is finished, writes a checkpoint of the rest; then `run` returns. */
  drain(): void {
    this.#apply({ type: "drain" });
  }

  /** Reads where the log stands, and has ingest and the shards restored to it. */
  async #restart(state: LakeState, ranges: readonly PartitionRange[]): Promise<EpochsState> {
    const { lake, warehouse, clock, checkpoints, mode, shards } = this.deps;
    const plan = await planRestart(lake, state, checkpoints, ranges);
    const epochs = initialEpochs({
      shards: shards.length,
      closeOpenAtEnd: mode.closeOpen,
      lastEpoch: state.lastEpoch,
    });
    for (const [partition, ledger] of plan.ledgers) epochs.ledgers.set(partition, ledger);
    for (const [partition, barrier] of plan.barriers) epochs.barriers.set(partition, barrier);
    for (const [partition, number] of plan.checkpointed) epochs.checkpointed.set(partition, number);
    this.#deltaVersion = state.version;
    await this.#refeedDeadLetters(plan);
    this.#follower = new Follower({
      lake,
      warehouse,
      tableId: state.tableId,
      clock,
      notice: this.#warn,
      meter: this.#meter,
    });
    const missing = await this.#follower.catchUp(state.version);
    if (missing > 1) this.#info(`ClickHouse lacks ${missing} of the table's versions: catching up.`);
    const replayed = plan.partitions.reduce((sum, { replay }) => sum + replay.length, 0);
    this.#replayedBarriers = replayed;
    if (replayed > 0) {
      this.#info(`The last run was not stopped in order: replaying ${replayed} recorded barriers.`);
    }
    this.deps.ingest.send({ type: "assign", partitions: plan.partitions });
    return epochs;
  }

  /** A crash may have come between a commit and the feed of its dead letters: they go again. */
  async #refeedDeadLetters({ recent }: RestartPlan): Promise<void> {
    for (const { record } of recent) {
      if (record.deadLetterFile === null) continue;
      const letters = await this.deps.lake.readDeadLetterFile(record.deadLetterFile);
      await feedDeadLetters(this.deps.deadLetterTopic, letters);
    }
  }

  /** Listens from the first moment on; what comes before the start is planned waits for it. */
  #listen(): { ranges: Promise<readonly PartitionRange[]>; restored: Promise<readonly Restored[]> } {
    const ranges = Promise.withResolvers<readonly PartitionRange[]>();
    this.deps.ingest.receive((message) => {
      switch (message.type) {
        case "ranges":
          return ranges.resolve(message.ranges);
        case "closed":
        case "full":
        case "end_reached":
          return this.#apply(message);
        case "stopped":
          // By way of this port, so that it comes before the run's end.
          this.deps.report({ type: "stats", stats: message.stats });
          return this.#ended.resolve();
        default:
          assertNever(message);
      }
    });
    const restored = this.deps.shards.map((shard) => {
      const answered = Promise.withResolvers<readonly Restored[]>();
      shard.receive((message) => {
        if (message.type === "restored") answered.resolve(message.partitions);
        else this.#apply(message);
      });
      return answered.promise;
    });
    return { ranges: ranges.promise, restored: Promise.all(restored).then((all) => all.flat()) };
  }

  async #tick(intervalMs: number): Promise<void> {
    let next = this.deps.clock.monotonic();
    while (!this.#ticking.signal.aborted) {
      next += intervalMs;
      await this.deps.clock.sleep(Math.max(0, next - this.deps.clock.monotonic()), this.#ticking.signal);
      this.#apply({ type: "tick" });
    }
  }

  #apply(event: EpochEvent): void {
    if (this.#epochs === null) this.#early.push(event);
    else for (const effect of transition(this.#epochs, event)) this.#run(effect);
  }

  /** Runs an effect; what it throws ends the process. */
  #run(effect: EpochEffect): void {
    switch (effect.type) {
      case "close":
        this.#closeAskedAt.set(effect.command.epoch, this.deps.clock.monotonic());
        this.#meter.timeline.reached(effect.command.epoch, "askedMs");
        return this.deps.ingest.send(effect.command);
      case "stage":
        return void this.#stage(effect.epoch).catch(this.#ended.reject);
      case "commit":
        return void this.#commit(effect.epoch).catch(this.#ended.reject);
      case "checkpoint": {
        const version = this.#deltaVersion;
        this.#checkpointing = this.#checkpointing.then(() => this.#checkpoint(effect.snapshots, version));
        return void this.#checkpointing.catch(this.#ended.reject);
      }
      case "settled":
        return void this.#settle().catch(this.#ended.reject);
      default:
        assertNever(effect);
    }
  }

  async #stage(epoch: Epoch): Promise<void> {
    const sealedAt = this.deps.clock.monotonic();
    this.#meter.took("seal", sealedAt - this.#closeAskedAt.get(epoch.number)!);
    this.#closeAskedAt.delete(epoch.number);
    this.#meter.timeline.reached(epoch.number, "sealedMs", { closedBy: epoch.closedBy });
    const rows = epochRows(epoch);
    const deadLetters = epochDeadLetters(epoch);
    const { lake } = this.deps;
    const staged = await this.#retry("upload", `The upload of epoch ${epoch.number}`, async () => ({
      files: rows.rows === 0 ? [] : await lake.stage(epoch.number, rows),
      deadLetterFile: deadLetters.rows === 0 ? null : await lake.stageDeadLetters(epoch.number, deadLetters),
    }));
    this.#meter.timeline.reached(epoch.number, "uploadedMs");
    this.#staged.set(epoch.number, { ...staged, rows: rows.rows, deadLetters, sealedAt });
    this.#apply({ type: "staged", epoch: epoch.number });
  }

  async #commit(epoch: Epoch): Promise<void> {
    const { lake, config, clock } = this.deps;
    const staged = this.#staged.get(epoch.number);
    invariant(staged !== undefined, `epoch ${epoch.number} is staged before it is committed`);
    this.#staged.delete(epoch.number);
    const { files, rows, deadLetters, deadLetterFile, sealedAt } = staged;
    const record = epochRecord(epoch, config, rows, deadLetters, deadLetterFile);
    const timestampMs = Math.floor(clock.now());
    const outcome = await this.#retry(
      "commit",
      `The Delta commit of epoch ${epoch.number}`,
      () => lake.commit({ files, advances: epochAdvances(epoch), record, timestampMs }),
    );
    if (outcome.status === "fenced") {
      throw new SinkError(
        `Stopping: the Delta log has moved on without this process in the partitions ${
          outcome.partitions.join(", ")
        }, ` +
          `so another process runs the pipeline '${config.pipeline}' on the same table. Stop one of them, or give it ` +
          `another PIPELINE and lake. Nothing was committed twice.`,
        false,
      );
    }
    this.#deltaVersion = outcome.version;
    const commitMs = clock.monotonic() - sealedAt;
    const partitions = epoch.seals.flatMap(({ partitions }) => partitions);
    const bytes = files.reduce((sum, { size }) => sum + size, 0);
    this.#meter.timeline.reached(epoch.number, "committedMs", {
      version: outcome.version,
      sessions: rows,
      events: epoch.records,
      deadLetters: deadLetters.rows,
      bytes,
    });
    this.#meter.committed({
      consumed: epoch.records,
      duplicates: partitions.reduce((sum, { counts }) => sum + counts.duplicates, 0),
      sessions: rows,
      bytes,
      deadLetters: record.deadLetters,
      conflicts: outcome.conflicts,
    });
    const closing = groupClosingTimes(epoch.seals.map(({ closingTimes }) => closingTimes));
    const inserted = Promise.withResolvers<number>();
    this.#follower.push(outcome.version, (insertMs) => {
      this.#meter.queryable(closing);
      this.#meter.timeline.reached(epoch.number, "insertedMs");
      inserted.resolve(insertMs);
    });
    const facts = {
      epoch,
      version: outcome.version,
      sessions: rows,
      deadLetters: deadLetters.rows,
      commitMs,
    };
    this.#reporter.committed(facts, inserted.promise).catch(this.#ended.reject);
    await feedDeadLetters(this.deps.deadLetterTopic, deadLetters);
    const positions = new Map(epoch.barriers.map(({ partition, to }) => [partition, to]));
    this.deps.ingest.send({ type: "committed", epoch: epoch.number, positions });
    this.#apply({ type: "committed", epoch: epoch.number });
  }

  async #checkpoint(snapshots: readonly Snapshot[], deltaVersion: number): Promise<void> {
    const { pipeline, topic } = this.deps.config;
    for (const { barrier, ledger, latestEventTime, occurrences } of snapshots) {
      const header = {
        semanticsVersion: SEMANTICS_VERSION,
        pipeline,
        topic,
        barrier,
        ledger,
        latestEventTime,
        deltaVersion,
      };
      await this.#retry(
        "checkpoint",
        `The checkpoint of partition ${barrier.partition}`,
        () => this.deps.checkpoints.write(header, occurrences),
      );
    }
  }

  /** Everything is committed: waits for what lags behind, then has ingest close the source. */
  async #settle(): Promise<void> {
    this.#ticking.abort();
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
