/** The web server on a loopback address: health, and the named queries as JSON. */
import { type Context, Hono } from "hono";
import { secureHeaders } from "hono/secure-headers";
import { EXIT, messageOf, UserError } from "../schema/errors.ts";
import { constraintOf, parseSetting } from "../schema/setting.ts";
import { QUERY_SETTINGS } from "../schema/settings.ts";
import { renderIndexPage } from "./index_page.ts";
import { type QueryService, unknownQuery } from "./query_service.ts";

export interface WebOptions {
  /** The queries, or null while the pipeline is not up: then the server says that it is not ready. */
  readonly queryService: () => QueryService | null;
}

const LIMIT_DEFAULT = 100;
const LOOPBACK_HOST = /^(127(\.\d{1,3}){3}|localhost|\[::1\])(:\d{1,5})?$/i;

/**
 * The routes: `/`, `/healthz`, `/readyz` and `/api/query/:name?limit=N`.
 *
 * Errors are `{"error": sentence}`. A request whose Host is not a loopback address is refused: it would come from
 * a web page whose name was pointed at this machine (DNS rebinding).
 */
export function createApp({ queryService }: WebOptions): Hono {
  const app = new Hono();
  app.use(
    secureHeaders({ contentSecurityPolicy: { defaultSrc: ["'none'"], styleSrc: ["'unsafe-inline'"] } }),
  );
  app.use(async (context, next) => {
    const host = context.req.header("host") ?? "";
    if (LOOPBACK_HOST.test(host)) return await next();
    return context.json(
      { error: `The Host must be a loopback address: found ${JSON.stringify(host)}.` },
      403,
    );
  });
  app.get("/healthz", (context) => context.json({ status: "up" }));
  app.get("/readyz", (context) => {
    return queryService() === null ? notReady(context) : context.json({ status: "ready" });
  });
  app.get("/", (context) => context.html(renderIndexPage(queryService()?.queries ?? null)));
  app.get("/api/query/:name", (context) => runQuery(context, queryService()));
  app.notFound((context) => context.json({ error: `There is nothing at ${context.req.path}: see /.` }, 404));
  app.onError((error, context) => context.json({ error: messageOf(error) }, 500));
  return app;
}

function notReady(context: Context): Response {
  return context.json({ error: "The pipeline is starting or stopping: try again in a moment." }, 503);
}

async function runQuery(context: Context, service: QueryService | null): Promise<Response> {
  if (service === null) return notReady(context);
  const name = context.req.param("name") ?? "";
  if (!service.queries.some((query) => query.name === name)) {
    return context.json({ error: unknownQuery(name, service.queries) }, 404);
  }
  const unknown = Object.keys(context.req.queries()).find((key) => key !== "limit");
  if (unknown !== undefined) {
    return context.json({ error: `The only parameter is limit: found ${JSON.stringify(unknown)}.` }, 400);
  }
  const setting = QUERY_SETTINGS.limit;
  const written = context.req.query("limit") ?? String(LIMIT_DEFAULT);
  const limit = parseSetting(setting, written);
  if (limit === null) {
    const found = JSON.stringify(written);
    return context.json({ error: `limit must be ${constraintOf(setting)}: found ${found}.` }, 400);
  }
  return context.json(await service.run(name, { limit: Number(limit) }));
}

/** A server that listens. */
export interface WebServer {
  readonly port: number;
  /** Without a trailing slash. */
  readonly url: string;
  /** Answers what has been asked, then stops. */
  close(): Promise<void>;
}

export interface ListenOptions {
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
  /** Take a free port where `port` is taken: for a port that nobody asked for. */
  readonly orFreePort: boolean;
}

/**
 * Starts listening.
 *
 * @throws {UserError} where the port is taken or this process may not listen there
 */
export function startWebServer(app: Hono, options: ListenOptions): WebServer {
  const { host, port, orFreePort } = options;
  try {
    const server = Deno.serve({ hostname: host, port, onListen: () => {} }, app.fetch);
    const bound = server.addr.port;
    const shown = host.includes(":") ? `[${host}]` : host;
    return { port: bound, url: `http://${shown}:${bound}`, close: () => server.shutdown() };
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) {
      if (orFreePort) return startWebServer(app, { host, port: 0, orFreePort: false });
      throw new UserError(
        `HTTP_PORT must be a port that is free on ${host}, and ${port} is taken: set another one, or 0 for any.`,
        EXIT.usage,
        { cause: error },
      );
    }
    throw new UserError(
      `The web server cannot listen on ${host}, port ${port} (${messageOf(error)}): ` +
        `set HTTP_HOST to 127.0.0.1, or HTTP_PORT to 0.`,
      EXIT.usage,
      { cause: error },
    );
  }
}
