import { assertEquals, assertMatch } from "@std/assert";
import { webApp } from "../support/web_app.ts";

const TOKEN = "correct-horse-battery-staple";

Deno.test("With a token every answer needs it, but the page's own files and whether the process lives", async () => {
  const { get } = webApp({ token: TOKEN });
  const closed = [
    "/api/status",
    "/api/live",
    "/api/history",
    "/api/sessions",
    "/api/table",
    "/api/openapi.json",
  ];
  for (
    const path of [...closed, "/api/query/sessions", "/metrics", "/readyz", "/page/../api/status", "/nothing"]
  ) {
    const refused = await get(path);
    assertEquals(refused.status, 401, path);
    assertEquals(refused.headers.get("www-authenticate"), "Bearer");
    assertMatch((await refused.json()).error, /must carry the token of HTTP_TOKEN .*: this one has none/);
  }
  for (const path of ["/", "/page/main.ts", "/page/page.css", "/lib/lit-html/lit-html.js", "/healthz"]) {
    assertEquals((await get(path)).status, 200, path);
  }
});

Deno.test("Only the token itself opens", async () => {
  const { get } = webApp({ token: TOKEN });
  const status = async (authorization: string) => (await get("/api/status", { authorization })).status;
  for (const other of ["x", `${TOKEN}x`, TOKEN.slice(1), TOKEN.toUpperCase(), ""]) {
    assertEquals(await status(`Bearer ${other}`), 401, other);
  }
  assertEquals(await status(TOKEN), 401);
  assertEquals(await status(`Basic ${TOKEN}`), 401);
  assertEquals(await status(`Bearer ${TOKEN}`), 200);
});

Deno.test("With a token any Host is answered: who has the token has come by no trick", async () => {
  const { get } = webApp({ token: TOKEN });
  const headers = { host: "sessionary.example", authorization: `Bearer ${TOKEN}` };
  assertEquals((await get("/api/status", headers)).status, 200);
});

Deno.test("Without a token a Host that is not a loopback address is refused on every path", async () => {
  const { get } = webApp();
  for (const path of ["/", "/page/main.ts", "/api/status", "/api/live", "/metrics"]) {
    assertEquals((await get(path, { host: "evil.example" })).status, 403, path);
  }
});
