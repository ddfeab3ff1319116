/** Lines of a file or of standard input, as bytes. */
import { createReadStream } from "node:fs";
import { stdin } from "node:process";
import type { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { messageOf, UserError } from "../schema/errors.ts";
import { recordSize } from "./feed.ts";
import type { ProducedRecord } from "./source.ts";

/** A longer line is no record but a file of another kind. */
export const LINE_BYTES_MAX = 16 * 1024 * 1024;
const LINE_FEED = 0x0a;

/**
 * The bytes of a file; of standard input where `path` is "-". A name that ends in `.gz` is decompressed, also where
 * it is several gzip files in a row, as log rotation leaves them.
 *
 * @throws {UserError} where it cannot be read
 */
export async function* readChunks(path: string): AsyncGenerator<Uint8Array> {
  const file: Readable = path === "-" ? stdin : createReadStream(path, { highWaterMark: 512 * 1024 });
  let stream = file;
  if (path.endsWith(".gz")) {
    stream = createGunzip();
    file.on("error", (error) => stream.destroy(error));
    file.pipe(stream as ReturnType<typeof createGunzip>);
  }
  try {
    for await (const chunk of stream) yield chunk as Uint8Array;
  } catch (error) {
    const name = path === "-" ? "standard input" : `'${path}'`;
    throw new UserError(
      `Reading ${name} failed: ${messageOf(error)}. Check the file and its name.`,
      undefined,
      {
        cause: error,
      },
    );
  } finally {
    file.destroy();
  }
}

/**
 * Splits bytes at each line feed. The bytes of a line are kept as they are, a carriage return too; an empty line is
 * a line; a final line feed begins no line.
 *
 * @returns the lines that each chunk completes
 * @throws {UserError} for a line beyond {@linkcode LINE_BYTES_MAX}
 */
export async function* splitLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array[]> {
  let pending: Uint8Array[] = [];
  let pendingBytes = 0;
  let complete = 0;
  for await (const chunk of chunks) {
    const lines: Uint8Array[] = [];
    let start = 0;
    for (let end; (end = chunk.indexOf(LINE_FEED, start)) >= 0; start = end + 1) {
      lines.push(joined(pending, chunk.subarray(start, end)));
      checkLength(pendingBytes + end - start, complete + lines.length);
      [pending, pendingBytes] = [[], 0];
    }
    complete += lines.length;
    if (start < chunk.length) {
      pending.push(chunk.slice(start));
      pendingBytes += chunk.length - start;
      checkLength(pendingBytes, complete + 1);
    }
    if (lines.length > 0) yield lines;
  }
  if (pendingBytes > 0) yield [joined(pending, new Uint8Array())];
}

function joined(parts: readonly Uint8Array[], last: Uint8Array): Uint8Array {
  if (parts.length === 0) return last.slice();
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, last.length));
  let at = 0;
  for (const part of [...parts, last]) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function checkLength(bytes: number, line: number): void {
  if (bytes <= LINE_BYTES_MAX) return;
  throw new UserError(
    `A line of the input has at most ${LINE_BYTES_MAX} bytes: line ${line} has more. Is it the right file?`,
  );
}

/** Pulls records made from lines: at most so many, of so many bytes, and keeps the rest for the next pull. */
export class LinePuller {
  readonly #lines: AsyncGenerator<Uint8Array[]>;
  readonly #toRecord: (line: Uint8Array, number: number) => ProducedRecord | null;
  #chunk: Uint8Array[] = [];
  #at = 0;
  #number = 0;
  #waiting = false;
  /** Made, but too large for the pull that made it. */
  #held: ProducedRecord | null = null;

  /** @param toRecord is given each line with its 1-based number; null where the line makes no record */
  constructor(
    chunks: AsyncIterable<Uint8Array>,
    toRecord: (line: Uint8Array, number: number) => ProducedRecord | null,
  ) {
    this.#lines = splitLines(chunks);
    this.#toRecord = toRecord;
  }

  /** As `RecordFeed.next`. */
  async next(maxRecords: number, maxBytes: number): Promise<ProducedRecord[]> {
    const records: ProducedRecord[] = [];
    let bytes = 0;
    while (records.length < maxRecords) {
      const record = this.#held ?? await this.#record(records.length > 0);
      if (record === null) break;
      bytes += recordSize(record);
      this.#held = bytes > maxBytes && records.length > 0 ? record : null;
      if (this.#held !== null) break;
      records.push(record);
    }
    return records;
  }

  /** Closes the input. One that a pull still waits for, such as a silent pipe, is not waited for. */
  async close(): Promise<void> {
    const closed = this.#lines.return(undefined);
    if (this.#waiting) closed.catch(() => {});
    else await closed;
  }

  /** @param ready only from the lines at hand: what was read from a slow pipe goes out before more is waited for */
  async #record(ready: boolean): Promise<ProducedRecord | null> {
    for (;;) {
      while (this.#at < this.#chunk.length) {
        const record = this.#toRecord(this.#chunk[this.#at++]!, ++this.#number);
        if (record !== null) return record;
      }
      if (ready) return null;
      this.#waiting = true;
      const { value, done } = await this.#lines.next();
      this.#waiting = false;
      if (done) return null;
      [this.#chunk, this.#at] = [value, 0];
    }
  }
}
