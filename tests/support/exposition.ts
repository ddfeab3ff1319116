/**
 * Reads Prometheus's text format with a parser that is not prom-client's: it takes a metric's samples apart again, and
 * refuses what is not in the format.
 */
import parse from "parse-prometheus-text-format";

interface Family {
  readonly name: string;
  readonly type: string;
  readonly metrics: readonly {
    readonly value?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly buckets?: Readonly<Record<string, string>>;
    readonly count?: string;
    readonly sum?: string;
  }[];
}

/** A histogram's cumulative counts, by upper bound. */
export interface ParsedHistogram {
  readonly buckets: ReadonlyMap<number, number>;
  readonly count: number;
  readonly sum: number;
}

/** An exposition, taken apart. */
export class Exposition {
  readonly #families: ReadonlyMap<string, Family>;

  constructor(text: string) {
    const families = parse(text) as Family[];
    this.#families = new Map(families.map((family) => [family.name, family]));
  }

  get names(): string[] {
    return [...this.#families.keys()];
  }

  typeOf(name: string): string | undefined {
    return this.#families.get(name)?.type;
  }

  /** The sum of the samples that have these labels; null where there is none. */
  value(name: string, labels: Readonly<Record<string, string>> = {}): number | null {
    const matching = this.#matching(name, labels);
    return matching.length === 0 ? null : matching.reduce((sum, { value }) => sum + Number(value), 0);
  }

  histogram(name: string, labels: Readonly<Record<string, string>> = {}): ParsedHistogram | null {
    const [metric] = this.#matching(name, labels);
    if (metric?.buckets === undefined) return null;
    const bound = (le: string) => le === "+Inf" ? Infinity : Number(le);
    return {
      buckets: new Map(Object.entries(metric.buckets).map(([le, count]) => [bound(le), Number(count)])),
      count: Number(metric.count),
      sum: Number(metric.sum),
    };
  }

  #matching(name: string, labels: Readonly<Record<string, string>>): Family["metrics"] {
    return (this.#families.get(name)?.metrics ?? []).filter((metric) =>
      Object.entries(labels).every(([label, value]) => metric.labels?.[label] === value)
    );
  }
}
