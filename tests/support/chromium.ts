/**
 * A real browser for tests: the Chromium of `@sparticuz/chromium`, unpacked beside the packages, driven by
 * `playwright-core`. Nothing else has to be installed.
 */
import fs from "node:fs";
import { brotliDecompressSync } from "node:zlib";
import type { Browser } from "playwright-core";

/** Where the package keeps it, compressed. */
const PACKED = new URL("../bin/chromium.br", import.meta.resolve("@sparticuz/chromium"));

/** It runs as root in containers, and draws without a graphics card or anything in place of one. */
const ARGUMENTS = [
  "--headless=shell",
  "--no-sandbox",
  "--no-zygote",
  "--disable-gpu",
  "--disable-dev-shm-usage",
];

/** Unpacked once, beside where it was packed. */
async function executable(): Promise<string> {
  const path = decodeURIComponent(new URL("chromium", PACKED).pathname);
  if (await Deno.stat(path).then(() => true, () => false)) return path;
  // Renamed when it is whole: several tests may unpack at once.
  const own = await Deno.makeTempFile({ dir: decodeURIComponent(new URL(".", PACKED).pathname) });
  await Deno.writeFile(own, brotliDecompressSync(await Deno.readFile(PACKED)));
  await Deno.chmod(own, 0o755);
  await Deno.rename(own, path);
  return path;
}

/**
 * Playwright looks into /proc when it is loaded, to see whether it runs under WSL. Deno answers that with an error
 * unless everything is allowed; here the answer is no.
 */
async function loadPlaywright(): Promise<typeof import("playwright-core")> {
  const { existsSync } = fs;
  fs.existsSync = (path) => !/WSL/.test(String(path)) && existsSync(path);
  try {
    return await import("playwright-core");
  } finally {
    fs.existsSync = existsSync;
  }
}

/** Starts it, without a window. */
export async function openBrowser(): Promise<Browser> {
  const { chromium: launcher } = await loadPlaywright();
  return await launcher.launch({ executablePath: await executable(), args: ARGUMENTS, headless: true });
}
