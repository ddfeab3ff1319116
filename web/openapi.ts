/** `/api/openapi.json`: the API in OpenAPI 3.1, from the routes themselves. PURE. */
import type { TSchema } from "typebox";
import { VERSION } from "../schema/version.ts";
import type { ApiRoute } from "./api.ts";
import { ErrorSchema, RowsSchema, StatusSchema } from "./api_schema.ts";

const json = (schema: TSchema) => ({ "application/json": { schema } });

const FAILURES = {
  "400": { description: "A parameter can't be used.", content: json(ErrorSchema) },
  "401": { description: "HTTP_TOKEN is set, and the request does not carry it.", content: json(ErrorSchema) },
  "404": { description: "There is nothing of that name.", content: json(ErrorSchema) },
  "500": { description: "A sink can't be asked.", content: json(ErrorSchema) },
  "503": { description: "The pipeline is starting or stopping.", content: json(ErrorSchema) },
};

interface Parameter {
  readonly description?: string;
}

function operation({ path, summary, params, answer }: ApiRoute) {
  const { properties } = params.schema;
  const required: readonly string[] = params.schema.required ?? [];
  const inPath = new Set([...path.matchAll(/:(\w+)/g)].map(([, name]) => name!));
  return {
    summary,
    parameters: Object.entries(properties as Record<string, TSchema & Parameter>).map(([name, schema]) => ({
      name,
      in: inPath.has(name) ? "path" : "query",
      required: required.includes(name),
      description: `Must be ${schema.description}.`,
      schema,
    })),
    responses: { "200": { description: summary, content: json(answer) }, ...FAILURES },
  };
}

/** The document. */
export function openApiDocument(routes: readonly ApiRoute[]): Record<string, unknown> {
  const paths = Object.fromEntries(
    routes.map((route) => [route.path.replaceAll(/:(\w+)/g, "{$1}"), { get: operation(route) }]),
  );
  return {
    openapi: "3.1.0",
    info: {
      title: "Sessionary",
      version: VERSION,
      description: "What a running pipeline knows. Read-only. Errors are {error: sentence}. Times are UTC.",
    },
    paths: {
      ...paths,
      "/api/live": {
        get: {
          summary:
            "The status, once a second, as server-sent events named `status`, each a JSON of /api/status.",
          responses: {
            "200": { description: "The stream.", content: { "text/event-stream": { schema: StatusSchema } } },
            ...FAILURES,
          },
        },
      },
      "/api/query/{name}": {
        get: {
          summary: "A named query of `sessionary query`, all its rows up to `limit`.",
          parameters: [
            { name: "name", in: "path", required: true, schema: { type: "string" } },
            { name: "limit", in: "query", schema: { type: "integer", minimum: 1, maximum: 1_000_000 } },
          ],
          responses: { "200": { description: "Its rows.", content: json(RowsSchema) }, ...FAILURES },
        },
      },
    },
    components: { securitySchemes: { token: { type: "http", scheme: "bearer" } } },
    security: [{}, { token: [] }],
  };
}
