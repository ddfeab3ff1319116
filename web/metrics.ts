/** `/metrics`: a Prometheus registry that is filled from the actors' reports when it is scraped. */
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import {
  HISTOGRAM_METRICS,
  type HistogramMetric,
  type MetricView,
  type Sample,
  SCALAR_METRICS,
  type ScalarMetric,
} from "./metric_table.ts";

/** The exposition, and what is counted on this thread. */
export interface Metrics {
  /** Of the text that {@linkcode Metrics.render} gives. */
  readonly contentType: string;
  render(): Promise<string>;
  /** A named query was answered, or failed, after so many seconds. */
  queried(query: string, outcome: "ok" | "failed", seconds: number): void;
}

/** Seconds; what users wait for. */
const QUERY_BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30];

/** A registry of its own; `view` is asked once per scrape and metric. */
export function createMetrics(view: () => MetricView): Metrics {
  const registry = new Registry();
  for (const metric of SCALAR_METRICS) registerScalar(registry, metric, view);
  for (const metric of HISTOGRAM_METRICS) new ReportedHistogram(registry, metric, view);
  const queries = new Histogram({
    name: "sessionary_query_duration_seconds",
    help: "Named queries that the web server ran.",
    labelNames: ["query", "outcome"],
    buckets: QUERY_BOUNDS,
    registers: [registry],
  });
  return {
    contentType: registry.contentType,
    render: () => registry.metrics(),
    queried: (query, outcome, seconds) => queries.observe({ query, outcome }, seconds),
  };
}

function labelsOf(names: readonly string[], [, ...labels]: Sample<unknown>): Record<string, string> {
  return Object.fromEntries(names.map((name, i) => [name, String(labels[i])]));
}

/** The actors report totals, so each scrape sets the value afresh; what is not known is left out. */
function registerScalar(registry: Registry, metric: ScalarMetric, view: () => MetricView): void {
  const { name, help, labels } = metric;
  const options = { name, help, labelNames: labels, registers: [registry] };
  const fill = (target: Counter | Gauge) => {
    target.reset();
    // A metric without labels starts at 0, which would be taken for a value.
    if (labels.length === 0) target.remove();
    for (const sample of metric.read(view())) target.inc(labelsOf(labels, sample), sample[0]);
  };
  if (metric.type === "counter") {
    new Counter({
      ...options,
      collect() {
        fill(this);
      },
    });
  } else {
    new Gauge({
      ...options,
      collect() {
        fill(this);
      },
    });
  }
}

/** A histogram whose counts come from elsewhere: prom-client's own takes single values only. */
class ReportedHistogram extends Histogram {
  readonly #metric: HistogramMetric;
  readonly #view: () => MetricView;

  constructor(registry: Registry, metric: HistogramMetric, view: () => MetricView) {
    const { name, help, labels } = metric;
    super({ name, help, labelNames: [...labels], registers: [registry] });
    this.#metric = metric;
    this.#view = view;
  }

  /** What the registry asks for, to write text; prom-client's types leave it out, and its `get` rests on it. */
  getForPromString() {
    const { name, help, type, labels: names } = this.#metric;
    const values = this.#metric.read(this.#view()).flatMap((sample) => {
      const [{ bounds, counts, sum }] = sample;
      const labels = labelsOf(names, sample);
      let count = 0;
      const buckets = counts.map((inBucket, i) => {
        count += inBucket;
        const le = i < bounds.length ? bounds[i]! : "+Inf";
        return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: count };
      });
      return [
        ...buckets,
        { metricName: `${name}_sum`, labels, value: sum },
        { metricName: `${name}_count`, labels, value: count },
      ];
    });
    return Promise.resolve({ name, help, type, values });
  }
}
