import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { atMost, type Figure, figure, formatNumber, isMet, type Plot } from "../../bench/record.ts";
import { readPlotLibrary, renderHtml } from "../../bench/report_html.ts";
import { formatSuite } from "../../bench/report_text.ts";
import { runOf } from "../support/bench_run.ts";
import { openBrowser } from "../support/chromium.ts";

const RATE: Figure = figure("rate", "events/s", 900, {
  ceiling: { name: "bare read", value: 1_000 },
  target: { at: "least", value: 0.8, of: "ratio" },
});

const PLOTS: readonly Plot[] = [
  {
    title: "Lag over time",
    kind: "lines",
    x: { title: "Time", unit: "s" },
    y: { title: "Lag", unit: "events" },
    xs: [0, 1, 2, 3],
    labels: null,
    series: [{ name: "lag", ys: [0, 20_000, null, 5_000] }],
  },
  {
    title: "Rates side by side",
    kind: "bars",
    x: { title: "Part", unit: "" },
    y: { title: "Events", unit: "1/s" },
    xs: [0, 1],
    labels: ["one", "two"],
    series: [{ name: "job", ys: [100, 200] }, { name: "bare", ys: [300, 400] }],
  },
];

Deno.test("A target is of the value or of its share of the ceiling; a figure that could not be measured misses it", () => {
  assertEquals(isMet(RATE), true);
  assertEquals(isMet({ ...RATE, value: 700 }), false);
  assertEquals(isMet(figure("latency", "s", 2, { target: atMost(1.5) })), false);
  assertEquals(isMet(figure("latency", "s", NaN, { target: atMost(1.5) })), false);
  assertEquals(isMet(figure("latency", "s", 2)), null);
  assertEquals([0, 0.01234, 1.5, 1_234_567.8].map(formatNumber), ["0", "0.0123", "1.5", "1,234,568"]);
});

Deno.test("The terminal's table has value, ceiling, ratio, target and verdict", () => {
  const text = formatSuite(runOf([RATE]).suites[0]!);
  for (const part of ["900", "bare read: 1,000", "0.90", "≥ 0.8 of it", "met"]) {
    assertStringIncludes(text, part);
  }
});

Deno.test("The report is one file whose plots draw, light and dark, without an error or a request", async () => {
  const folder = await Deno.makeTempDir();
  const browser = await openBrowser();
  try {
    const path = `${folder}/report.html`;
    await Deno.writeTextFile(path, renderHtml(runOf([RATE], PLOTS), await readPlotLibrary()));
    for (const colorScheme of ["light", "dark"] as const) {
      const page = await browser.newPage({
        // The second is what headless Chromium says where the system has no language.
        locale: colorScheme === "light" ? "en-GB" : "en-US@posix",
        colorScheme,
        viewport: { width: 1440, height: 900 },
      });
      const faults: string[] = [];
      page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
      page.on("pageerror", (error) => faults.push(error.message));
      page.on("request", (request) => /^(file|data):/.test(request.url()) || faults.push(request.url()));
      await page.goto(`file://${path}`);
      // uPlot draws in a microtask of its own.
      await page.waitForFunction("document.querySelectorAll('canvas').length === 2");
      const colors = await page.evaluate(
        `[...document.querySelectorAll("canvas")].map((canvas) => {
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          const seen = new Set();
          for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200) seen.add(data.slice(i, i + 3).join());
          return seen.size;
        })`,
      ) as number[];
      assert(colors.every((count) => count > 2), `lines, text and series are drawn: ${colors}`);
      assertStringIncludes(await page.locator("body").innerText(), "It has </script> & <b> in it.");
      assertEquals(faults, []);
      await page.close();
    }
  } finally {
    await browser.close();
    await Deno.remove(folder, { recursive: true });
  }
});
