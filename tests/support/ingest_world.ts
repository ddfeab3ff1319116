/** An ingest actor over a source in memory, with real ports to shards that note what they get. */
import { assert } from "@std/assert";
import { crc32 } from "node:zlib";
import { Ingest } from "../../actors/ingest.ts";
import { batchBytes, type Channel, channel, Mailbox } from "../../actors/mailbox.ts";
import type {
  Credit,
  IngestCommand,
  IngestReport,
  PartitionStart,
  RunMode,
  ShardMessage,
} from "../../actors/protocol.ts";
import { type Config, resolveConfig } from "../../schema/config.ts";
import type { PartitionBarrier } from "../../schema/epoch.ts";
import type { ProducedRecord } from "../../sources/source.ts";
import { FakeClock, turns } from "./fake_clock.ts";
import { FakeSource } from "./fake_source.ts";
import { barrierOf, eventBytes, SEMANTICS, T0 } from "./records.ts";

export interface IngestOptions {
  readonly shards?: number;
  readonly mode?: Partial<RunMode>;
  readonly config?: Partial<Config>;
}

type CloseCommand = Extract<IngestCommand, { type: "close" }>;

/** The records of events of sessions `s0`, `s1` … in turn, with values as long as a test wants. */
export function recordsOf(count: number, first = 0, padding = 0): ProducedRecord[] {
  return Array.from({ length: count }, (_, i) => {
    const session_id = `s${(first + i) % 7}`;
    const value = eventBytes({ session_id, event_id: `e${first + i}`, unknown: "x".repeat(padding) });
    return { key: new TextEncoder().encode(session_id), value };
  });
}

/** A topic with so many records in each partition. */
export function sourceOf(...counts: readonly number[]): FakeSource {
  const source = new FakeSource(counts.length);
  counts.forEach((count, partition) => source.append(partition, recordsOf(count)));
  return source;
}

/** `partition:offset` of the offsets `from` ≤ offset < `to`. */
export const everyOffset = (partition: number, from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => `${partition}:${from + i}`);

/** How a barrier marks the record at `offset`. */
export const markOf = ({ key, value }: ProducedRecord, offset: number) => ({
  offset,
  crc32: crc32(value!, crc32(key!)),
});

/** Barriers at these offsets, the first from 0, the last with the mark of the record before it. */
export function barriersAt(
  records: readonly ProducedRecord[],
  ...ends: readonly number[]
): PartitionBarrier[] {
  return ends.map((to, i) => {
    const lastRecord = to === 0 ? null : markOf(records[to - 1]!, to - 1);
    return barrierOf({ number: i + 1, epoch: i + 1, from: ends[i - 1] ?? 0, to, lastRecord, clock: T0 + i });
  });
}

/** Those barriers as a restart replays them, each under settings of its own. */
export const replayOf = (barriers: readonly PartitionBarrier[]) =>
  barriers.map((barrier) => ({ barrier, semantics: { ...SEMANTICS, sessionTimeoutMs: barrier.number } }));

/** A partition's start without a past, in the first assignment of all partitions. */
export function startOf(partition: number, fields: Partial<PartitionStart> = {}): PartitionStart {
  const nothing = { checkpoint: null, occurrences: new Uint8Array(), latestEventTime: null, replay: [] };
  return { partition, assignment: partition + 1, offset: 0, ...nothing, ...fields };
}

export class IngestWorld {
  readonly clock = new FakeClock();
  readonly notices: string[] = [];
  readonly reports: IngestReport[] = [];
  /** What each shard got, in order. */
  readonly received: ShardMessage[][];
  readonly finished: Promise<void>;
  readonly #ports: MessagePort[] = [];
  readonly #coordinator: Channel<IngestCommand, IngestReport>;
  #failure: unknown = null;
  #ended = false;

  constructor(readonly source: FakeSource, { shards = 2, mode = {}, config = {} }: IngestOptions = {}) {
    this.received = Array.from({ length: shards }, () => []);
    const control = this.#channel();
    this.#coordinator = channel<IngestCommand, IngestReport>(control.port2);
    this.#coordinator.receive((report) => this.reports.push(report));
    const settings = { ...resolveConfig({ flags: {}, env: {} }).config, ...SEMANTICS, ...config };
    const ingest = new Ingest({
      source,
      mailboxes: this.received.map((messages) => this.#mailbox(messages, settings.mailboxBytesMax)),
      coordinator: channel<IngestReport, IngestCommand>(control.port1),
      clock: this.clock,
      config: settings,
      mode: { untilEnd: false, closeOpen: false, ...mode },
      notice: (text) => this.notices.push(text),
    });
    this.finished = ingest.run();
    this.finished.catch((error) => this.#failure = error).finally(() => this.#ended = true);
  }

  #channel(): MessageChannel {
    const made = new MessageChannel();
    this.#ports.push(made.port1, made.port2);
    return made;
  }

  /** A mailbox whose shard takes everything in at once. */
  #mailbox(messages: ShardMessage[], bytesMax: number): Mailbox {
    const { port1, port2 } = this.#channel();
    const shard = channel<Credit, ShardMessage>(port2);
    shard.receive((message) => {
      messages.push(message);
      if (message.type === "records") shard.send({ bytes: batchBytes(message.batch) });
    });
    return new Mailbox(port1, bytesMax);
  }

  send(command: IngestCommand): void {
    this.#coordinator.send(command);
  }

  assign(...partitions: readonly PartitionStart[]): void {
    this.send({ type: "assign", partitions });
  }

  /** Asks for a close, and returns the barriers that were posted. */
  async close(fields: Partial<CloseCommand> = {}): Promise<readonly PartitionBarrier[]> {
    const before = this.#closed().length;
    const nothing = {
      latest: new Map(),
      closeOpen: false,
      revise: [],
      checkpoint: false,
      stale: [],
      stop: false,
    };
    this.send({ type: "close", epoch: before + 1, ...nothing, ...fields });
    await this.until("the close is answered", () => this.#closed().length > before);
    return this.#closed().at(-1)!.barriers;
  }

  #closed() {
    return this.reports.filter((report) => report.type === "closed");
  }

  has(type: IngestReport["type"]): boolean {
    return this.reports.some((report) => report.type === type);
  }

  /** `partition:offset` of every record that the shards got. */
  routed(): string[] {
    return this.received.flat().flatMap((message) =>
      message.type === "records"
        ? [...message.batch.offsets].map((offset) => `${message.batch.partition}:${offset}`)
        : []
    );
  }

  async until(what: string, condition: () => boolean): Promise<void> {
    for (let i = 0; i < 2000 && !condition(); i++) {
      if (this.#failure !== null) throw this.#failure;
      await turns(1);
    }
    assert(condition(), `It does not come about that ${what}.`);
  }

  async untilRouted(count: number): Promise<void> {
    await this.until(`${count} records are routed`, () => this.routed().length >= count);
  }

  /** Stops ingest if it still runs, and closes the ports. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#ended) {
      this.send({ type: "shutdown" });
      await this.finished.catch(() => {});
      await turns();
    }
    for (const port of this.#ports) port.close();
  }
}
