/** The alert rules and the dashboard speak of metrics that exist. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { parse } from "yaml";
import { HISTOGRAM_METRICS, SCALAR_METRICS } from "../../web/metric_table.ts";
import { createMetrics } from "../../web/metrics.ts";
import { Exposition } from "../support/exposition.ts";
import { parseExpression } from "../support/promql.ts";
import { pipelineStats } from "../support/stats.ts";

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly runbook: string };
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly expr: string; readonly datasource: { readonly uid: string } }[];
}

const read = (path: string) => Deno.readTextFileSync(new URL(`../../deploy/${path}`, import.meta.url));
const rules: Rule[] = parse(read("alerts.yml")).groups.flatMap((group: { rules: Rule[] }) => group.rules);
const panels: Panel[] = JSON.parse(read("grafana/sessionary.json")).panels;
const queries = panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ title, expr })));

/** The series that a scrape has, with the labels of each; Prometheus adds `up`, `job` and `instance`. */
async function knownSeries(): Promise<Map<string, readonly string[]>> {
  const process = { startedMs: 0, residentBytes: 0, cpuSeconds: 0, deno: "" };
  const metrics = createMetrics(() => ({ pipeline: pipelineStats(), process, now: 0 }));
  const exposed = new Exposition(await metrics.render()).names;
  const series = new Map<string, readonly string[]>([["up", []]]);
  const queries = { name: "sessionary_query_duration_seconds", labels: ["query", "outcome"] };
  for (const { name, labels } of SCALAR_METRICS) series.set(name, labels);
  for (const { name, labels } of [...HISTOGRAM_METRICS, queries]) {
    for (const part of ["sum", "count"]) series.set(`${name}_${part}`, labels);
    series.set(`${name}_bucket`, [...labels, "le"]);
  }
  for (const name of [...series.keys()].filter((name) => name !== "up")) {
    assert(
      exposed.includes(name.replace(/(_duration_seconds|_latency_seconds)_\w+$/, "$1")),
      `${name} is exposed`,
    );
  }
  return series;
}

async function assertKnown(where: string, text: string): Promise<void> {
  const series = await knownSeries();
  const { errors, metrics, labels } = parseExpression(text);
  assertEquals(errors, [], where);
  assert(metrics.length > 0, `${where} mentions a metric`);
  for (const metric of metrics) assert(series.has(metric), `${where}: ${metric} is exposed`);
  const known = new Set(["job", "instance", ...metrics.flatMap((metric) => series.get(metric)!)]);
  for (const label of labels) assert(known.has(label), `${where}: ${metrics} have the label ${label}`);
}

Deno.test("every alert is a valid expression over metrics and labels that exist", async () => {
  assert(rules.length >= 10);
  for (const { alert, expr } of rules) await assertKnown(alert, expr);
});

Deno.test("every alert says what is wrong, how urgent it is and what to do first", () => {
  for (const { alert, labels, annotations } of rules) {
    assertMatch(labels.severity, /^(page|ticket|info)$/, alert);
    assert(annotations.summary.endsWith("."), alert);
    assert(annotations.runbook.length > 60 && annotations.runbook.endsWith("."), alert);
  }
  assertEquals(new Set(rules.map(({ alert }) => alert)).size, rules.length);
});

Deno.test("what a page asks to look at has a panel of that name", () => {
  const mentioned = rules.flatMap((
    { annotations },
  ) => [...annotations.runbook.matchAll(/[Pp]anel "([^"]+)"/g)]);
  assert(mentioned.length > 0);
  for (const [, title] of mentioned) assert(panels.some((panel) => panel.title === title), title);
});

Deno.test("every panel's queries are valid expressions over metrics and labels that exist", async () => {
  assert(queries.length >= 20);
  for (const { title, expr } of queries) await assertKnown(title, expr);
});

Deno.test("the dashboard's panels have the provisioned data source, and none lies over another", () => {
  const [datasource] = parse(read("grafana/datasource.yml")).datasources;
  for (const { title, targets = [] } of panels) {
    for (const target of targets) assertEquals(target.datasource.uid, datasource.uid, title);
  }
  const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) => {
    assert(x + w <= 24);
    return Array.from({ length: w * h }, (_, i) => `${x + i % w},${y + Math.floor(i / w)}`);
  });
  assertEquals(new Set(cells).size, cells.length);
  assertEquals(new Set(panels.map(({ id }) => id)).size, panels.length);
});

Deno.test("every metric of the pipeline is on the dashboard or in an alert", () => {
  const mentioned = [...rules, ...queries].flatMap(({ expr }) => parseExpression(expr).metrics);
  const forPeople = ["sessionary_epoch", "sessionary_delta_version", "sessionary_commits_total"];
  const unseen = [...SCALAR_METRICS, ...HISTOGRAM_METRICS].map(({ name }) => name).filter((name) =>
    !mentioned.some((metric) => metric === name || metric === `${name}_bucket`) && !forPeople.includes(name)
  );
  assertEquals(unseen, ["sessionary_sink_changed_timestamp_seconds"]);
});
