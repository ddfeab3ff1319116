/** An HTTP proxy that does to requests what networks and overloaded servers do. */
import { Buffer } from "node:buffer";
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request as httpRequest,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";

/** What happens to one request. */
export type Fault =
  /** The server answers. */
  | { readonly kind: "none" }
  /** The proxy answers instead, and the server hears nothing. */
  | { readonly kind: "answer"; readonly status: number; readonly body: string }
  /** The server does what was asked, and then the connection breaks without an answer. */
  | { readonly kind: "reset_after" }
  /** The server's answer comes so much later. */
  | { readonly kind: "late"; readonly ms: number };

export const NO_FAULT: Fault = { kind: "none" };

/** A request on its way. */
export interface ProxiedRequest {
  /** Path and query. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** A proxy in front of one HTTP server, on a loopback port. */
export class HttpFaultProxy implements AsyncDisposable {
  /** Chooses the fault of each request; none by default. */
  choose: (request: ProxiedRequest) => Fault = () => NO_FAULT;
  /** Requests so far, and the connections that they came over. */
  requests = 0;
  connections = 0;
  readonly #target: URL;
  #server: Server | null = null;
  #port = 0;

  private constructor(target: string) {
    this.#target = new URL(target);
  }

  static async start(target: string): Promise<HttpFaultProxy> {
    const proxy = new HttpFaultProxy(target);
    await proxy.listen();
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Takes connections, after {@linkcode refuse} on the same port again. */
  async listen(): Promise<void> {
    const server = createServer((request, response) => void this.#handle(request, response));
    server.on("connection", () => this.connections++);
    await new Promise<void>((resolve) => server.listen(this.#port, "127.0.0.1", resolve));
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  /** As if the server were gone: open connections break, new ones are refused. */
  async refuse(): Promise<void> {
    const server = this.#server;
    if (server === null) return;
    this.#server = null;
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.refuse();
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const body = await bytesOf(request);
      const proxied: ProxiedRequest = { url: request.url ?? "/", headers: request.headers, body };
      this.requests++;
      const fault = this.choose(proxied);
      if (fault.kind === "answer") {
        response.writeHead(fault.status, { "Content-Type": "text/html" }).end(fault.body);
        return;
      }
      const answer = await this.#forward(request.method ?? "GET", proxied);
      if (fault.kind === "reset_after") return void request.socket.destroy();
      if (fault.kind === "late") await new Promise((resolve) => setTimeout(resolve, fault.ms));
      response.writeHead(answer.status, answer.headers).end(answer.body);
    } catch {
      request.socket.destroy(); // Either side is gone: the other learns it so.
    }
  }

  #forward(method: string, { url, headers, body }: ProxiedRequest): Promise<Answer> {
    const target = { host: this.#target.hostname, port: this.#target.port, path: url, method };
    return new Promise((resolve, reject) => {
      const { "transfer-encoding": _, ...passed } = headers;
      const forwarded = httpRequest({
        ...target,
        headers: { ...passed, connection: "close", "content-length": String(body.length) },
      }, (answer) => {
        bytesOf(answer).then((bytes) => {
          const { connection: _, "transfer-encoding": __, ...rest } = answer.headers;
          resolve({ status: answer.statusCode ?? 500, headers: rest, body: bytes });
        }, reject);
      });
      forwarded.on("error", reject);
      forwarded.end(body);
    });
  }
}

async function bytesOf(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}
