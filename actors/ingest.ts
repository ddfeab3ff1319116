/**
 * The ingest actor: reads the source, routes raw bytes to the session actors by the hash of their key, and posts the
 * barriers that close epochs. It parses nothing. It alone computes barriers, between two polls, so that a barrier
 * stands at one well-defined position of every partition. Partitions come and go with what polls say.
 */
import type { Config } from "../schema/config.ts";
import type { Erasure } from "../schema/erasure.ts";
import { type PartitionBarrier, semanticsOf, type SessionSemantics } from "../schema/epoch.ts";
import { assertNever, invariant, SourceError } from "../schema/errors.ts";
import type { IngestStats } from "../schema/pipeline_stats.ts";
import type { Poll, Source } from "../sources/source.ts";
import { nextBarrier } from "./barrier.ts";
import type { Clock } from "./clock.ts";
import { batchBytes, type Channel, type Mailbox } from "./mailbox.ts";
import type { Assignment, IngestCommand, IngestReport, PartitionStart, RunMode } from "./protocol.ts";
import { probeKeys } from "./key_probe.ts";
import { markOf, noteNewest, type Reading, requireSameTopic } from "./reading.ts";
import { type Fetched, Replay } from "./replay.ts";
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
  /** The ids of the erasures that were on a barrier of a partition since it is read. One that comes twice does no harm. */
  readonly #erased = new Map<number, Set<string>>();
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
    if (mode.untilEnd && !this.#endReported && source.isSettled && ended()) {
      this.#endReported = true;
      this.#stopped = true;
      this.#noteUnread();
      this.deps.coordinator.send({ type: "end_reached" });
    }
  }

  /** A bounded run ends without the partitions of other members, of which one may be dead. */
  #noteUnread(): void {
    const unread = [...this.#lagEnds.keys()].filter((partition) => !this.#assignments.has(partition));
    this.#sayUnread(unread, "the group has not given to this instance");
  }

  #sayUnread(partitions: readonly number[], because: string): void {
    if (partitions.length === 0) return;
    const list = partitions.toSorted((a, b) => a - b).join(", ");
    this.deps.notice(
      `This run ends without partitions ${list}, which ${because}. Where no other instance is meant to run, one has ` +
        `died within the last seconds: start this run again.`,
    );
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
    for (const partition of partitions) {
      this.#readings.delete(partition);
      this.#erased.delete(partition);
    }
    for (const mailbox of this.deps.mailboxes) mailbox.post({ type: "drop", partitions });
  }

  /** Unless it has been taken away meanwhile, a partition that the log has moved on is assigned anew. */
  #discard(partitions: readonly Assignment[]): void {
    const stale = partitions.filter(({ partition, assignment }) =>
      this.#assignments.get(partition) === assignment
    ).map(({ partition }) => partition);
    if (stale.length === 0) return;
    if (this.#endReported) this.#sayUnread(stale, "another instance has moved on");
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

  /** The erasures that the partition has not been through; from now on it has. */
  #toErase(partition: number, erasures: readonly Erasure[] = []): Erasure[] {
    const before = this.#erased.get(partition) ?? new Set();
    if (erasures.length > 0) this.#erased.set(partition, new Set(erasures.map(({ id }) => id)));
    return erasures.filter(({ id }) => !before.has(id));
  }

  #close(command: Extract<IngestCommand, { type: "close" }>): void {
    if (command.stop) this.#stopped = true;
    const clock = Math.floor(this.deps.clock.now());
    const fresh = this.deps.clock.monotonic() - this.#polledAt <= AT_END_VALID_MS;
    const barriers: PartitionBarrier[] = [];
    for (const reading of this.#readings.values()) {
      const { partition, last, start, position, records } = reading;
      const atEnd = reading.atEnd && fresh;
      const erase = this.#toErase(partition, command.erase);
      const barrier = nextBarrier(
        { partition, last, start, position, records, atEnd, lastRecord: markOf(reading) },
        {
          epoch: command.epoch,
          clock,
          latestEventTime: command.latest.get(partition) ?? null,
          idleness: !this.deps.mode.untilEnd,
          closeOpen: command.closeOpen,
          revise: command.revise.includes(partition),
          erase,
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
    await this.#replay(partitions.filter(holds));
    for (const { partition, position, end } of this.#readings.values()) {
      if (!mode.untilEnd || position < end) source.resume(partition);
    }
    const live = partitions.filter(holds).map(({ partition, assignment }) => ({ partition, assignment }));
    for (const mailbox of mailboxes) mailbox.post({ type: "live", partitions: live });
  }

  /**
   * Restores partitions at their checkpoints, and replays them, side by side, through the barriers recorded since; leaves
   * out what is taken away meanwhile.
   */
  async #replay(starts: readonly PartitionStart[]): Promise<void> {
    const { source, mode, mailboxes } = this.deps;
    const replays = starts.map((start) =>
      new Replay(start, this.#semantics, mode.untilEnd ? this.#ends.get(start.partition)! : Infinity, {
        post: (message) => mailboxes.forEach((mailbox) => mailbox.post(message)),
        route: (reading, fetched, end) => this.#route(reading, fetched, end),
        verify: mode.verifyReplay === true,
      })
    );
    for (const { partition, reading } of replays) {
      this.#readings.set(partition, reading);
      await source.seek(partition, reading.position);
    }
    for (const replay of replays) await replay.begin();
    const isHeld = ({ partition, reading }: Replay) => this.#readings.get(partition) === reading;
    const underWay = () => replays.filter((replay) => isHeld(replay) && !replay.done);
    for (const { partition } of underWay()) source.resume(partition);
    while (underWay().length > 0) {
      const { batches, atEnd } = await this.#poll(POLL_BYTES, POLL_WAIT_MS);
      for (const replay of underWay()) {
        const own = batches.filter(({ partition }) => partition === replay.partition);
        if (own.length === 0 && atEnd.includes(replay.partition)) throw replay.endedBefore(source.topic);
        await replay.take(own);
        if (replay.done) source.pause(replay.partition);
      }
    }
    // Drops what was fetched beyond the last recorded barriers: it comes again, live.
    const held = replays.filter(isHeld);
    for (const { partition, reading } of held) await source.seek(partition, reading.position);
    this.#epochBytes = 0;
  }
}
