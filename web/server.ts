/** The web server on a loopback address: monitoring, and the named queries as JSON. */
import { type Context, Hono } from "hono";
import { secureHeaders } from "hono/secure-headers";
import { EXIT, messageOf, UserError } from "../schema/errors.ts";
import { constraintOf, parseSetting } from "../schema/setting.ts";
import { QUERY_SETTINGS } from "../schema/settings.ts";
import { renderIndexPage } from "./index_page.ts";
import { createMonitoringApp, type MonitoringOptions } from "./monitoring.ts";
import { type QueryService, unknownQuery } from "./query_service.ts";

export interface WebOptions {
  readonly monitoring: MonitoringOptions;
  /** Time since an arbitrary start, milliseconds. */
  readonly monotonic: () => number;
  /** The queries, or null while the pipeline is not up: then the server says that it is not ready. */
  readonly queryService: () => QueryService | null;
}

const LIMIT_DEFAULT = 100;
const LOOPBACK_HOST = /^(127(\.\d{1,3}){3}|localhost|\[::1\])(:\d{1,5})?$/i;

/**
 * The routes: `/`, `/api/query/:name?limit=N`, and those of monitoring.ts.
 *
 * Errors are `{"error": sentence}`. A request whose Host is not a loopback address is refused: it would come from
 * a web page whose name was pointed at this machine (DNS rebinding).
 */
export function createApp({ queryService, monitoring, monotonic }: WebOptions): Hono {
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
  app.get("/", (context) => context.html(renderIndexPage(queryService()?.queries ?? null)));
  app.get("/api/query/:name", (context) => {
    const started = monotonic();
    return runQuery(context, queryService(), (name, outcome) => {
      monitoring.metrics.queried(name, outcome, (monotonic() - started) / 1000);
    });
  });
  app.route("/", createMonitoringApp(monitoring));
  app.notFound((context) => context.json({ error: `There is nothing at ${context.req.path}: see /.` }, 404));
  app.onError((error, context) => context.json({ error: messageOf(error) }, 500));
  return app;
}

function notReady(context: Context): Response {
  return context.json({ error: "The pipeline is starting or stopping: try again in a moment." }, 503);
}

async function runQuery(
  context: Context,
  service: QueryService | null,
  queried: (name: string, outcome: "ok" | "failed") => void,
): Promise<Response> {
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
  try {
    const result = await service.run(name, { limit: Number(limit) });
    queried(name, "ok");
    return context.json(result);
  } catch (error) {
    queried(name, "failed");
    throw error;
  }
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
  /** The settings that host and port come from, for sentences. */
  readonly names: { readonly host: string; readonly port: string };
}

/**
 * Starts listening.
 *
 * @throws {UserError} where the port is taken or this process may not listen there
 */
export function startWebServer(app: Hono, options: ListenOptions): WebServer {
  const { host, port, orFreePort, names } = options;
  try {
    const server = Deno.serve({ hostname: host, port, onListen: () => {} }, app.fetch);
    const bound = server.addr.port;
    const shown = host.includes(":") ? `[${host}]` : host;
    return { port: bound, url: `http://${shown}:${bound}`, close: () => server.shutdown() };
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) {
      if (orFreePort) return startWebServer(app, { ...options, port: 0, orFreePort: false });
      throw new UserError(
        `${names.port} must be a port that is free on ${host}, and ${port} is taken: set another one, or 0 for any.`,
        EXIT.usage,
        { cause: error },
      );
    }
    throw new UserError(
      `Cannot listen on ${host}, port ${port} (${messageOf(error)}): ` +
        `set ${names.host} to 127.0.0.1, or ${names.port} to 0.`,
      EXIT.usage,
      { cause: error },
    );
  }
}
