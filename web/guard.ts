/** Who may ask: on a loopback address everybody on this machine; elsewhere, or where a token is set, who has it. */
import type { Context, MiddlewareHandler } from "hono";
import { Buffer } from "node:buffer";
import { createHash, timingSafeEqual } from "node:crypto";

const LOOPBACK_HOST = /^(127(\.\d{1,3}){3}|localhost|\[::1\])(:\d{1,5})?$/i;

/**
 * Refuses a request whose Host is not a loopback address: it would come from a web page whose name was pointed at this
 * machine (DNS rebinding).
 */
export function onlyLoopbackHosts(): MiddlewareHandler {
  return async (context, next) => {
    const host = context.req.header("host") ?? "";
    if (LOOPBACK_HOST.test(host)) return await next();
    return context.json(
      { error: `The Host must be a loopback address: found ${JSON.stringify(host)}.` },
      403,
    );
  };
}

/**
 * Refuses a request without `Authorization: Bearer <token>`, but for the paths that `open` takes. Any Host will do: a
 * page that was pointed at this machine does not know the token.
 */
export function onlyWithToken(token: string, open: (path: string) => boolean): MiddlewareHandler {
  const expected = digest(token);
  return async (context, next) => {
    if (open(context.req.path)) return await next();
    const given = bearerOf(context);
    // Digests are of one length, and comparing them takes the same time wherever they differ.
    if (given !== null && timingSafeEqual(digest(given), expected)) return await next();
    const problem = given === null ? "has none" : "has another one";
    return context.json(
      {
        error: `A request must carry the token of HTTP_TOKEN (Authorization: Bearer …): this one ${problem}.`,
      },
      401,
      { "www-authenticate": "Bearer" },
    );
  };
}

function bearerOf(context: Context): string | null {
  return /^Bearer +(\S+)$/i.exec(context.req.header("authorization") ?? "")?.[1] ?? null;
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
