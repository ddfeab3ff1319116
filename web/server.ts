/** The web server: the page, its API, the named queries as JSON, and monitoring. */
import { type Context, Hono } from "hono";
import { secureHeaders } from "hono/secure-headers";
import { EXIT, messageOf, UserError } from "../schema/errors.ts";
import { constraintOf, parseSetting } from "../schema/setting.ts";
import { QUERY_SETTINGS } from "../schema/settings.ts";
import { API_ROUTES, type ApiDeps, type ApiRoute, NotFound, NotReady } from "./api.ts";
import { onlyLoopbackHosts, onlyWithToken } from "./guard.ts";
import type { LiveStream } from "./live_stream.ts";
import { createMonitoringApp, type MonitoringOptions } from "./monitoring.ts";
import { openApiDocument } from "./openapi.ts";
import type { PageAssets } from "./page_assets.ts";
import { ParamError } from "./params.ts";
import { type QueryService, unknownQuery } from "./query_service.ts";

export interface WebOptions {
  readonly monitoring: MonitoringOptions;
  /** Time since an arbitrary start, milliseconds. */
  readonly monotonic: () => number;
  /** The queries, or null while the pipeline is not up: then the server says that it is not ready. */
  readonly queryService: () => QueryService | null;
  readonly api: ApiDeps;
  readonly live: LiveStream;
  readonly assets: PageAssets;
  /** What every request but those for the page's own files and `/healthz` must carry; null: no token. */
  readonly token: string | null;
}

const LIMIT_DEFAULT = 100;

/** The page may load what this server serves, and nothing else; no text becomes HTML or a script in it. */
const CONTENT_SECURITY = {
  defaultSrc: ["'none'"],
  scriptSrc: ["'self'"],
  styleSrc: ["'self'"],
  imgSrc: ["'self'"],
  connectSrc: ["'self'"],
  baseUri: ["'none'"],
  formAction: ["'none'"],
  frameAncestors: ["'none'"],
  requireTrustedTypesFor: ["'script'"],
  trustedTypes: ["lit-html"],
};

/**
 * The routes: the page at `/`, its API (api.ts), `/api/query/:name?limit=N`, and those of monitoring.ts. Errors are
 * `{"error": sentence}`. Who may ask is guard.ts's.
 */
export function createApp(options: WebOptions): Hono {
  const { queryService, monitoring, monotonic, api, live, assets, token } = options;
  const app = new Hono();
  app.use(secureHeaders({ contentSecurityPolicy: CONTENT_SECURITY }));
  const isOpen = (path: string) => path === "/" || path === "/healthz" || assets.paths.includes(path);
  app.use(token === null ? onlyLoopbackHosts() : onlyWithToken(token, isOpen));
  app.get("/", (context) => sendAsset(context, assets, "/page/index.html"));
  for (const path of assets.paths) app.get(path, (context) => sendAsset(context, assets, path));
  for (const route of API_ROUTES) app.get(route.path, (context) => answer(context, route, api));
  const document = openApiDocument(API_ROUTES);
  app.get("/api/openapi.json", (context) => context.json(document));
  app.get("/api/live", (context) => sendLive(context, live));
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

async function answer(context: Context, route: ApiRoute, deps: ApiDeps): Promise<Response> {
  try {
    const inPath = Object.entries(context.req.param()).map(([name, value]) => [name, [value]]);
    const values = route.params.read({ ...context.req.queries(), ...Object.fromEntries(inPath) });
    return context.json(await route.run(deps, values), 200, { "cache-control": "no-store" });
  } catch (error) {
    if (error instanceof ParamError) return context.json({ error: error.message }, 400);
    if (error instanceof NotFound) return context.json({ error: error.message }, 404);
    if (error instanceof NotReady) return context.json({ error: error.message }, 503);
    throw error;
  }
}

async function sendAsset(context: Context, assets: PageAssets, path: string): Promise<Response> {
  const asset = await assets.get(path);
  if (asset === null) return context.json({ error: `There is nothing at ${path}: see /.` }, 404);
  const headers = { etag: asset.etag, "cache-control": "no-cache" };
  if (context.req.header("if-none-match") === asset.etag) return context.body(null, 304, headers);
  return context.body(asset.body, 200, { ...headers, "content-type": asset.contentType });
}

function sendLive(context: Context, live: LiveStream): Response {
  const stream = live.open();
  if (stream === null) {
    return context.json(
      { error: `There are ${live.viewers} viewers, as many as may be: close one of them.` },
      503,
    );
  }
  return context.body(stream, 200, { "content-type": "text/event-stream", "cache-control": "no-store" });
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
