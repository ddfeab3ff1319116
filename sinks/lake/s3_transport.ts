/**
 * What minio's client sends its requests through: it has no timeout of its own, and of some answers it loses the
 * status, the code and the connection.
 */
import type { Buffer } from "node:buffer";
import http from "node:http";
import https from "node:https";
import { httpPool, type HttpPoolOptions } from "../http_pool.ts";

/** A failed answer's text that is kept: S3's error documents are far shorter. */
const ERROR_BODY_CHARACTERS_MAX = 16 * 1024;

/** Statuses that the client would make a plain Error of, leaving the answer unread and its connection in use. */
const LOST_STATUSES = new Set([408, 429, 499, 500, 502, 503, 504, 520]);

/** An answer that says: not now. */
export class S3Unavailable extends Error {
  override readonly name = "S3Unavailable";
  /** @param code S3's error code; empty where the answer had none */
  constructor(readonly status: number, readonly code: string) {
    super(`HTTP status ${status}${code === "" ? "" : ` (${code})`}`);
  }
}

/** No byte came or went for as long as the timeout. */
export class S3Timeout extends Error {
  override readonly name = "S3Timeout";
  constructor(readonly timeoutMs: number) {
    super(`no answer within ${timeoutMs} ms`);
  }
}

/** The connection was lost while an answer was on its way. */
export class S3AnswerCut extends Error {
  override readonly name = "S3AnswerCut";
  constructor() {
    super("the connection was lost in mid-answer");
  }
}

/** The connections of one store. */
export interface S3Transport {
  readonly transport: Pick<typeof http, "request">;
  readonly agent: http.Agent;
}

function codeIn(body: string): string {
  return /<Code>([^<]*)<\/Code>/.exec(body)?.[1] ?? "";
}

/** Reads the answer, so that its connection is free again, and fails the request with what it says. */
function refuse(outgoing: http.ClientRequest, incoming: http.IncomingMessage): void {
  let body = "";
  incoming.on("data", (chunk: Buffer) => {
    if (body.length < ERROR_BODY_CHARACTERS_MAX) body += chunk.toString("latin1");
  });
  const fail = () => outgoing.emit("error", new S3Unavailable(incoming.statusCode ?? 0, codeIn(body)));
  incoming.on("end", fail);
  incoming.on("error", fail);
}

/** The client waits for `end` or `error` only, and a lost connection may bring neither. */
function failWhenCut(incoming: http.IncomingMessage): void {
  let settled = false;
  incoming.on("end", () => settled = true);
  incoming.on("error", () => settled = true);
  incoming.on("close", () => {
    if (!settled) incoming.emit("error", new S3AnswerCut());
  });
}

/**
 * Pooled connections on which a request fails when nothing moves for `timeoutMs`.
 *
 * @param pool of which servers, and how many connections
 */
export function s3Transport(timeoutMs: number, pool: HttpPoolOptions): S3Transport {
  const base = pool.secure ? https : http;
  const agent = httpPool(pool);
  const request = (options: http.RequestOptions, callback: (incoming: http.IncomingMessage) => void) => {
    const outgoing = base.request(options, (incoming) => {
      if (LOST_STATUSES.has(incoming.statusCode ?? 0)) return refuse(outgoing, incoming);
      failWhenCut(incoming);
      outgoing.on("timeout", () => incoming.destroy(new S3Timeout(timeoutMs)));
      callback(incoming);
    });
    outgoing.setTimeout(timeoutMs, () => outgoing.destroy(new S3Timeout(timeoutMs)));
    return outgoing;
  };
  return { transport: { request } as Pick<typeof http, "request">, agent };
}
