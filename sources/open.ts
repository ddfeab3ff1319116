/** Chooses the event log by the configuration: the embedded one, for now the only one. */
import { type Config, dataPaths } from "../schema/config.ts";
import { type EmbeddedLog, openEmbeddedLog } from "./embedded_log.ts";
import type { Producer, Source } from "./source.ts";

/** What a source needs of time. */
export interface SourceClock {
  now(): number;
  sleep(ms: number): Promise<void>;
}

/** The topic that dead letters of `topic` are fed to. */
export function deadLetterTopicOf(topic: string): string {
  return `${topic}.dlq`;
}

function openLog(config: Config, clock: SourceClock): EmbeddedLog {
  return openEmbeddedLog({
    path: dataPaths(config.dataDir).events,
    now: () => clock.now(),
    sleep: (ms) => clock.sleep(ms),
    retention: { ageMs: config.eventsRetentionMs },
  });
}

/** The topic's reader; the topic is made where it is missing. */
export function openSource(config: Config, clock: SourceClock): Promise<Source> {
  return attempt(() => openLog(config, clock).source(config.topic, { partitions: config.partitions }));
}

/** The topic's producer; the topic is made where it is missing. */
export function openProducer(config: Config, clock: SourceClock): Promise<Producer> {
  return attempt(() => openLog(config, clock).producer(config.topic, { partitions: config.partitions }));
}

/** The producer of the topic's dead letters. */
export function openDeadLetterTopic(config: Config, clock: SourceClock): Promise<Producer> {
  return attempt(() => openLog(config, clock).producer(deadLetterTopicOf(config.topic), { partitions: 1 }));
}

/** SQLite answers at once, a broker later: to the caller both are promises. */
function attempt<T>(open: () => T): Promise<T> {
  return new Promise((resolve) => resolve(open()));
}
