/** A TCP proxy in front of a broker's listener that loses answers, or everything, as networks do. */

const PRODUCE = 0;
const REQUEST_HEADER_BYTES = 6;

/** Stands at the port that the broker advertises for its proxied listener. */
export class KafkaProxy implements AsyncDisposable {
  /** Answers that were lost. */
  lost = 0;
  #toLose = 0;
  /** Resolved when bytes may pass; replaced by {@linkcode hold}. */
  #passing = Promise.withResolvers<void>();
  readonly #listener: Deno.TcpListener;
  readonly #connections = new Set<Deno.TcpConn>();
  readonly #serving: Promise<void>;

  constructor(port: number, private readonly brokerPort: number) {
    this.#passing.resolve();
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port });
    this.#serving = this.#serve();
  }

  /** The next `count` answers to Produce requests don't arrive: their connections are cut instead. */
  loseProduceAnswers(count: number): void {
    this.#toLose += count;
  }

  /** Nothing passes any more, and nobody is told: a network that is cut. */
  hold(): void {
    this.#passing = Promise.withResolvers();
  }

  /** What was held passes, and what comes after it. */
  release(): void {
    this.#passing.resolve();
  }

  /** Closes all connections; new ones may be made. */
  cut(): void {
    for (const connection of this.#connections) this.#close(connection);
  }

  async #serve(): Promise<void> {
    const connections: Promise<void>[] = [];
    try {
      for await (const client of this.#listener) connections.push(this.#connect(client));
    } catch {
      // The listener was closed.
    }
    await Promise.all(connections);
  }

  async #connect(client: Deno.TcpConn): Promise<void> {
    let broker: Deno.TcpConn;
    try {
      broker = await Deno.connect({ hostname: "127.0.0.1", port: this.brokerPort });
    } catch {
      return client.close(); // The broker is down.
    }
    const pair = [client, broker];
    for (const connection of pair) this.#connections.add(connection);
    const requests = new RequestReader();
    const close = () => {
      for (const connection of pair) this.#close(connection);
    };
    const forward = async (from: Deno.TcpConn, to: Deno.TcpConn, look: (chunk: Uint8Array) => boolean) => {
      try {
        for await (const chunk of from.readable) {
          if (!look(chunk)) break;
          await this.#passing.promise;
          for (let at = 0; at < chunk.length;) at += await to.write(chunk.subarray(at));
        }
      } catch {
        // One side was closed.
      }
      close();
    };
    await Promise.all([
      forward(client, broker, (chunk) => {
        requests.read(chunk);
        return true;
      }),
      // One request is outstanding on a producer's connection, so what comes after a Produce request is its answer.
      forward(broker, client, () => {
        if (requests.newest !== PRODUCE || this.#toLose === 0) return true;
        this.#toLose--;
        this.lost++;
        return false;
      }),
    ]);
  }

  #close(connection: Deno.TcpConn): void {
    this.#connections.delete(connection);
    try {
      connection.close();
    } catch {
      // Its end was read to the last: it is closed.
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.release();
    this.#listener.close();
    this.cut();
    await this.#serving;
  }
}

/** Follows the frames of a connection: four bytes of length, two of the request's kind. */
class RequestReader {
  /** The kind of the newest request. */
  newest = -1;
  #held = new Uint8Array(0);
  #skip = 0;

  read(chunk: Uint8Array): void {
    let bytes = new Uint8Array(this.#held.length + chunk.length);
    bytes.set(this.#held);
    bytes.set(chunk, this.#held.length);
    while (bytes.length > 0) {
      const skipped = Math.min(this.#skip, bytes.length);
      bytes = bytes.subarray(skipped);
      this.#skip -= skipped;
      if (this.#skip > 0 || bytes.length < REQUEST_HEADER_BYTES) break;
      const view = new DataView(bytes.buffer, bytes.byteOffset);
      this.newest = view.getInt16(4);
      this.#skip = 4 + view.getInt32(0);
    }
    this.#held = bytes.slice();
  }
}
