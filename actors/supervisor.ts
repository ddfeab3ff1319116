/**
 * The supervisor, on the main thread: starts the actors, each in a worker of its own, joins them by ports so that no
 * message passes through here, and stops the process when one of them fails. Whatever runs the program starts it again:
 * a restart is a replay, and as a whole process it is the one that is tested.
 */
import type { ClickHouseClient } from "@clickhouse/client";
import type { Config } from "../schema/config.ts";
import { dataPaths } from "../schema/data_paths.ts";
import { assertNever, EXIT, SinkError, UserError } from "../schema/errors.ts";
import type { Inspection, OpenSessionQuery } from "../schema/open_session.ts";
import type { PipelineStats } from "../schema/pipeline_stats.ts";
import type { ChdbControl, ChdbNotice } from "../sinks/warehouse/chdb_protocol.ts";
import { systemClock } from "./clock.ts";
import { Inspections } from "./inspections.ts";
import type {
  ActorReport,
  CoordinatorCommand,
  CoordinatorStart,
  EpochReport,
  Failure,
  IngestStart,
  PipelineSummary,
  RunMode,
  SessionActorCommand,
  SessionActorStart,
  UpkeepStart,
} from "./protocol.ts";
import { StatsBoard } from "./stats_board.ts";

export interface PipelineOptions extends RunMode {
  readonly config: Config;
}

/** A sentence of an actor for the operator. */
export interface Notice {
  readonly level: "info" | "warning";
  readonly text: string;
}

/** A pipeline that runs. */
export interface Pipeline {
  /** Settles when the pipeline has stopped: resolves after a drain or the end, rejects with the error that stopped it. */
  readonly finished: Promise<PipelineSummary>;
  /** Stop reading, seal, commit, insert, write a checkpoint; then `finished` resolves. */
  drain(): void;
  onEpoch(listener: (report: EpochReport) => void): void;
  onNotice(listener: (notice: Notice) => void): void;
  /** What the actors last reported of themselves. */
  stats(): PipelineStats;
  /** Asks the session actors for open sessions. */
  inspect(query: OpenSessionQuery): Promise<Inspection>;
  /** A client for read-only queries, on the calling thread; closed with the pipeline. */
  openWarehouse(): Promise<ClickHouseClient>;
}

/** The embedded ClickHouse in its worker. One process may hold one data folder. */
export interface EmbeddedWarehouse {
  /** A port that the worker serves, for one client. */
  connect(): MessagePort;
  /** Releases the folder. */
  close(): Promise<void>;
}

/**
 * Starts the embedded ClickHouse on `folder`.
 *
 * @throws {SinkError} where the folder or the engine cannot be used
 */
export async function startEmbeddedWarehouse(folder: string): Promise<EmbeddedWarehouse> {
  const worker = new Worker(new URL("../sinks/warehouse/chdb_worker.ts", import.meta.url), {
    type: "module",
  });
  const control = (message: ChdbControl, transfer: Transferable[] = []) =>
    worker.postMessage(message, transfer);
  const notice = () =>
    new Promise<ChdbNotice>((resolve, reject) => {
      worker.onmessage = ({ data }: MessageEvent<ChdbNotice>) => resolve(data);
      worker.onerror = (event) => {
        event.preventDefault();
        reject(new SinkError(`The embedded ClickHouse failed: ${event.message}`, false));
      };
    });
  const opened = notice();
  control({ type: "open", folder });
  const answer = await opened;
  if (answer.type === "failed") {
    worker.terminate();
    throw new SinkError(answer.message, false);
  }
  return {
    connect() {
      const { port1, port2 } = new MessageChannel();
      control({ type: "serve", port: port2 }, [port2]);
      return port1;
    },
    async close() {
      const closed = notice();
      control({ type: "close" });
      await closed;
    },
  };
}

/**
 * Starts the actors, and resolves when they have taken up where the log stands.
 *
 * @throws the error that kept one of them from starting
 */
export async function startPipeline(options: PipelineOptions): Promise<Pipeline> {
  const { config } = options;
  const embedded = config.clickhouseUrl === null
    ? await startEmbeddedWarehouse(dataPaths(config.dataDir).warehouse)
    : null;
  const supervisor = new Supervisor(options, embedded);
  try {
    await supervisor.ready;
  } catch (error) {
    await supervisor.finished.catch(() => {}); // the workers are stopped
    throw error;
  }
  return supervisor;
}

class Supervisor implements Pipeline {
  readonly finished: Promise<PipelineSummary>;
  readonly ready: Promise<void>;
  readonly #workers: Worker[] = [];
  readonly #coordinator: Worker;
  readonly #epochListeners: ((report: EpochReport) => void)[] = [];
  readonly #noticeListeners: ((notice: Notice) => void)[] = [];
  readonly #notices: Notice[] = [];
  readonly #board: StatsBoard;
  readonly #sessionActors: Worker[] = [];
  readonly #inspections: Inspections;
  #warehouse: Promise<ClickHouseClient> | null = null;

  constructor(
    private readonly options: PipelineOptions,
    private readonly embedded: EmbeddedWarehouse | null,
  ) {
    const ready = Promise.withResolvers<void>();
    const finished = Promise.withResolvers<PipelineSummary>();
    this.ready = ready.promise;
    // A run that ends by itself is too short for it.
    const { optimizeIntervalMs, vacuumIntervalMs, retentionMs } = options.config;
    const upkeep = !options.untilEnd && (optimizeIntervalMs + vacuumIntervalMs > 0 || retentionMs !== null);
    this.#board = new StatsBoard(options.config.sessionActors, upkeep, systemClock.now);
    const receive = (actor: Worker, message: ActorReport) => {
      if (message.type === "finished") finished.resolve(message.summary);
      else if (message.type === "failed") finished.reject(errorOf(message.failure));
      else if (message.type !== "ready") this.#tell(message);
      else if (actor === this.#coordinator) ready.resolve();
    };
    this.#coordinator = this.#startActors(options, embedded?.connect() ?? null, receive);
    // Not before: what it loads would keep a restart from reading.
    if (upkeep) {
      this.ready.then(
        () => this.#startUpkeep(options.config, embedded?.connect() ?? null, receive),
        () => {},
      );
    }
    this.#inspections = new Inspections(
      this.#sessionActors.map((worker) => (command: SessionActorCommand) => worker.postMessage(command)),
      systemClock,
    );
    this.finished = finished.promise.finally(async () => {
      for (const worker of this.#workers) worker.terminate();
      await (await this.#warehouse)?.close();
      await embedded?.close();
    });
    this.finished.catch(ready.reject);
    this.ready.catch(() => {}); // whoever awaits `finished` sees it too
  }

  drain(): void {
    this.#coordinator.postMessage({ type: "drain" } satisfies CoordinatorCommand);
  }

  onEpoch(listener: (report: EpochReport) => void): void {
    this.#epochListeners.push(listener);
  }

  /** Notices from before the first listener are handed over to it. */
  onNotice(listener: (notice: Notice) => void): void {
    this.#noticeListeners.push(listener);
    this.#notices.splice(0).forEach(listener);
  }

  stats(): PipelineStats {
    return this.#board.stats;
  }

  openWarehouse(): Promise<ClickHouseClient> {
    const { options: { config }, embedded } = this;
    // Loaded when it is asked for, so that a restart reads sooner.
    return this.#warehouse ??= import("../sinks/warehouse/open.ts")
      .then(({ openAccess }) => openAccess(config, embedded?.connect() ?? null).client);
  }

  inspect(query: OpenSessionQuery): Promise<Inspection> {
    return this.#inspections.inspect(query);
  }

  #tell(
    message: Extract<ActorReport, { type: "epoch" | "notice" | "processing" | "stats" | "inspected" }>,
  ): void {
    switch (message.type) {
      case "processing":
        return this.#board.processing(message.atMs);
      case "stats":
        return this.#board.take(message.stats);
      case "inspected":
        return this.#inspections.answer(message.id, message.shard, message.sessions);
      case "epoch":
        return this.#epochListeners.forEach((listener) => listener(message.report));
      case "notice":
        if (this.#noticeListeners.length === 0) this.#notices.push(message);
        return this.#noticeListeners.forEach((listener) => listener(message));
      default:
        assertNever(message);
    }
  }

  /** Starts ingest, the session actors and the coordinator, joined by ports. Returns the coordinator. */
  #startActors(
    { config, untilEnd, closeOpen, verifyReplay }: PipelineOptions,
    warehouse: MessagePort | null,
    receive: (actor: Worker, message: ActorReport) => void,
  ): Worker {
    const start = { config, mode: { untilEnd, closeOpen, verifyReplay } };
    const ingest = this.#spawn("ingest", receive);
    const coordinator = this.#spawn("coordinator", receive);
    const toShards: MessagePort[] = [];
    const fromShards: MessagePort[] = [];
    for (let shard = 0; shard < config.sessionActors; shard++) {
      const records = new MessageChannel();
      const seals = new MessageChannel();
      toShards.push(records.port1);
      fromShards.push(seals.port1);
      const message: SessionActorStart = { ...start, shard, ingest: records.port2, coordinator: seals.port2 };
      const worker = this.#spawn("session", receive);
      this.#sessionActors.push(worker);
      worker.postMessage(message, [records.port2, seals.port2]);
    }
    const control = new MessageChannel();
    const toIngest: IngestStart = { ...start, shards: toShards, coordinator: control.port1 };
    ingest.postMessage(toIngest, [...toShards, control.port1]);
    const toCoordinator: CoordinatorStart = {
      ...start,
      shards: fromShards,
      ingest: control.port2,
      warehouse,
    };
    const ports = [...fromShards, control.port2, ...(warehouse === null ? [] : [warehouse])];
    coordinator.postMessage(toCoordinator, ports);
    return coordinator;
  }

  #startUpkeep(
    config: Config,
    warehouse: MessagePort | null,
    receive: (actor: Worker, message: ActorReport) => void,
  ): void {
    const start: UpkeepStart = { config, warehouse };
    this.#spawn("upkeep", receive).postMessage(start, warehouse === null ? [] : [warehouse]);
  }

  #spawn(
    actor: "ingest" | "session" | "coordinator" | "upkeep",
    receive: (actor: Worker, message: ActorReport) => void,
  ): Worker {
    const worker = new Worker(new URL(`./workers/${actor}.ts`, import.meta.url), {
      type: "module",
      name: actor,
    });
    worker.onmessage = ({ data }: MessageEvent<ActorReport>) => receive(worker, data);
    worker.onerror = (event) => {
      event.preventDefault();
      const failure = { name: "Error", stack: undefined, exitCode: EXIT.internal };
      receive(worker, {
        type: "failed",
        failure: { ...failure, message: `The ${actor} actor died: ${event.message}` },
      });
    };
    this.#workers.push(worker);
    return worker;
  }
}

/** An actor's error, as one of this thread. */
function errorOf({ name, message, stack, exitCode }: Failure): Error {
  const error = exitCode === EXIT.internal ? new Error(message) : new UserError(message, exitCode);
  Object.defineProperty(error, "name", { value: name });
  if (stack !== undefined) error.stack = stack;
  return error;
}
