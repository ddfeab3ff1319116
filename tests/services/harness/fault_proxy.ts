/**
 * Proxies on loopback that stand between the program and a service, and fail as networks and servers do. The plain one
 * forwards any protocol's bytes; the other one knows HTTP requests, and can fail a single one before or after the
 * service has handled it.
 */
import { encodeHead, headerOf, type HttpHead, HttpReader, writeAll } from "./http_framing.ts";

/** Where a proxy forwards to. */
export interface Target {
  readonly hostname: string;
  readonly port: number;
}

/** A server's certificate and its key, PEM. */
export interface TlsIdentity {
  readonly cert: string;
  readonly key: string;
}

/** What happens to the connections of a proxy. */
export type LinkState =
  /** Bytes are forwarded. */
  | "up"
  /** Connections are refused, and those that were open are reset. */
  | "refuse"
  /** Connections are taken and stay open, and nothing passes. */
  | "hang";

/** A request as a rule sees it. */
export interface ProxiedRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly head: HttpHead;
}

/** What happens to one HTTP request. */
export type HttpFault =
  | { readonly type: "pass" }
  /** The service handles the request, and the connection is closed in place of its answer. */
  | { readonly type: "lose_answer" }
  /** The service handles the request, and its answer breaks off in mid-body. */
  | { readonly type: "cut_answer" }
  /** The service never sees the request; nothing answers. */
  | { readonly type: "hang" }
  /** The service never sees the request; the connection is closed. */
  | { readonly type: "reset" }
  /** The service never sees the request; this is the answer. */
  | { readonly type: "answer"; readonly status: number; readonly body: string }
  /** The request is handled, later. */
  | { readonly type: "delay"; readonly ms: number };

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Closes what may be closed already. */
function close(connection: Disposable): void {
  try {
    connection[Symbol.dispose]();
  } catch {
    // The other side was faster.
  }
}

/** Forwards connections' bytes, whatever their protocol. */
export class TcpFaultProxy implements AsyncDisposable {
  readonly hostname = "127.0.0.1";
  readonly port: number;
  #listener: Deno.TcpListener | Deno.TlsListener | null;
  #state: LinkState = "up";
  #resumed = Promise.withResolvers<void>();
  readonly #open = new Set<Deno.Conn>();
  readonly #served = new Set<Promise<void>>();

  /** @param tls how clients are served, where that is by TLS; the target is reached without it */
  constructor(protected readonly target: Target, protected readonly tls: TlsIdentity | null = null) {
    const listener = this.#listen(0);
    this.#listener = listener;
    this.port = listener.addr.port;
    this.#resumed.resolve();
    this.#track(this.#accept(listener));
  }

  get state(): LinkState {
    return this.#state;
  }

  /** Changes what happens to connections, those that are open included. */
  setState(state: LinkState): void {
    this.#state = state;
    if (state === "hang") this.#resumed = Promise.withResolvers();
    else this.#resumed.resolve();
    if (state === "refuse") {
      this.#listener?.close();
      this.#listener = null;
      this.cut();
    } else if (this.#listener === null) {
      this.#listener = this.#listen(this.port);
      this.#track(this.#accept(this.#listener));
    }
  }

  /** Resets all connections that are open. */
  cut(): void {
    for (const connection of this.#open) close(connection);
    this.#open.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.setState("refuse");
    await Promise.allSettled(this.#served);
  }

  /** Serves one connection to its end. */
  protected async serve(client: Deno.Conn, connect: () => Promise<Deno.Conn>): Promise<void> {
    const server = await connect();
    await Promise.all([this.#pump(client, server), this.#pump(server, client)]);
  }

  /** Waits while the link hangs. */
  protected whenUp(): Promise<void> {
    return this.#resumed.promise;
  }

  async #pump(from: Deno.Conn, to: Deno.Conn): Promise<void> {
    const buffer = new Uint8Array(64 * 1024);
    try {
      for (let count = await from.read(buffer); count !== null; count = await from.read(buffer)) {
        await this.whenUp();
        await writeAll(to, buffer.subarray(0, count));
      }
    } finally {
      close(from);
      close(to);
    }
  }

  #listen(port: number): Deno.TcpListener | Deno.TlsListener {
    const address = { hostname: this.hostname, port };
    return this.tls === null ? Deno.listen(address) : Deno.listenTls({ ...address, ...this.tls });
  }

  async #accept(listener: Deno.TcpListener | Deno.TlsListener): Promise<void> {
    for await (const client of listener) this.#track(this.#serveOne(client));
  }

  async #serveOne(client: Deno.Conn): Promise<void> {
    const connections: Deno.Conn[] = [client];
    this.#open.add(client);
    const connect = async () => {
      const server = await Deno.connect(this.target);
      connections.push(server);
      this.#open.add(server);
      return server;
    };
    try {
      await this.whenUp();
      await this.serve(client, connect);
    } catch {
      // Reset by one of the sides, which is what a proxy's life is.
    } finally {
      for (const connection of connections) {
        this.#open.delete(connection);
        close(connection);
      }
    }
  }

  #track(work: Promise<void>): void {
    const settled = work.catch(() => {}).finally(() => this.#served.delete(settled));
    this.#served.add(settled);
  }
}

/** A client's connection, and the one to the service that its requests share. */
interface HttpLink {
  readonly client: Deno.Conn;
  readonly requests: HttpReader;
  readonly connect: () => Promise<Deno.Conn>;
  server: { readonly connection: Deno.Conn; readonly answers: HttpReader } | null;
}

/** Forwards HTTP/1.1 requests one by one; a rule says what happens to each. */
export class HttpFaultProxy extends TcpFaultProxy {
  /** What happens to a request; by default it passes. */
  rule: (request: ProxiedRequest) => HttpFault = () => ({ type: "pass" });
  /** What {@linkcode once} promised, by the fault. */
  readonly #promised = new Map<HttpFault, () => void>();

  get url(): string {
    return `${this.tls === null ? "http" : "https"}://${this.hostname}:${this.port}`;
  }

  /**
   * Lets `fault` happen to the next request that `matches`, once.
   *
   * @returns resolves when it has happened: the service has handled the request, if it sees it at all
   */
  once(matches: (request: ProxiedRequest) => boolean, fault: HttpFault): Promise<void> {
    const happened = Promise.withResolvers<void>();
    const own = { ...fault };
    const before = this.rule;
    this.rule = (request) => {
      if (this.#promised.has(own) || !matches(request)) return before(request);
      this.#promised.set(own, happened.resolve);
      return own;
    };
    return happened.promise;
  }

  protected override async serve(client: Deno.Conn, connect: () => Promise<Deno.Conn>): Promise<void> {
    const link: HttpLink = { client, requests: new HttpReader(client), connect, server: null };
    for (let goesOn = true; goesOn;) {
      const head = await link.requests.readHead();
      if (head === null) return;
      await this.whenUp();
      const [method = "", path = ""] = head.startLine.split(" ");
      const fault = this.rule({ method, path, head });
      goesOn = await this.#serveRequest(link, head, method, fault).finally(() =>
        this.#promised.get(fault)?.()
      );
    }
  }

  /** Serves one request; false where the connection ends with it. */
  async #serveRequest(link: HttpLink, head: HttpHead, method: string, fault: HttpFault): Promise<boolean> {
    if (fault.type === "reset") return false;
    const body = link.requests.readBody(head);
    if (fault.type === "answer" || fault.type === "hang") {
      for await (const _ of body);
      if (fault.type === "answer") await writeAll(link.client, encodeAnswer(fault.status, fault.body));
      return true;
    }
    const parts = fault.type === "delay" ? await Array.fromAsync(body) : body;
    // The request is whole: it is handled also where the client gives up meanwhile.
    if (fault.type === "delay") await sleep(fault.ms);
    if (link.server === null) {
      const connection = await link.connect();
      link.server = { connection, answers: new HttpReader(connection) };
    }
    await writeAll(link.server.connection, encodeHead(head));
    for await (const part of parts) await writeAll(link.server.connection, part);
    return await this.#passAnswer(link.server.answers, link.client, method, fault);
  }

  /** Reads the service's whole answer, and passes on what the fault leaves of it; false where that is the end. */
  async #passAnswer(
    answers: HttpReader,
    client: Deno.Conn,
    method: string,
    fault: HttpFault,
  ): Promise<boolean> {
    const head = await answers.readHead();
    if (head === null) return false;
    const status = Number(head.startLine.split(" ")[1]);
    const bodiless = method === "HEAD" || status === 204 || status === 304;
    const parts: Uint8Array[] = [];
    const held = fault.type === "lose_answer" || fault.type === "cut_answer";
    if (!held) await writeAll(client, encodeHead(head));
    for await (const part of answers.readBody(head, bodiless)) {
      if (held) parts.push(part);
      else await writeAll(client, part);
    }
    await this.whenUp();
    if (fault.type === "cut_answer") {
      await writeAll(client, encodeHead(head));
      const first = parts[0] ?? new Uint8Array();
      await writeAll(client, first.subarray(0, first.length >> 1));
    }
    return !held && headerOf(head, "connection")?.toLowerCase() !== "close";
  }
}

function encodeAnswer(status: number, body: string): Uint8Array {
  const bytes = new TextEncoder().encode(body);
  const head = encodeHead({
    startLine: `HTTP/1.1 ${status} Fault`,
    headers: [["Content-Length", String(bytes.length)], ["Content-Type", "text/plain"]],
  });
  const answer = new Uint8Array(head.length + bytes.length);
  answer.set(head);
  answer.set(bytes, head.length);
  return answer;
}
