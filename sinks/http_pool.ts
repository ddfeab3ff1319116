/**
 * Pools of keep-alive connections for the sinks' clients.
 *
 * When a connection that was used before is lost before its answer, or closed by us at the time-out, Deno's `node:http`
 * (2.9) sends the request a second time by itself (denoland/deno#36786). That defeats the retries of the sinks, and of
 * a streamed body the second request lacks the end: it waits for an answer for good and keeps its connection, so that
 * as many lost answers as the pool has connections leave none, and every later request waits without a limit, since
 * clients' time-outs begin with a connection. Here a reused connection is marked as fresh: a request is sent once, and
 * fails as soon as its connection is lost.
 */
import http from "node:http";
import https from "node:https";
import { messageOf, SinkError } from "../schema/errors.ts";

/** What a pool is for. */
export interface HttpPoolOptions {
  /** Connections by TLS. */
  readonly secure: boolean;
  /** Requests at once; others wait for a connection. */
  readonly connectionsMax: number;
  /** PEM of the authorities to trust; null or absent: the well-known ones. */
  readonly tlsCa?: string | null;
}

/** Opens no connection yet. */
export function httpPool({ secure, connectionsMax, tlsCa = null }: HttpPoolOptions): http.Agent {
  const options = { keepAlive: true, maxSockets: connectionsMax };
  const pool = secure
    ? new https.Agent(tlsCa === null ? options : { ...options, ca: tlsCa })
    : new http.Agent(options);
  const reuse = pool.reuseSocket.bind(pool);
  pool.reuseSocket = (socket, request) => {
    reuse(socket, request);
    request.reusedSocket = false;
  };
  return pool;
}

/**
 * The authorities that a setting's file holds, PEM; null where it names none.
 *
 * @param setting its variable, for the sentence
 * @throws {SinkError} where the file can't be read
 */
export function readAuthorities(setting: string, path: string | null): string | null {
  if (path === null) return null;
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    throw new SinkError(
      `${setting} must be a PEM file that can be read: '${path}' can't (${
        messageOf(error)
      }). Name another, or unset ` +
        `it to trust the well-known authorities.`,
      false,
      { cause: error },
    );
  }
}
