/** NDJSON replay: each line is a record's value, byte for byte, whatever is in it. */
import { type RecordFeed } from "./feed.ts";
import { LinePuller, readChunks } from "./lines.ts";
import type { ProducedRecord } from "./source.ts";

export interface NdjsonOptions {
  /** A file, `.gz` too, or "-" for standard input. */
  readonly path: string;
  /**
   * Lines are `key<separator>value`, as with kcat's -K, cut at the first separator; one without it has no key.
   * By default the key is the value's own `session_id`.
   */
  readonly keySeparator?: string;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The lines of `options.path` as records. An empty line is a record too: bad input must reach the dead letters. */
export class NdjsonFeed implements RecordFeed {
  readonly #puller: LinePuller;

  constructor(options: NdjsonOptions, chunks: AsyncIterable<Uint8Array> = readChunks(options.path)) {
    const { keySeparator } = options;
    const separator = keySeparator ? encoder.encode(keySeparator) : null;
    this.#puller = new LinePuller(
      chunks,
      (line) => separator === null ? { key: sessionIdOf(line), value: line } : splitKey(line, separator),
    );
  }

  next(maxRecords: number, maxBytes: number): Promise<readonly ProducedRecord[]> {
    return this.#puller.next(maxRecords, maxBytes);
  }

  acknowledge(): Promise<void> {
    return Promise.resolve();
  }

  finish(): Promise<void> {
    return this.#puller.close();
  }

  abandon(): Promise<void> {
    return this.#puller.close();
  }
}

/** The UTF-8 of the line's `session_id`, where the line is a JSON object that has one which is a string. */
export function sessionIdOf(line: Uint8Array): Uint8Array | null {
  try {
    const parsed: unknown = JSON.parse(decoder.decode(line));
    if (typeof parsed !== "object" || parsed === null || !Object.hasOwn(parsed, "session_id")) return null;
    const { session_id } = parsed as { session_id: unknown };
    return typeof session_id === "string" ? encoder.encode(session_id) : null;
  } catch {
    return null; // not UTF-8 or not JSON: the pipeline will say which
  }
}

function splitKey(line: Uint8Array, separator: Uint8Array): ProducedRecord {
  for (let at = line.indexOf(separator[0]!); at >= 0; at = line.indexOf(separator[0]!, at + 1)) {
    if (separator.every((byte, i) => line[at + i] === byte)) {
      return { key: line.slice(0, at), value: line.slice(at + separator.length) };
    }
  }
  return { key: null, value: line };
}
