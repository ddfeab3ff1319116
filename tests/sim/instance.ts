/** One process: the real actors, joined as `supervisor.ts` and the workers' entry files join them. */
import type { Clock } from "../../actors/clock.ts";
import { Coordinator } from "../../actors/coordinator.ts";
import { DeadLetterTopic } from "../../actors/dead_letter_feed.ts";
import { Ingest } from "../../actors/ingest.ts";
import { batchBytes, channel, Mailbox } from "../../actors/mailbox.ts";
import type {
  Assignment,
  Credit,
  IngestCommand,
  IngestReport,
  RunMode,
  ShardMessage,
  ShardReport,
} from "../../actors/protocol.ts";
import { openSessions, SessionActor } from "../../actors/session_actor.ts";
import type { Config } from "../../schema/config.ts";
import { messageOf, SinkError } from "../../schema/errors.ts";
import type { ActorStats } from "../../schema/pipeline_stats.ts";
import { EPOCHS_IN_FLIGHT_MAX } from "../../schema/limits.ts";
import { CheckpointStore } from "../../sinks/checkpoint_store.ts";
import { openDeltaLake } from "../../sinks/lake/lake.ts";
import { TableUpkeep } from "../../sinks/lake/upkeep.ts";
import type { Warehouse } from "../../sinks/sink.ts";
import { createWarehouse } from "../../sinks/warehouse/clickhouse_warehouse.ts";
import { Random } from "../../sources/random.ts";
import type { Producer } from "../../sources/source.ts";
import { T0 } from "./time.ts";
import { type ClickHouse, simulatedAccess } from "./clickhouse.ts";
import type { Network } from "./network.ts";
import { type PortOptions, portPair } from "./ports.ts";
import type { Party, Scheduler } from "./scheduler.ts";
import { SimSource } from "./sim_source.ts";
import { type Bucket, RemoteStore } from "./stores.ts";
import type { Topic } from "./topic.ts";

/** A file's bytes name its rows, some ten of them. */
const OPTIMIZE_BYTES = 150;

/** What a process is started in. */
export interface Surroundings {
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly topic: Topic;
  readonly bucket: Bucket;
  readonly clickhouse: ClickHouse;
  /** Ids of the dead letters that reached their topic. */
  readonly deadLetterIds: Set<string>;
  /** How many views an insert reaches before the server dies. */
  readonly reach: () => number;
  readonly ports: Omit<PortOptions, "scheduler" | "random" | "party">;
  readonly batchRecords: number;
  readonly pollBatches: number;
  readonly rowsPerInsert: number;
  readonly optimizeMs: number | null;
  /** The process that wrote the newest commit of a partition. */
  readonly newestWriter: (partition: number) => string | undefined;
  readonly trace: (line: () => string) => void;
}

export interface InstanceOptions {
  readonly name: string;
  readonly config: Config;
  readonly mode: RunMode;
  readonly seed: number;
  /** What its wall clock is ahead of the broker's, milliseconds; may change at any time. */
  readonly skewMs: () => number;
}

/** How a process ended by itself. */
export type End = { readonly type: "finished" } | { readonly type: "failed"; readonly error: unknown };

/** A process of one ingest actor, session actors and a coordinator. */
export class Instance implements Party {
  readonly name: string;
  alive = true;
  pausedUntil = 0;
  /** Set when it ended by itself. */
  end: End | null = null;
  ready = false;
  readonly source: SimSource;
  readonly violations: string[] = [];
  readonly #random: Random;
  readonly #clock: Clock;
  readonly #coordinator: Coordinator;

  constructor(private readonly around: Surroundings, private readonly options: InstanceOptions) {
    this.name = options.name;
    this.#random = new Random(options.seed);
    this.#clock = this.#makeClock();
    const { topic, network, scheduler, batchRecords, pollBatches } = around;
    this.source = new SimSource({ topic, network, scheduler, party: this, batchRecords, pollBatches });
    const control = this.#ports();
    const mailboxes: Mailbox[] = [];
    const seals: MessagePort[] = [];
    for (let shard = 0; shard < options.config.sessionActors; shard++) {
      const records = this.#ports(true);
      const reports = this.#ports();
      this.#startShard(shard, records.port2, reports.port2);
      const mailbox = new Mailbox(records.port1, options.config.mailboxBytesMax);
      this.#watchMailbox(records.port1, mailbox);
      mailboxes.push(mailbox);
      seals.push(reports.port1);
    }
    const { config, mode } = options;
    const coordinator = channel<IngestReport, IngestCommand>(control.port1);
    const ingest = new Ingest({
      source: this.source,
      mailboxes,
      coordinator: {
        ...coordinator,
        send: (report) => {
          if (report.type === "closed") {
            this.#trace(() => `closes epoch ${report.epoch}: ${JSON.stringify(report)}`);
          }
          coordinator.send(report);
        },
      },
      clock: this.#clock,
      config,
      mode,
      notice: (text) => this.#trace(() => text),
    });
    this.#coordinator = this.#makeCoordinator(control.port2, seals);
    ingest.run().catch((error) => this.fail(error));
    this.#coordinator.run().then(() => this.#finish({ type: "finished" }), (error) => this.fail(error));
    if (around.optimizeMs !== null) this.#optimize(around.optimizeMs).catch((error) => this.fail(error));
  }

  /** Asks for an orderly stop. */
  drain(): void {
    this.#trace(() => "is asked to drain");
    this.#coordinator.drain();
  }

  /** It is gone from one moment to the next. */
  kill(): void {
    this.#trace(() => "is killed");
    this.alive = false;
  }

  /** It stops because of an error. */
  fail(error: unknown): void {
    this.#finish({ type: "failed", error });
  }

  #finish(end: End): void {
    if (!this.alive) return;
    this.#trace(() => end.type === "failed" ? `stops: ${messageOf(end.error)}` : "has finished");
    this.end = end;
    this.alive = false;
  }

  #trace(text: () => string): void {
    this.around.trace(() => `${this.name} ${text()}`);
  }

  #makeClock(): Clock {
    const { scheduler } = this.around;
    const { skewMs } = this.options;
    return {
      now: () => Math.floor(T0 + scheduler.now + skewMs()),
      monotonic: () => scheduler.now,
      random: () => this.#random.float(),
      sleep: (ms, signal) =>
        new Promise((resolve) => {
          if (signal?.aborted) return resolve();
          const cancel = scheduler.after(ms, this, resolve);
          signal?.addEventListener("abort", () => {
            cancel();
            resolve();
          }, { once: true });
        }),
    };
  }

  #ports(plain = false): { port1: MessagePort; port2: MessagePort } {
    const { scheduler, ports } = this.around;
    return portPair({ ...ports, scheduler, random: this.#random, party: this }, plain);
  }

  /** As `upkeep.ts` does it, but for that no file is too young: late events meet packed files. */
  async #optimize(intervalMs: number): Promise<void> {
    const { network, bucket } = this.around;
    const store = new RemoteStore(bucket, network, this, "lake");
    const upkeep = new TableUpkeep({ store, now: () => this.#clock.now(), uuid: () => this.#random.uuid() });
    while (this.alive) {
      await this.#clock.sleep(intervalMs * (0.5 + this.#clock.random()));
      if (!this.ready) continue;
      try {
        const patient = this.#clock.random() < 0.5;
        const plan = { targetBytes: OPTIMIZE_BYTES, writtenBeforeMs: Infinity, date: null, patient };
        const { versions, conflicts, abandoned } = await upkeep.optimize(plan);
        this.#trace(() =>
          `optimized in versions [${versions}], ${conflicts} conflicts, ${abandoned} given up`
        );
      } catch (error) {
        if (!(error instanceof SinkError)) throw error;
        this.#trace(() => `could not optimize: ${error.message}`);
      }
    }
  }

  /** As `workers/session.ts` does it. */
  #startShard(shard: number, ingest: MessagePort, coordinator: MessagePort): void {
    const { config } = this.options;
    const reports = channel<ShardReport, never>(coordinator);
    const mailbox = channel<Credit, ShardMessage>(ingest);
    const sessions = openSessions(config.sessionizer, { shard, shards: config.sessionActors });
    const actor = new SessionActor(shard, sessions, config.topic, (report) => reports.send(report));
    mailbox.receive((message) => {
      const bytes = message.type === "records" ? batchBytes(message.batch) : 0;
      actor.handle(message);
      if (bytes > 0) mailbox.send({ bytes });
    });
  }

  #makeCoordinator(ingest: MessagePort, shards: readonly MessagePort[]): Coordinator {
    const { network, bucket } = this.around;
    const { config, mode } = this.options;
    const { pipeline, topic } = config;
    const notice = (text: string) => this.#trace(() => text);
    const toIngest = channel<IngestCommand, IngestReport>(ingest);
    return new Coordinator({
      config,
      mode,
      clock: this.#clock,
      lake: openDeltaLake({
        store: new RemoteStore(bucket, network, this, "lake"),
        pipeline,
        topic,
        now: () => this.#clock.now(),
        uuid: () => this.#random.uuid(),
        onWarning: notice,
      }),
      prepareLake: () => Promise.resolve(),
      warehouse: this.#makeWarehouse(),
      checkpoints: new CheckpointStore({
        store: new RemoteStore(bucket, network, this, "checkpoints"),
        pipeline,
        topic,
        notice,
      }),
      deadLetterTopic: new DeadLetterTopic(() => Promise.resolve(this.#makeDeadLetterTopic())),
      ingest: {
        ...toIngest,
        send: (command) => {
          if (command.type === "discard") this.#watchFencing(command.partitions);
          toIngest.send(command);
        },
      },
      shards: shards.map((port) => channel<never, ShardReport>(port)),
      report: (report) => {
        if (report.type === "ready") this.ready = true;
        if (report.type === "notice") notice(report.text);
        if (report.type === "stats") this.#watchEpochs(report.stats);
      },
      pings: {},
    });
  }

  #makeWarehouse(): Warehouse {
    const { network, clickhouse, reach, rowsPerInsert } = this.around;
    const access = simulatedAccess({ server: clickhouse, network, party: this, reach });
    const warehouse = createWarehouse({ access, rowsPerInsert });
    return {
      open: () => Promise.resolve(),
      doneVersions: (tableId, from) => warehouse.doneVersions(tableId, from),
      follow: (tableId, version, payload) => warehouse.follow(tableId, version, payload),
      retire: (tableId, version, dates) => warehouse.retire(tableId, version, dates),
      close: () => Promise.resolve(),
    };
  }

  #makeDeadLetterTopic(): Producer {
    const { network, deadLetterIds } = this.around;
    return {
      topic: "web_clicks.dlq",
      send: (records) =>
        network.call({
          party: this,
          service: "dead_letters",
          name: `send ${records.length}`,
          apply: () =>
            records.map(({ headers }, offset) => {
              deadLetterIds.add(headers!.id!);
              return { partition: 0, offset };
            }),
          failure: (why) => new Error(`The topic of dead letters did not answer: ${why}`),
        }),
      close: () => Promise.resolve(),
    };
  }

  /** The epochs in flight are bounded. */
  #watchEpochs(stats: ActorStats): void {
    if (stats.actor !== "coordinator" || stats.epochsInFlight <= EPOCHS_IN_FLIGHT_MAX) return;
    this.violations.push(`${stats.epochsInFlight} epochs are in flight at once.`);
  }

  /** Nobody is fenced by a commit of its own. */
  #watchFencing(partitions: readonly Assignment[]): void {
    this.#trace(() => `is fenced: ${JSON.stringify(partitions)}`);
    for (const { partition } of partitions) {
      if (this.around.newestWriter(partition) !== this.name) continue;
      this.violations.push(
        `${this.name} is fenced in partition ${partition}, and wrote its newest commit itself.`,
      );
    }
  }

  /** A mailbox holds no more than its bound, but for one batch that is larger. */
  #watchMailbox(port: MessagePort, mailbox: Mailbox): void {
    const { mailboxBytesMax } = this.options.config;
    const post = port.postMessage.bind(port) as (message: ShardMessage, transfer?: Transferable[]) => void;
    port.postMessage = (message: ShardMessage, transfer?: unknown) => {
      const { outstandingBytes } = mailbox;
      const bytes = message.type === "records" ? batchBytes(message.batch) : 0;
      if (bytes > 0 && outstandingBytes > mailboxBytesMax && outstandingBytes > bytes) {
        this.violations.push(`A mailbox holds ${outstandingBytes} bytes of ${mailboxBytesMax}.`);
      }
      post(message, transfer as Transferable[]);
    };
  }
}
