/** HTTP/1.1 messages on a connection, byte by byte as they came: as much of the protocol as a proxy needs. */

/** A message's first lines. */
export interface HttpHead {
  /** `GET /path HTTP/1.1`, or `HTTP/1.1 200 OK`. */
  readonly startLine: string;
  /** As they came, in order. */
  readonly headers: readonly (readonly [name: string, value: string])[];
}

const latin1 = new TextDecoder("latin1");
const CHUNK_BYTES = 64 * 1024;

/** A header's value, whatever its case; undefined where there is none. */
export function headerOf({ headers }: HttpHead, name: string): string | undefined {
  return headers.find(([found]) => found.toLowerCase() === name.toLowerCase())?.[1];
}

/** The head as bytes. */
export function encodeHead({ startLine, headers }: HttpHead): Uint8Array {
  const lines = [startLine, ...headers.map(([name, value]) => `${name}: ${value}`), "", ""];
  return Uint8Array.from(lines.join("\r\n"), (character) => character.charCodeAt(0));
}

/** Writes all of `bytes`. */
export async function writeAll(connection: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
}

/** Reads messages off a connection. */
export class HttpReader {
  #pending = new Uint8Array();

  constructor(private readonly connection: Deno.Conn) {}

  /** The next message's head; null where the connection was closed before it. */
  async readHead(): Promise<HttpHead | null> {
    const lines: string[] = [];
    for (let line = await this.#readLine(); line !== ""; line = await this.#readLine()) {
      if (line === null) return null;
      lines.push(line);
    }
    const [startLine = "", ...rest] = lines;
    const headers = rest.map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon), line.slice(colon + 1).trim()] as const;
    });
    return { startLine, headers };
  }

  /**
   * The body that follows a head, as it is framed.
   *
   * @param bodiless the message has none whatever its headers say: answers to HEAD, 1xx, 204 and 304
   */
  async *readBody(head: HttpHead, bodiless = false): AsyncGenerator<Uint8Array> {
    if (bodiless) return;
    if (/chunked/i.test(headerOf(head, "transfer-encoding") ?? "")) return yield* this.#readChunks();
    const length = headerOf(head, "content-length");
    // An answer without a length lasts until its connection ends; a request without one has no body.
    if (length !== undefined) yield* this.#readBytes(Number(length));
    else if (head.startLine.startsWith("HTTP/")) yield* this.#readRest();
  }

  async *#readChunks(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const line = await this.#readLine();
      if (line === null) return;
      yield lineBytes(line);
      const size = Number.parseInt(line, 16);
      if (size > 0) yield* this.#readBytes(size);
      const end = await this.#readLine();
      if (end === null) return;
      yield lineBytes(end);
      if (size === 0) return;
    }
  }

  async *#readBytes(length: number): AsyncGenerator<Uint8Array> {
    for (let left = length; left > 0;) {
      if (this.#pending.length === 0 && !await this.#fill()) return;
      const part = this.#pending.subarray(0, left);
      this.#pending = this.#pending.subarray(part.length);
      left -= part.length;
      yield part;
    }
  }

  async *#readRest(): AsyncGenerator<Uint8Array> {
    do {
      const part = this.#pending;
      this.#pending = new Uint8Array();
      if (part.length > 0) yield part;
    } while (await this.#fill());
  }

  async #readLine(): Promise<string | null> {
    for (;;) {
      const end = this.#pending.indexOf(10);
      if (end >= 0) {
        const line = latin1.decode(this.#pending.subarray(0, end)).replace(/\r$/, "");
        this.#pending = this.#pending.subarray(end + 1);
        return line;
      }
      if (!await this.#fill()) return null;
    }
  }

  async #fill(): Promise<boolean> {
    const chunk = new Uint8Array(CHUNK_BYTES);
    const count = await this.connection.read(chunk);
    if (count === null) return false;
    const joined = new Uint8Array(this.#pending.length + count);
    joined.set(this.#pending);
    joined.set(chunk.subarray(0, count), this.#pending.length);
    this.#pending = joined;
    return true;
  }
}

function lineBytes(line: string): Uint8Array {
  return Uint8Array.from(`${line}\r\n`, (character) => character.charCodeAt(0));
}
