/** Dead letters on their way to the topic: at least once, recognizable by `topic-partition-offset`. */
import { cellAt, type ColumnBatch } from "../schema/column_batch.ts";
import { DEAD_LETTER_COLUMNS } from "../schema/epoch.ts";
import type { CommittedEpoch, Lake } from "../sinks/sink.ts";
import type { ProducedRecord, Producer, RecordPosition } from "../sources/source.ts";

/** The topic of dead letters, opened when it is first needed: what that takes is no part of a recovery. */
export class DeadLetterTopic implements Pick<Producer, "send"> {
  #opened: Promise<Producer> | null = null;

  constructor(private readonly openProducer: () => Promise<Producer>) {}

  /** @throws {SourceError} where it can't be had */
  open(): Promise<Producer> {
    return this.#opened ??= this.openProducer();
  }

  async send(records: readonly ProducedRecord[]): Promise<readonly RecordPosition[]> {
    return await (await this.open()).send(records);
  }
}

type DeadLetterColumn = typeof DEAD_LETTER_COLUMNS[number]["name"];

/** Sends the letters, each with its original key and bytes, and headers that say why and where it came from. */
export async function feedDeadLetters(producer: Pick<Producer, "send">, letters: ColumnBatch): Promise<void> {
  if (letters.rows === 0) return;
  const records: ProducedRecord[] = [];
  for (let row = 0; row < letters.rows; row++) {
    const cell = (name: DeadLetterColumn) =>
      cellAt(letters.columns[DEAD_LETTER_COLUMNS.findIndex((column) => column.name === name)]!, row);
    const [topic, partition, offset] = [cell("topic"), cell("partition"), cell("offset")];
    records.push({
      key: cell("key") as Uint8Array | null,
      value: cell("value") as Uint8Array | null,
      headers: {
        id: `${topic}-${partition}-${offset}`,
        reason: String(cell("reason")),
        detail: String(cell("detail")),
        topic: String(topic),
        partition: String(partition),
        offset: String(offset),
      },
    });
  }
  await producer.send(records);
}

/** A crash may have come between a commit and the feed of its dead letters: those of `epochs` go again. */
export async function refeedDeadLetters(
  producer: Pick<Producer, "send">,
  lake: Pick<Lake, "readDeadLetterFile">,
  epochs: readonly CommittedEpoch[],
): Promise<void> {
  for (const { record: { deadLetterFile } } of epochs) {
    if (deadLetterFile !== null) {
      await feedDeadLetters(producer, await lake.readDeadLetterFile(deadLetterFile));
    }
  }
}
