/** The page at `/`: what can be asked, until there is more to see. */
import { html } from "hono/html";
import type { NamedQuery } from "./query_service.ts";

/** The page as HTML; `queries` is null while the pipeline is not up. */
export function renderIndexPage(queries: readonly NamedQuery[] | null): ReturnType<typeof html> {
  const list = queries === null
    ? html`<p>The pipeline is starting or stopping: reload in a moment.</p>`
    : html`
      <ul>
        ${queries.map(({ name, description }) =>
          html`
            <li><a href="/api/query/${name}">${name}</a>: ${description}</li>
          `
        )}
      </ul>
    `;
  return html`
    <!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <title>Sessionary</title>
        <style>
        body {
          font: 16px/1.5 system-ui, sans-serif;
          margin: 3rem auto;
          max-width: 42rem;
        }
        </style>
      </head>
      <body>
        <h1>Sessionary</h1>
        <p>Queries, as JSON (add <code>?limit=N</code> for more or fewer rows):</p>
        ${list}
      </body>
    </html>
  `;
}
