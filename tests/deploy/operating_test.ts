/** The operator's guide speaks of every metric and alert, and of no other. */
import { assertEquals } from "@std/assert";
import { parse } from "yaml";
import { HISTOGRAM_METRICS, SCALAR_METRICS } from "../../web/metric_table.ts";

const read = (path: string) => Deno.readTextFileSync(new URL(`../../deploy/${path}`, import.meta.url));
const guide = read("OPERATING.md");

/** The names in the first column of the table below a heading. */
function namesBelow(heading: string): string[] {
  const section = guide.split(`## ${heading}\n`)[1]!.split("\n## ")[0]!;
  const cells = section.split("\n").filter((line) => line.startsWith("| `")).map((line) =>
    line.split("|")[1]!
  );
  return cells.flatMap((cell) => [...cell.matchAll(/`(\w+)`/g)].map(([, name]) => name!)).sort();
}

Deno.test("The guide's table of metrics has each of them once", () => {
  const known = [...SCALAR_METRICS, ...HISTOGRAM_METRICS].map(({ name }) => name);
  assertEquals(namesBelow("Metrics"), [...known, "sessionary_query_duration_seconds"].sort());
});

Deno.test("The guide's table of alerts has each of them once, with its severity", () => {
  const rules: { alert: string; labels: { severity: string } }[] = parse(read("alerts.yml")).groups
    .flatMap((group: { rules: unknown[] }) => group.rules);
  assertEquals(namesBelow("Alerts"), rules.map(({ alert }) => alert).sort());
  const missing = rules.filter(({ alert, labels }) =>
    !guide.includes(`| \`${alert}\` (${labels.severity}) `)
  );
  assertEquals(missing, []);
});

Deno.test("Files and headings that the guide links to are there", async () => {
  const headings = guide.split("\n").filter((line) => /^#+ /.test(line))
    .map((line) => line.replace(/^#+ /, "").toLowerCase().replace(/[^\w -]/g, "").replaceAll(" ", "-"));
  for (const [, target] of guide.matchAll(/\]\(([^)]+)\)/g)) {
    if (target!.startsWith("#")) assertEquals(headings.includes(target!.slice(1)), true, target);
    else await Deno.stat(new URL(`../../deploy/${target}`, import.meta.url));
  }
});
