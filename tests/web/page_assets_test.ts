import { assert, assertEquals, assertMatch } from "@std/assert";
import { PageAssets } from "../../web/page_assets.ts";
import { webApp } from "../support/web_app.ts";

const decoder = new TextDecoder();

Deno.test("Whatever the page's files load is served too, and nothing is named that a browser could not find", async () => {
  const assets = new PageAssets();
  const waiting = ["/page/index.html"];
  const seen = new Set<string>();
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    if (seen.has(path)) continue;
    seen.add(path);
    const asset = await assets.get(path);
    assert(asset !== null, `${path} is served`);
    const text = decoder.decode(asset.body);
    const names = path.endsWith(".html")
      ? [...text.matchAll(/(?:src|href)="([^"]+)"/g)]
      : [...text.matchAll(/^(?:import|export)\b(?:[^"';]*?\bfrom)?\s*"([^"]+)"/gm)];
    for (const [, name] of names) {
      assertMatch(name!, /^[./]/, `${path} names ${name}`);
      waiting.push(new URL(name!, `http://page${path}`).pathname);
    }
  }
  // And what is served is used.
  assertEquals(assets.paths.filter((path) => !seen.has(path)), []);
});

Deno.test("Scripts have lost their types and kept their lines", async () => {
  const { body, contentType } = (await new PageAssets().get("/page/format.ts"))!;
  const served = decoder.decode(body).split("\n");
  const source = (await Deno.readTextFile(new URL("../../web/page/format.ts", import.meta.url))).split("\n");
  assertEquals(served.length, source.length);
  assert(source.some((line) => line.includes("(value: number): string")));
  assert(!served.some((line) => line.includes(": number")));
  assertEquals(contentType, "text/javascript; charset=utf-8");
});

Deno.test("A file that the browser has is not sent again", async () => {
  const { get } = webApp();
  const first = await get("/page/page.css");
  const etag = first.headers.get("etag")!;
  assert((await first.text()).length > 1_000);
  const again = await get("/page/page.css", { "if-none-match": etag });
  assertEquals([again.status, await again.text()], [304, ""]);
  assertEquals((await get("/page/none.css")).status, 404);
});

Deno.test("The page may load from its server only, and no text may become HTML or a script in it", async () => {
  const policy = (await webApp().get("/")).headers.get("content-security-policy")!;
  for (
    const part of ["default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"]
  ) {
    assert(policy.split("; ").includes(part), part);
  }
  assertMatch(policy, /require-trusted-types-for 'script'; trusted-types lit-html$/);
});
