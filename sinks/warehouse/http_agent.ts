/**
 * The pool of keep-alive connections to a ClickHouse server.
 *
 * Deno's node:http (2.9) does not tell a streamed POST on a reused connection that the server has closed it before the
 * answer: the request would wait for its timeout, at every restart of a server or of a proxy. The pool tells it.
 */
import { Agent as HttpAgent, type AgentOptions, type ClientRequest } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import type { Duplex } from "node:stream";

function tellOfClose(socket: Duplex, request: ClientRequest): void {
  const tell = () => {
    // Nobody listens any more where the request has failed already, by the regular way or by its timeout.
    if (request.listenerCount("error") === 0) return;
    request.emit("error", Object.assign(new Error("socket hang up"), { code: "ECONNRESET" }));
  };
  socket.once("close", tell);
  // From there on the answer's own stream fails.
  request.once("response", () => socket.off("close", tell));
}

class HttpPool extends HttpAgent {
  override reuseSocket(socket: Duplex, request: ClientRequest): void {
    super.reuseSocket(socket, request);
    tellOfClose(socket, request);
  }
}

class HttpsPool extends HttpsAgent {
  override reuseSocket(socket: Duplex, request: ClientRequest): void {
    super.reuseSocket(socket, request);
    tellOfClose(socket, request);
  }
}

/**
 * A pool for the server at `url`, by its protocol.
 *
 * @param connections requests at once at most; others wait for a connection
 * @param tlsCa PEM of the authorities to trust; null: the well-known ones
 */
export function connectionPool(url: string, connections: number, tlsCa: string | null): HttpAgent {
  const options: AgentOptions = { keepAlive: true, maxSockets: connections };
  if (new URL(url).protocol !== "https:") return new HttpPool(options);
  return new HttpsPool(tlsCa === null ? options : { ...options, ca: tlsCa });
}
