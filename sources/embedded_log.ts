/**
 * The event log for one machine: Kafka's topics, partitions, offsets and retention over a SQLite file. A row is a
 * produced batch, not an event. Several processes may use one file at once; an acknowledged append is durable.
 */
import type { DatabaseSync } from "node:sqlite";
import { SourceError } from "../schema/errors.ts";
import { EmbeddedProducer } from "./embedded_producer.ts";
import { EmbeddedSource } from "./embedded_source.ts";
import { explained, isBusy, openLogFile } from "./log_file.ts";

/** Partitions of a topic that nobody made otherwise. */
export const DEFAULT_PARTITIONS = 8;
const BUSY_TIMEOUT_MS = 10_000;
const RETENTION_INTERVAL_MS = 60_000;
const PARTITIONS_MAX = 1_024;

/** What a topic keeps; batches are removed whole, from the start. Like Kafka's retention.ms and retention.bytes. */
export interface Retention {
  /** Batches appended longer ago than this go, milliseconds. */
  readonly ageMs?: number;
  /** Bound on what a partition stores, bytes. */
  readonly partitionBytes?: number;
}

export interface EmbeddedLogOptions {
  /** The file; it is created, with its directory, where it is missing. */
  readonly path: string;
  /** Wall clock, epoch milliseconds: the time of an append. */
  readonly now: () => number;
  /** Waits, in a poll that found nothing. */
  readonly sleep: (ms: number) => Promise<void>;
  /** How long a write waits for another process's, milliseconds; 10,000 by default. */
  readonly busyTimeoutMs?: number;
  /** Bound on the file, bytes; none by default. */
  readonly maxFileBytes?: number;
  /** Applied to a topic as it is produced to, once a minute; by default all is kept. */
  readonly retention?: Retention;
}

export interface TopicOptions {
  /** Makes a missing topic with so many partitions, and adds what an existing one lacks. */
  readonly partitions?: number;
}

/**
 * Opens the log at `options.path`.
 *
 * @throws {SourceError} where the file is damaged, foreign, of another version or not usable
 */
export function openEmbeddedLog(options: EmbeddedLogOptions): EmbeddedLog {
  const busyTimeoutMs = options.busyTimeoutMs ?? BUSY_TIMEOUT_MS;
  return new EmbeddedLog(openLogFile({ ...options, busyTimeoutMs }), options);
}

/** What a partition's row says. Offsets as in `PartitionRange`. */
export interface PartitionRow {
  readonly id: number;
  readonly partition: number;
  readonly start: number;
  readonly end: number;
  readonly lastTimestamp: number;
}

interface StoredSize {
  last: number;
  timestamp: number;
  bytes: number;
}

/** An open log. Its sources and producers share one connection, which closes with the last of them. */
export class EmbeddedLog {
  readonly #selectPartitions;
  readonly #lastRetention = new Map<string, number>();
  #users = 0;

  constructor(readonly db: DatabaseSync, readonly options: EmbeddedLogOptions) {
    this.#selectPartitions = db.prepare(`
      SELECT p.id, partition, start_offset AS start, end_offset AS end, last_timestamp AS lastTimestamp
      FROM partitions p JOIN topics t ON t.id = p.topic_id WHERE t.name = ? ORDER BY partition`);
  }

  /** A reader of `topic`, which is made where it is missing. `group` names its committed offsets. */
  source(topic: string, options: TopicOptions & { readonly group?: string } = {}): EmbeddedSource {
    this.ensureTopic(topic, options.partitions);
    this.#users++;
    return new EmbeddedSource(this, topic, options.group ?? "sessionary");
  }

  /** A producer to `topic`, which is made where it is missing. */
  producer(topic: string, options: TopicOptions = {}): EmbeddedProducer {
    this.ensureTopic(topic, options.partitions);
    this.#users++;
    return new EmbeddedProducer(this, topic);
  }

  /**
   * Makes the topic, or adds the partitions it lacks; they begin at offset 0.
   *
   * @param partitions without it an existing topic stays as it is, a new one gets {@linkcode DEFAULT_PARTITIONS}
   * @throws {SourceError} where the topic has more partitions: removing some would remove their records
   */
  ensureTopic(topic: string, partitions?: number): void {
    const present = this.partitions(topic).length;
    const wanted = partitions ?? (present || DEFAULT_PARTITIONS);
    if (!Number.isInteger(wanted) || wanted < 1 || wanted > PARTITIONS_MAX) {
      throw new SourceError(
        `A topic has 1 to ${PARTITIONS_MAX} partitions: ${wanted} were asked for '${topic}'. Ask for such a number.`,
      );
    }
    if (wanted < present) {
      throw new SourceError(
        `Topic '${topic}' has ${present} partitions and cannot be cut to ${wanted}: their records would be lost. ` +
          `Ask for ${present} or more, or use another topic.`,
      );
    }
    if (wanted === present) return;
    this.write("Making a topic in", () => {
      this.db.prepare("INSERT INTO topics (name) VALUES (?) ON CONFLICT DO NOTHING").run(topic);
      const insert = this.db.prepare(`
        INSERT INTO partitions (topic_id, partition) SELECT id, ? FROM topics WHERE name = ?
        ON CONFLICT DO NOTHING`);
      for (let partition = 0; partition < wanted; partition++) insert.run(partition, topic);
    });
  }

  /** The topic's partitions, ascending; none where there is no such topic. */
  partitions(topic: string): PartitionRow[] {
    return this.read(() => this.#selectPartitions.all(topic) as unknown as PartitionRow[]);
  }

  /** Applies the log's retention to `topic`, at most once a minute. */
  retainIfDue(topic: string): void {
    const { retention, now } = this.options;
    const last = this.#lastRetention.get(topic) ?? -Infinity;
    if (retention === undefined || now() - last < RETENTION_INTERVAL_MS) return;
    this.#lastRetention.set(topic, now());
    this.retain(topic, retention);
  }

  /**
   * Removes what `retention` no longer keeps.
   *
   * @returns the number of records removed
   */
  retain(topic: string, retention: Retention): number {
    const cutoff = retention.ageMs === undefined ? -Infinity : this.options.now() - retention.ageMs;
    const newestFirst = this.db.prepare(`
      SELECT last_offset AS last, timestamp, length(batch) AS bytes FROM batches
      WHERE partition_id = ? ORDER BY last_offset DESC`);
    const remove = this.db.prepare("DELETE FROM batches WHERE partition_id = ? AND last_offset < ?");
    const setStart = this.db.prepare("UPDATE partitions SET start_offset = ? WHERE id = ?");
    return this.write("Removing old records from", () => {
      let removed = 0;
      for (const { id, start, end } of this.partitions(topic)) {
        let kept = end;
        let bytes = 0;
        for (const row of newestFirst.iterate(id) as Iterable<StoredSize>) {
          bytes += row.bytes;
          if (row.timestamp < cutoff || bytes > (retention.partitionBytes ?? Infinity)) {
            kept = row.last + 1;
            break;
          }
          kept = start;
        }
        if (kept <= start) continue;
        remove.run(id, kept);
        setStart.run(kept, id);
        removed += kept - start;
      }
      return removed;
    });
  }

  /** Runs a query. */
  read<T>(work: () => T): T {
    return explained("Reading", this.options.path, work);
  }

  /** Runs queries that see one state of the log, whatever is appended meanwhile. */
  snapshot<T>(work: () => T): T {
    return this.read(() => this.#transaction("BEGIN", work));
  }

  /**
   * Runs `work` in a transaction: all of it is stored, or nothing.
   *
   * @param action for the sentence where it fails, e.g. "Appending to"
   */
  write<T>(action: string, work: () => T): T {
    return explained(action, this.options.path, () => this.#transaction("BEGIN IMMEDIATE", work));
  }

  /** As {@linkcode write}, but does nothing, and says so, where somebody else writes at the moment. */
  writeUnlessBusy(action: string, work: () => void): boolean {
    this.db.exec("PRAGMA busy_timeout = 0");
    try {
      this.write(action, work);
      return true;
    } catch (error) {
      if (error instanceof SourceError && isBusy(error.cause)) return false;
      throw error;
    } finally {
      this.db.exec(`PRAGMA busy_timeout = ${this.options.busyTimeoutMs ?? BUSY_TIMEOUT_MS}`);
    }
  }

  #transaction<T>(begin: string, work: () => T): T {
    this.db.exec(begin);
    try {
      const result = work();
      this.db.exec("COMMIT");
      return result;
    } catch (error) {
      // SQLite has already rolled back after some failures, a full disk among them.
      if (this.db.isTransaction) this.db.exec("ROLLBACK");
      throw error;
    }
  }

  /** One of the sources and producers is closed; the last closes the log. */
  release(): void {
    if (--this.#users === 0) this.close();
  }

  close(): void {
    if (this.db.isOpen) this.db.close();
  }
}
