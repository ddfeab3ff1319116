/**
 * The ingest actor: reads the source, routes raw bytes to the session actors by the hash of their key, and posts the
 * barriers that close epochs. It parses nothing. It alone computes barriers, between two polls, so that a barrier
 * stands at one well-defined position of every partition. Partitions come and go with what polls say.
 */
import type { Config } from "../schema/config.ts";
import { type PartitionBarrier, semanticsOf, type SessionSemantics } from "../schema/epoch.ts";
import { assertNever, invariant, SourceError } from "../schema/errors.ts";
import type { IngestStats } from "../schema/pipeline_stats.ts";
import type { Poll, RecordBatch, Source } from "../sources/source.ts";
import { nextBarrier } from "./barrier.ts";
import type { Clock } from "./clock.ts";
import { batchBytes, type Channel, type Mailbox } from "./mailbox.ts";
import type { Assignment, IngestCommand, IngestReport, PartitionStart, RunMode } from "./protocol.ts";
import { probeKeys } from "./key_probe.ts";
import { markOf, noteNewest, type Reading, requireSameTopic } from "./reading.ts";
import { type BatchSlice, splitByShard } from "./route.ts";

/** The longest wait for records before commands are looked at again. */
const POLL_WAIT_MS = 50;
/** Key and value bytes of one poll. */
const POLL_BYTES = 4 * 1024 * 1024;
/** How long a poll's word that a partition is at its end is believed: while reading waits, records may have come. */
const AT_END_VALID_MS = 1_000;
/** How often the source is asked where its partitions end, for the lag. */
const ENDS_INTERVAL_MS = 5_000;

/** What the ingest actor works with. */
export interface IngestDeps {
  readonly source: Source;
  readonly mailboxes: readonly Mailbox[];
  readonly coordinator: Channel<IngestReport, IngestCommand>;
  readonly clock: Clock;
  readonly config: Config;
  readonly mode: RunMode;
  /** Tells the operator something. */
  readonly notice: (text: string) => void;
}

/** Batches of a partition that are not routed yet, and the first record of the first one. */
interface Fetched {
  readonly batches: readonly RecordBatch[];
  readonly first: number;
}

/** The one actor that reads the source; made once, {@linkcode Ingest.run} ends with a `shutdown`. */
export class Ingest {
  readonly #commands: IngestCommand[] = [];
  #wake: () => void = () => {};
  /** The numbers of the assignments that hold, by partition. */
  readonly #assignments = new Map<number, number>();
  #assignmentsMade = 0;
  /** Assignments that the coordinator has not been told of; null once the first were told and nothing is new. */
  #unannounced: number[] | null = [];
  #probed = false;
  readonly #readings = new Map<number, Reading>();
  /** Where a bounded run stops, by partition. */
  readonly #ends = new Map<number, number>();
  /** Where partitions end, as last asked. */
  #lagEnds: ReadonlyMap<number, number> = new Map();
  #lagAskedAt = -Infinity;
  readonly #total = { records: 0, bytes: 0 };
  #epochBytes = 0;
  /** Monotonic time of the newest poll. */
  #polledAt = -Infinity;
  #full = false;
  #stopped = false;
  #endReported = false;
  readonly #semantics: SessionSemantics;

  constructor(private readonly deps: IngestDeps) {
    this.#semantics = semanticsOf(deps.config);
    deps.coordinator.receive((command) => {
      this.#commands.push(command);
      this.#wake();
    });
  }

  /** Reads until it is told to shut down. */
  async run(): Promise<void> {
    for (;;) {
      for (const command of this.#commands.splice(0)) {
        if (command.type === "shutdown") {
          await this.deps.source.close();
          this.deps.coordinator.send({ type: "stopped", stats: this.stats });
          return;
        }
        await this.#handle(command);
      }
      if (this.#stopped || this.#full) await this.#nextCommand();
      else await this.#read();
    }
  }

  /** What was read, and how far the source is ahead. */
  get stats(): IngestStats {
    const { mailboxes, config } = this.deps;
    this.#askEnds();
    return {
      actor: "ingest",
      ...this.#total,
      partitions: [...this.#readings.values()].map(({ partition, position }) => ({
        partition,
        position,
        end: Math.max(position, this.#lagEnds.get(partition) ?? position),
      })),
      mailboxBytes: mailboxes.map(({ outstandingBytes }) => outstandingBytes),
      mailboxBytesMax: config.mailboxBytesMax,
    };
  }

  /** Asks the source where it ends, now and then; nobody waits for the answer. */
  #askEnds(): void {
    const now = this.deps.clock.monotonic();
    if (this.#readings.size === 0 || this.#stopped || now - this.#lagAskedAt < ENDS_INTERVAL_MS) return;
    this.#lagAskedAt = now;
    this.deps.source.ranges().then((ranges) => {
      this.#lagEnds = new Map(ranges.map(({ partition, end }) => [partition, end]));
    }, (error) => {
      // What keeps the source from answering keeps polls from it too, and they say so.
      if (!(error instanceof SourceError || this.#stopped)) throw error;
    });
  }

  #nextCommand(): Promise<void> {
    if (this.#commands.length > 0) return Promise.resolve();
    return new Promise((resolve) => this.#wake = resolve);
  }

  async #handle(command: Exclude<IngestCommand, { type: "shutdown" }>): Promise<void> {
    switch (command.type) {
      case "assign":
        return await this.#assign(command.partitions);
      case "discard":
        return this.#discard(command.partitions);
      case "close":
        return this.#close(command);
      case "committed":
        return await this.deps.source.commitOffsets(
          new Map([...command.positions].filter(([partition]) => this.#readings.has(partition))),
        );
      default:
        assertNever(command);
    }
  }

  /** One poll, routed. */
  async #read(): Promise<void> {
    const { source, config, mode } = this.deps;
    const { batches, atEnd } = await this.#poll(POLL_BYTES, POLL_WAIT_MS);
    this.#polledAt = this.deps.clock.monotonic();
    for (const [partition, own] of Map.groupBy(batches, ({ partition }) => partition)) {
      const reading = this.#readings.get(partition);
      invariant(reading !== undefined, `partition ${partition} is polled only after it was assigned`);
      await this.#route(reading, { batches: own, first: 0 }, reading.end);
      if (reading.position >= reading.end) source.pause(reading.partition);
    }
    for (const reading of this.#readings.values()) reading.atEnd = atEnd.includes(reading.partition);
    await this.#announce();
    if (this.#epochBytes >= config.epochBytesMax) {
      this.#full = true;
      this.deps.coordinator.send({ type: "full" });
    }
    // One that was assigned and is not read yet has its end still before it.
    const ended = () =>
      [...this.#assignments.keys()].every((partition) => {
        const reading = this.#readings.get(partition);
        return reading !== undefined && reading.position >= reading.end;
      });
    if (mode.untilEnd && !this.#endReported && ended()) {
      this.#endReported = true;
      this.#stopped = true;
      this.deps.coordinator.send({ type: "end_reached" });
    }
  }

  /** Polls the source, and takes up at once what it says of partitions that come and go. */
  async #poll(maxBytes: number, waitMs: number): Promise<Poll> {
    const poll = await this.deps.source.poll(maxBytes, waitMs);
    if (poll.revoked.length > 0) {
      for (const partition of poll.revoked) this.#assignments.delete(partition);
      this.#forget(poll.revoked);
      this.deps.coordinator.send({ type: "revoked", partitions: poll.revoked });
    }
    this.#give(poll.assigned);
    return poll;
  }

  #give(partitions: readonly number[]): void {
    for (const partition of partitions) this.#assignments.set(partition, ++this.#assignmentsMade);
    if (partitions.length > 0) this.#unannounced = [...this.#unannounced ?? [], ...partitions];
  }

  /** Tells the coordinator of new assignments: they are read when it says from where. */
  async #announce(): Promise<void> {
    const { source, coordinator } = this.deps;
    if (this.#unannounced === null) return;
    const given = new Set(this.#unannounced);
    this.#unannounced = null;
    const ranges = await source.ranges();
    this.#lagEnds = new Map(ranges.map(({ partition, end }) => [partition, end]));
    for (const partition of given) {
      if (!this.#ends.has(partition)) this.#ends.set(partition, this.#lagEnds.get(partition) ?? 0);
    }
    const partitions = [...this.#assignments].filter(([partition]) => given.has(partition))
      .map(([partition, assignment]) => ({ partition, assignment }));
    coordinator.send({ type: "assigned", partitions, ranges });
  }

  /** Looks where a pipeline begins whether the topic is keyed as it must be; one that reads on has been looked at. */
  async #probe(starts: readonly PartitionStart[]): Promise<void> {
    const { source, config } = this.deps;
    if (this.#probed || starts.length === 0 || config.keyCheck !== "session_id") return;
    this.#probed = true;
    if (starts.some(({ checkpoint, replay }) => checkpoint !== null || replay.length > 0)) return;
    const [seek, pause, poll] = [source.seek.bind(source), source.pause.bind(source), this.#poll.bind(this)];
    const ranges = (await source.ranges()).filter((range) =>
      starts.some(({ partition }) => partition === range.partition)
    );
    await probeKeys({ topic: source.topic, seek, pause, poll }, ranges);
  }

  /** Drops the partitions' state, here and in every shard. */
  #forget(partitions: readonly number[]): void {
    for (const partition of partitions) this.#readings.delete(partition);
    for (const mailbox of this.deps.mailboxes) mailbox.post({ type: "drop", partitions });
  }

  /** Unless it has been taken away meanwhile, a partition that the log has moved on is assigned anew. */
  #discard(partitions: readonly Assignment[]): void {
    const stale = partitions.filter(({ partition, assignment }) =>
      this.#assignments.get(partition) === assignment
    ).map(({ partition }) => partition);
    if (stale.length === 0) return;
    for (const partition of stale) this.deps.source.pause(partition);
    this.#forget(stale);
    this.#give(stale);
  }

  /**
   * Hands a partition's records up to offset `end` to the shards.
   *
   * @returns what was not routed
   */
  async #route(reading: Reading, { batches, first }: Fetched, end: number): Promise<Fetched> {
    const slices: BatchSlice[] = [];
    let [at, start] = [0, first];
    for (; at < batches.length; at++, start = 0) {
      const batch = batches[at]!;
      let stop = start;
      while (stop < batch.count && batch.offsets[stop]! < end) stop++;
      if (stop > start) slices.push({ batch, start, end: stop });
      reading.position = stop < batch.count ? end : Math.min(batch.nextOffset, end);
      start = stop;
      if (reading.position < batch.nextOffset) break; // the rest is for another barrier
    }
    await this.#deliver(reading, slices);
    return { batches: batches.slice(at), first: at < batches.length ? start : 0 };
  }

  async #deliver(reading: Reading, slices: readonly BatchSlice[]): Promise<void> {
    const newest = slices.at(-1);
    if (newest === undefined) return;
    const parts = splitByShard(slices, this.deps.mailboxes.length);
    noteNewest(reading, newest.batch, newest.end - 1);
    for (const [shard, part] of parts.entries()) {
      if (part === null) continue;
      reading.records += part.count;
      this.#total.records += part.count;
      this.#epochBytes += batchBytes(part);
      this.#total.bytes += part.keys.byteLength + part.values.byteLength;
      await this.deps.mailboxes[shard]!.deliver(part);
    }
  }

  #close(command: Extract<IngestCommand, { type: "close" }>): void {
    if (command.stop) this.#stopped = true;
    const clock = Math.floor(this.deps.clock.now());
    const fresh = this.deps.clock.monotonic() - this.#polledAt <= AT_END_VALID_MS;
    const barriers: PartitionBarrier[] = [];
    for (const reading of this.#readings.values()) {
      const { partition, last, start, position, records } = reading;
      const atEnd = reading.atEnd && fresh;
      const barrier = nextBarrier(
        { partition, last, start, position, records, atEnd, lastRecord: markOf(reading) },
        {
          epoch: command.epoch,
          clock,
          latestEventTime: command.latest.get(partition) ?? null,
          idleness: !this.deps.mode.untilEnd,
          closeOpen: command.closeOpen,
          revise: command.revise.includes(partition),
          final: command.stop,
        },
        this.#semantics,
      );
      if (barrier === null) continue;
      reading.last = barrier;
      reading.records = 0;
      barriers.push(barrier);
    }
    const posted = barriers.map(({ partition }) => partition);
    const stale = command.stale.filter((partition) =>
      !posted.includes(partition) && this.#readings.has(partition)
    );
    const snapshots = command.checkpoint ? [...posted, ...stale] : stale;
    if (barriers.length + snapshots.length > 0) {
      for (const mailbox of this.deps.mailboxes) {
        mailbox.post({ type: "barrier", epoch: command.epoch, barriers, snapshots });
      }
    }
    this.deps.coordinator.send({ type: "closed", epoch: command.epoch, barriers, snapshots });
    this.#epochBytes = 0;
    this.#full = false;
  }

  async #assign(partitions: readonly PartitionStart[]): Promise<void> {
    const { source, notice, mailboxes, mode } = this.deps;
    const holds = ({ partition, assignment }: Assignment) => this.#assignments.get(partition) === assignment;
    for (const partition of this.#readings.keys()) source.pause(partition);
    await this.#probe(partitions.filter(holds));
    await Promise.all(partitions.filter(holds).map((start) => requireSameTopic(source, start, notice)));
    for (const start of partitions.filter(holds)) {
      if (holds(start)) await this.#replay(start);
      source.pause(start.partition);
    }
    for (const { partition, position, end } of this.#readings.values()) {
      if (!mode.untilEnd || position < end) source.resume(partition);
    }
    const live = partitions.filter(holds).map(({ partition, assignment }) => ({ partition, assignment }));
    for (const mailbox of mailboxes) mailbox.post({ type: "live", partitions: live });
  }

  /**
   * Restores a partition's state at its checkpoint and replays it through the barriers recorded since; gives up where
   * the partition is taken away meanwhile.
   */
  async #replay(start: PartitionStart): Promise<void> {
    const { partition, checkpoint, occurrences, latestEventTime, replay } = start;
    const post = (message: Parameters<Mailbox["post"]>[0]) =>
      this.deps.mailboxes.forEach((box) => box.post(message));
    const semantics = replay[0]?.semantics ?? this.#semantics;
    const watermark = checkpoint?.watermark ?? null;
    post({ type: "restore", partition, occurrences, latestEventTime, watermark, semantics });
    const end = this.deps.mode.untilEnd ? this.#ends.get(partition)! : Infinity;
    const reading: Reading = {
      partition,
      start: start.offset,
      end,
      position: start.offset,
      records: 0,
      atEnd: false,
      last: checkpoint,
      newest: null,
    };
    this.#readings.set(partition, reading);
    await this.deps.source.seek(partition, start.offset);
    this.deps.source.resume(partition);
    let fetched: Fetched = { batches: [], first: 0 };
    for (const { barrier, semantics } of replay) {
      post({ type: "semantics", partition, semantics });
      while (reading.position < barrier.to) {
        if (fetched.batches.length === 0) {
          fetched = { batches: await this.#fetchForReplay(reading, barrier), first: 0 };
        }
        if (this.#readings.get(partition) !== reading) return;
        fetched = await this.#route(reading, fetched, barrier.to);
      }
      reading.records = 0;
      reading.last = barrier;
      post({ type: "replayed", barrier, verify: this.deps.mode.verifyReplay === true });
    }
    post({ type: "semantics", partition, semantics: this.#semantics });
    // Drops what was fetched beyond the last recorded barrier: it comes again, live.
    if (replay.length > 0) await this.deps.source.seek(partition, reading.position);
    this.#epochBytes = 0;
  }

  /** The next batches of the partition, at least one, unless it is taken away. */
  async #fetchForReplay(reading: Reading, barrier: PartitionBarrier): Promise<readonly RecordBatch[]> {
    const { source } = this.deps;
    while (this.#readings.get(reading.partition) === reading) {
      const { batches, atEnd } = await this.#poll(POLL_BYTES, POLL_WAIT_MS);
      const own = batches.every(({ partition }) => partition === reading.partition);
      invariant(own, "only the partition that is being replayed is polled");
      if (batches.length > 0) return batches;
      if (atEnd.includes(reading.partition)) {
        throw new SourceError(
          `Cannot replay partition ${reading.partition} of topic '${source.topic}': the records from offset ` +
            `${reading.position} to ${barrier.to} are needed and the log ends before them. Restore the topic, or ` +
            `start a new pipeline (PIPELINE) on a new lake.`,
        );
      }
    }
    return [];
  }
}
